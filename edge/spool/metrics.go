package spool

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/recorder/segment"
)

// metrics is what the spool counts. Children are resolved here, never while recording.
type metrics struct {
	lost, skippedNoKey, skippedUnfit  prometheus.Counter
	syncs, fragments                  prometheus.Counter
	syncErrors, writeErrors, setAside prometheus.Counter
	droppedBytes                      prometheus.Counter
	dropped                           counted
	commitSeconds, shipSeconds        prometheus.Histogram

	bySealed map[segment.Sealed]prometheus.Counter
	byLane   map[string]map[string]prometheus.Counter
	laneSize map[string]prometheus.Counter

	all []prometheus.Collector
}

// counted is a counter that can be read back.
type counted struct {
	prometheus.Counter
	n *atomic.Uint64
}

func (c counted) Inc()         { c.n.Add(1); c.Counter.Inc() }
func (c counted) load() uint64 { return c.n.Load() }

func newMetrics(s *Spool, reg prometheus.Registerer) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(
			prometheus.CounterOpts{Namespace: "skein", Subsystem: "spool", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "skein", Subsystem: "spool", Name: name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "skein", Subsystem: "spool", Name: name, Help: help}, f))
	}
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "skein", Subsystem: "spool", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11),
		})
		m.all = append(m.all, h)
		return h
	}
	m.lost = counter("lost_units_total", "Units that reached the spool and could not be recorded.")
	skipped := vec("skipped_units_total", "Units that no segment can hold.", "reason")
	m.skippedNoKey, m.skippedUnfit = skipped.WithLabelValues("no_key_frame"), skipped.WithLabelValues("unfit")
	m.fragments = counter("fragments_total", "Fragments written; each is one write.")
	m.syncs = counter("syncs_total", "Fsyncs of segment files that had something new.")
	m.syncErrors = counter("sync_errors_total", "Failed fsyncs; each costs the trust in one file.")
	m.writeErrors = counter("write_errors_total", "Failed writes and failed attempts to seal.")
	m.setAside = counter("set_aside_total", "Corrupted files set aside.")
	m.dropped = counted{
		counter("dropped_segments_total", "Unshipped segments dropped for want of room."), new(atomic.Uint64),
	}
	m.droppedBytes = counter("dropped_bytes_total", "Bytes of unshipped segments dropped for want of room.")
	m.commitSeconds = histogram("commit_seconds", "Duration of a group commit.")
	m.shipSeconds = histogram("ship_seconds", "Time to ship one segment, successes only.")
	sealed := vec("sealed_segments_total", "Segments sealed, by reason.", "reason")
	m.bySealed = map[segment.Sealed]prometheus.Counter{}
	for _, why := range []segment.Sealed{
		segment.SealedDuration, segment.SealedCodec, segment.SealedEpoch, segment.SealedStop, segment.SealedRecovered,
		segment.SealedError, segment.SealedSilence,
	} {
		m.bySealed[why] = sealed.WithLabelValues(string(why))
	}
	attempts := vec("ship_attempts_total", "Attempts to ship a segment, by lane and outcome.", "lane", "outcome")
	size := vec("shipped_bytes_total", "Bytes the archive has acknowledged, by lane.", "lane")
	m.byLane, m.laneSize = map[string]map[string]prometheus.Counter{}, map[string]prometheus.Counter{}
	for _, l := range []string{"fresh", "backlog"} {
		m.laneSize[l] = size.WithLabelValues(l)
		m.byLane[l] = map[string]prometheus.Counter{}
		for _, o := range []string{"stored", "unavailable", "refused", "local"} {
			m.byLane[l][o] = attempts.WithLabelValues(l, o)
		}
	}
	m.gauges(s, gauge)
	if reg != nil {
		reg.MustRegister(m.all...)
	}
	return m
}

func (m *metrics) gauges(s *Spool, gauge func(name, help string, f func() float64)) {
	gauge("bytes", "Bytes of all files of the spool.", func() float64 { return float64(s.used.Load()) })
	gauge("max_bytes", "Bound of the spool in bytes, 0: none.", func() float64 { return float64(s.cfg.MaxBytes) })
	gauge("level", "Fill: 0 normal, 1 warn, 2 shed, 3 emergency.", func() float64 { return float64(s.full.Load()) })
	gauge("inodes_used_ratio", "Share of the file system's inodes in use.", func() float64 {
		return float64(s.inodes.Load()) / 1000
	})
	gauge("left_seconds", "Time until footage must be dropped at the present growth of the backlog, -1: it does not grow.",
		func() float64 {
			if d := time.Duration(s.left.Load()); d >= 0 {
				return d.Seconds()
			}
			return -1
		})
	gauge("backlog_segments", "Sealed segments without a receipt.", func() float64 {
		n, _ := s.queue.size()
		return float64(n)
	})
	gauge("backlog_bytes", "Bytes of sealed segments without a receipt.", func() float64 {
		_, b := s.queue.size()
		return float64(b)
	})
	gauge("backlog_age_seconds", "Age of the oldest footage without a receipt.", func() float64 {
		return s.oldestAge().Seconds()
	})
	gauge("backlog_eta_seconds", "Time until the backlog is shipped at the present rate, -1: never.", func() float64 {
		if eta := s.Snapshot().ETA; eta >= 0 {
			return eta.Seconds()
		}
		return -1
	})
	gauge("gaps_waiting", "Gaps that the archive does not know of yet.", func() float64 {
		return float64(s.gapsWaiting())
	})
	gauge("archive_down", "1 while the archive takes nothing.", func() float64 {
		if s.gate.closed() {
			return 1
		}
		return 0
	})
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}

func (m *metrics) sealed(why segment.Sealed) {
	if c := m.bySealed[why]; c != nil {
		c.Inc()
	}
}

// lane returns what counts the attempts of one lane.
func (m *metrics) lane(name string) func(outcome string, bytes int64) {
	attempts, size := m.byLane[name], m.laneSize[name]
	return func(outcome string, bytes int64) {
		attempts[outcome].Inc()
		size.Add(float64(bytes))
	}
}
