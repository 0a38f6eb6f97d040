package store

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the shards. Nothing is registered when the registerer is nil.
type metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	spilled  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skein_store_requests_total", Help: "Requests to object store shards by operation and result.",
		}, []string{"shard", "op", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skein_store_bytes_total", Help: "Bytes of segments moved to and from shards.",
		}, []string{"shard", "direction"}),
		spilled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_store_spilled_total", Help: "Segments stored on another shard than the camera's first.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.bytes, m.spilled)
	}
	return m
}

// shardMetrics are the children of one shard.
type shardMetrics struct {
	ok, failed    map[string]prometheus.Counter
	written, read prometheus.Counter
}

func (m *metrics) shard(name string) *shardMetrics {
	s := &shardMetrics{
		ok: make(map[string]prometheus.Counter), failed: make(map[string]prometheus.Counter),
		written: m.bytes.WithLabelValues(name, "in"), read: m.bytes.WithLabelValues(name, "out"),
	}
	for _, op := range []string{"put", "get", "stat", "list", "delete", "hold", "probe"} {
		s.ok[op] = m.requests.WithLabelValues(name, op, "ok")
		s.failed[op] = m.requests.WithLabelValues(name, op, "failed")
	}
	return s
}

func (s *shardMetrics) count(op string, err error) {
	set := s.ok
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrHash) || errors.Is(err, ErrConflict) {
		set = s.failed
	}
	if c, ok := set[op]; ok {
		c.Inc()
	}
}
