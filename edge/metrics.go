package edge

import "github.com/prometheus/client_golang/prometheus"

// metrics are the edge's own counters. Per-camera figures come from a collector that asks the edge when scraped.
type metrics struct {
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, e *Edge) *metrics {
	m := &metrics{failures: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "skein", Subsystem: "edge", Name: "stream_failures_total",
		Help: "Camera connections that ended, by reason.",
	}, []string{"reason"})}
	if reg != nil {
		reg.MustRegister(m.failures, &collector{e})
	}
	return m
}

// collector reports every configured camera's state: what the console shows, as numbers.
type collector struct{ edge *Edge }

var (
	descUp = prometheus.NewDesc("skein_edge_stream_state", "1 for the state the camera's profile is in.",
		[]string{"camera", "profile", "state"}, nil)
	descFPS = prometheus.NewDesc("skein_edge_stream_fps", "Pictures a second over the last seconds.",
		[]string{"camera", "profile"}, nil)
	descKbps = prometheus.NewDesc("skein_edge_stream_kbps", "Kilobits a second over the last seconds.",
		[]string{"camera", "profile"}, nil)
	descLost = prometheus.NewDesc("skein_edge_stream_lost_packets_total", "RTP packets lost before the edge.",
		[]string{"camera", "profile"}, nil)
)

var descDamaged = prometheus.NewDesc("skein_edge_stream_damaged_pictures_total",
	"Pictures of which a part was lost before the edge.", []string{"camera", "profile"}, nil)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descFPS, descKbps, descLost, descDamaged} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, cam := range c.edge.Cameras() {
		for name, p := range cam.Profiles {
			ch <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, 1, cam.ID, name, string(p.State))
			ch <- prometheus.MustNewConstMetric(descFPS, prometheus.GaugeValue, p.FPS, cam.ID, name)
			ch <- prometheus.MustNewConstMetric(descKbps, prometheus.GaugeValue, float64(p.Kbps), cam.ID, name)
			ch <- prometheus.MustNewConstMetric(descLost, prometheus.CounterValue, float64(p.LostPackets), cam.ID, name)
			ch <- prometheus.MustNewConstMetric(descDamaged, prometheus.CounterValue, float64(p.Damaged), cam.ID, name)
		}
	}
}
