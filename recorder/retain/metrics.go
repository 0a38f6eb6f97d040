package retain

import "github.com/prometheus/client_golang/prometheus"

// metrics of retention. Nothing is registered when the registerer is nil.
type metrics struct {
	deleted, bytes, failed prometheus.Counter
	locked                 prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_retain_deleted_total", Help: "Segments deleted by retention and eviction.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_retain_deleted_bytes_total", Help: "Bytes deleted by retention and eviction.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_retain_failed_total", Help: "Deletions that the store or the index refused.",
		}),
		locked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skein_retain_locked_segments", Help: "Segments that are due but locked, at the last sweep.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.deleted, m.bytes, m.failed, m.locked)
	}
	return m
}

func (m *metrics) sweep(r Result) {
	m.deleted.Add(float64(r.Deleted))
	m.bytes.Add(float64(r.Bytes))
	m.failed.Add(float64(r.Failed))
	m.locked.Set(float64(r.Locked))
}
