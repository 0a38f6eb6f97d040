package recorder

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/recorder/segment"
)

// metrics is what the role counts. Children are resolved at construction.
type metrics struct {
	segments, repeats, bytes prometheus.Counter
	gaps                     prometheus.Counter
	evicted, evictedBytes    prometheus.Counter
	seconds                  prometheus.Histogram
	refusals                 map[string]prometheus.Counter
}

func newMetrics(r *Recorder, reg prometheus.Registerer) *metrics {
	var all []prometheus.Collector
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "skein", Subsystem: "recorder", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
		all = append(all, c)
		return c
	}
	m := &metrics{
		segments:     counter("segments_total", "Segments stored and indexed."),
		repeats:      counter("repeated_segments_total", "Segments offered again after they were stored."),
		bytes:        counter("bytes_total", "Bytes of segments stored and indexed."),
		gaps:         counter("gap_documents_total", "Gap documents stored."),
		evicted:      counter("evicted_segments_total", "Segments removed to keep the archive within its bound."),
		evictedBytes: counter("evicted_bytes_total", "Bytes removed to keep the archive within its bound."),
		refusals:     map[string]prometheus.Counter{},
	}
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "skein", Subsystem: "recorder", Name: "ingest_seconds",
		Help: "Time to receive, store and index one segment.", Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 11),
	})
	refused := prometheus.NewCounterVec(
		prometheus.CounterOpts(opts("refused_segments_total", "Segments not taken, by reason.")), []string{"reason"})
	for _, why := range []string{
		"malformed", "foreign", "time", "cause", "chain", "gaps", "too_large", "busy", "too_slow",
		"conflict", "hash", "structure", "cut_off", "unavailable",
	} {
		m.refusals[why] = refused.WithLabelValues(why)
	}
	stored := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("archive_bytes", "Bytes of all indexed segments.")),
		func() float64 {
			n, _ := r.usage.bytes()
			return float64(n)
		})
	kept := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("retention_kept",
		"1 while no footage goes before the retention of its camera is over, 0 for an hour after some did.")),
		func() float64 {
			if r.early.kept(time.Now()) {
				return 1
			}
			return 0
		})
	early := prometheus.NewCounterFunc(prometheus.CounterOpts(opts("early_segments_total",
		"Segments that went before the retention of their camera was over.")),
		func() float64 { return float64(r.early.segments()) })
	all = append(all, m.seconds, refused, stored, kept, early)
	if reg != nil {
		reg.MustRegister(all...)
	}
	return m
}

func (m *metrics) refused(why string) { m.refusals[why].Inc() }

func (m *metrics) stored(s segment.Manifest, known bool) {
	if known {
		m.repeats.Inc()
		return
	}
	m.segments.Inc()
	m.bytes.Add(float64(s.Bytes))
}
