package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
)

// dropReason names why something was not sent. It is the label of the drop counter.
type dropReason int

const (
	dropWaitKey         dropReason = iota // units passed over while waiting for a key frame
	dropOverflow                          // the ICE-TCP path was full: skipped to the next key frame
	dropFellBehind                        // catch-up was overtaken by the history's end
	dropCatchUpTooLarge                   // the group of pictures is too large to catch up
	dropCodec                             // the viewer did not offer the codec
	dropNoPath                            // no selected candidate pair
	dropLinkSlow                          // the viewer's path was overloaded: skipped to the next key frame
	dropNackBudget                        // retransmission refused: the viewer's budget is spent
	dropNackTooOld                        // retransmission refused: no longer in the history
	dropReasons
)

func (d dropReason) String() string {
	return [...]string{
		"wait_key", "overflow", "fell_behind", "catch_up_too_large", "codec", "no_path", "link_slow",
		"nack_budget", "nack_too_old",
	}[d]
}

// SlotStats is a snapshot of one slot. A slot that is to show a camera and has nothing of it yet has no profile, and
// perhaps a reason.
type SlotStats struct {
	Slot         int               `json:"slot"`
	Audio        bool              `json:"audio,omitempty"`
	Camera       string            `json:"camera,omitempty"`
	Profile      media.Profile     `json:"profile,omitempty"`
	Packets      uint64            `json:"packets"`
	Bytes        uint64            `json:"bytes"`
	FirstFrameMS int64             `json:"first_frame_ms"`
	Nacked       uint64            `json:"nacked"`
	Resent       uint64            `json:"resent"`
	KeyRequests  uint64            `json:"key_requests"`
	CatchUps     uint64            `json:"catch_ups"`
	LossPercent  float64           `json:"loss_percent"`
	RTTMS        float64           `json:"rtt_ms"`
	Drops        map[string]uint64 `json:"drops,omitempty"`
	Reason       Code              `json:"reason,omitempty"`
	// Viewer is how the viewer says the pictures fared; nil if it does not say.
	Viewer *ViewerStats `json:"viewer,omitempty"`
}

// PathStats is how a viewer's path fared in the last second, as its transport-wide feedback tells.
type PathStats struct {
	Kbps        int     `json:"kbps"`                     // that arrived
	Estimated   int     `json:"estimated_kbps,omitempty"` // what the path bears; 0: no limit shows
	LossPercent float64 `json:"loss_percent"`             // before packets were sent again
	QueueMS     float64 `json:"queue_ms"`                 // how long packets wait on the way
}

// SessionStats is a snapshot of one session.
type SessionStats struct {
	ID        string    `json:"id"`
	Viewer    string    `json:"viewer"`
	Wall      bool      `json:"wall"`
	Since     time.Time `json:"since"`
	Connected bool      `json:"connected"`
	Remote    string    `json:"remote,omitempty"`
	Path      PathStats `json:"path"`
	// Publishes is the camera whose pictures the session sends us (WHIP); empty for viewers.
	Publishes string      `json:"publishes,omitempty"`
	Slots     []SlotStats `json:"slots"`
}

func (s *slot) snapshot() SlotStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.stats
	o := SlotStats{
		Slot: s.index, Audio: !s.video, Packets: t.packets, Bytes: t.bytes, FirstFrameMS: t.first.Milliseconds(),
		Nacked: t.nacked, Resent: t.resent, KeyRequests: t.refreshes, CatchUps: t.catchUps,
		LossPercent: float64(t.lost) * 100 / 256, RTTMS: float64(t.rtt.Microseconds()) / 1000, Reason: s.blocked,
	}
	o.Drops = dropsByName(t.drops)
	return o
}

// dropsByName returns the reasons that occurred, nil if none did.
func dropsByName(drops [dropReasons]uint64) map[string]uint64 {
	var out map[string]uint64
	for d, n := range drops {
		if n > 0 {
			if out == nil {
				out = map[string]uint64{}
			}
			out[dropReason(d).String()] = n
		}
	}
	return out
}

