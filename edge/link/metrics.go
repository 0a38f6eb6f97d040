package link

import "github.com/prometheus/client_golang/prometheus"

type hubMetrics struct {
	up       prometheus.Gauge
	ended    prometheus.Counter
	received prometheus.Counter
}

func newHubMetrics(reg prometheus.Registerer) *hubMetrics {
	m := &hubMetrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skein_links_up", Help: "Nodes whose control link is up.",
		}),
		ended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_links_ended_total", Help: "Control links that ended.",
		}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_link_messages_received_total", Help: "Messages received from nodes.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.up, m.ended, m.received)
	}
	return m
}

type streamMetrics struct {
	wanted, arrived, renewed prometheus.Counter
	active                   prometheus.Gauge
}

func newStreamMetrics(reg prometheus.Registerer) *streamMetrics {
	m := &streamMetrics{
		wanted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_publications_wanted_total", Help: "Streams that were asked of nodes.",
		}),
		arrived: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_publications_arrived_total", Help: "Publications of nodes that arrived.",
		}),
		renewed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skein_publications_renewed_total", Help: "Publications asked for again.",
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skein_publications_active", Help: "Streams wanted from nodes now.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.wanted, m.arrived, m.renewed, m.active)
	}
	return m
}