type metrics struct {
	sessions   prometheus.Gauge
	feeds      prometheus.Gauge
	started    prometheus.Counter
	refused    prometheus.Counter
	firstFrame prometheus.Histogram
	packets    prometheus.Counter
	bytes      prometheus.Counter
	nacked     prometheus.Counter
	resent     prometheus.Counter
	refreshes  prometheus.Counter
	catchUps   prometheus.Counter
	asked      prometheus.Counter
	lowered    prometheus.Counter
	raised     prometheus.Counter
	rtt        prometheus.Histogram
	queue      prometheus.Histogram
	capacity   prometheus.Histogram
	viewers    viewerMetrics
	drops      [dropReasons]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, sendErrors func() uint64) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "skein_relay_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "skein_relay_" + name, Help: help})
	}
	m := &metrics{
		sessions:  gauge("sessions", "WebRTC sessions open."),
		feeds:     gauge("feeds", "Camera streams being relayed."),
		started:   counter("sessions_started_total", "WebRTC sessions answered."),
		refused:   counter("sessions_refused_total", "Offers refused."),
		packets:   counter("packets_total", "RTP packets sent, without retransmissions."),
		bytes:     counter("bytes_total", "RTP payload bytes sent, without retransmissions."),
		nacked:    counter("nacked_packets_total", "Packets viewers reported missing."),
		resent:    counter("resent_packets_total", "Packets sent again."),
		refreshes: counter("key_requests_total", "Key frame requests answered from the history."),
		catchUps:  counter("catch_ups_total", "Times a slot began with the current group of pictures."),
		asked:     counter("publisher_key_requests_total", "Key frames asked of publishers."),
		lowered:   counter("tiles_lowered_total", "Tiles turned from main to sub because a viewer's path was overloaded."),
		raised:    counter("tiles_raised_total", "Tiles turned back to main."),
		firstFrame: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "skein_relay_first_frame_seconds", Help: "From asking for a camera to sending its first picture.",
			Buckets: []float64{.01, .025, .05, .1, .2, .3, .5, .75, 1, 2, 5},
		}),
	}
	path := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "skein_viewer_path_" + name, Help: help, Buckets: buckets,
		})
	}
	m.rtt = path("rtt_seconds", "Round trip to a viewer, one observation per slot and second.",
		.001, .003, .01, .03, .1, .3, 1)
	m.queue = path("queue_seconds", "How long packets wait on the way, one observation per viewer and second.",
		.001, .01, .03, .1, .3, .7, 2)
	m.capacity = path("capacity_kbps", "What a viewer's path bears, one observation per second where a limit shows.",
		500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000)
	m.viewers = newViewerMetrics(reg)
	drops := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "skein_relay_drops_total", Help: "Units and retransmissions not sent, by reason.",
	}, []string{"reason"})
	for d := range dropReasons {
		m.drops[d] = drops.WithLabelValues(d.String())
	}
	if reg != nil {
		reg.MustRegister(m.sessions, m.feeds, m.started, m.refused, m.firstFrame, m.packets, m.bytes, m.nacked,
			m.resent, m.refreshes, m.catchUps, m.asked, m.lowered, m.raised, m.rtt, m.queue, m.capacity, drops,
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "skein_relay_send_errors_total", Help: "Sends the kernel refused.",
			}, func() float64 { return float64(sendErrors()) }))
	}
	return m
}

// collect adds what a slot counted since before to the counters and returns the new reading. Sessions call it once a
// second, so that the hot path touches no shared counter.
func (m *metrics) collect(s *slot, before slotStats) slotStats {
	s.mu.Lock()
	s.credit()
	now := s.stats
	s.mu.Unlock()
	m.packets.Add(float64(now.packets - before.packets))
	m.bytes.Add(float64(now.bytes - before.bytes))
	m.nacked.Add(float64(now.nacked - before.nacked))
	m.resent.Add(float64(now.resent - before.resent))
	m.refreshes.Add(float64(now.refreshes - before.refreshes))
	m.catchUps.Add(float64(now.catchUps - before.catchUps))
	if now.rtt > 0 {
		m.rtt.Observe(now.rtt.Seconds())
	}
	for d := range now.drops {
		m.drops[d].Add(float64(now.drops[d] - before.drops[d]))
	}
	return now
}
