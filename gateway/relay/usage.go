package relay

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
)

// usage counts what all viewers together got of a line, from its feed's beginning on. Slots add to it once a second and
// when they turn to another line, so that the hot path touches nothing shared.
type usage struct {
	packets, bytes, nacked, resent atomic.Uint64
	firsts                         atomic.Uint64 // first pictures
	waited                         atomic.Int64  // for them in all, nanoseconds
	drops                          [dropReasons]atomic.Uint64
}

// add takes what a slot counted between two readings.
func (u *usage) add(from, to *slotStats) {
	u.packets.Add(to.packets - from.packets)
	u.bytes.Add(to.bytes - from.bytes)
	u.nacked.Add(to.nacked - from.nacked)
	u.resent.Add(to.resent - from.resent)
	u.firsts.Add(to.firsts - from.firsts)
	u.waited.Add(int64(to.waited - from.waited))
	for d := range u.drops {
		if n := to.drops[d] - from.drops[d]; n > 0 {
			u.drops[d].Add(n)
		}
	}
}

// StreamStats is how a stream fares with all its viewers, since the first of them came.
type StreamStats struct {
	Camera  string        `json:"camera"`
	Profile media.Profile `json:"profile"`
	Variant string        `json:"variant,omitempty"` // "h264" if transcoded, "opus" for the sound alone
	Viewers int           `json:"viewers"`
	Packets uint64        `json:"packets"` // without those sent again
	Bytes   uint64        `json:"bytes"`
	Nacked  uint64        `json:"nacked"`
	Resent  uint64        `json:"resent"`
	// FirstFrameMS is the mean time from asking for the stream to its first picture leaving.
	FirstFrameMS float64           `json:"first_frame_ms"`
	Drops        map[string]uint64 `json:"drops,omitempty"`
	firsts       uint64
	waited       time.Duration
}

// Streams returns a snapshot of what is being relayed, by camera and profile. Replays are their viewers' own and not in
// it.
func (r *Relay) Streams() []StreamStats {
	r.feeds.mu.Lock()
	out := make([]StreamStats, 0, len(r.feeds.byKey))
	for _, f := range r.feeds.byKey {
		out = append(out, f.stats())
	}
	r.feeds.mu.Unlock()
	slices.SortFunc(out, func(a, b StreamStats) int {
		return cmp.Or(cmp.Compare(a.Camera, b.Camera), cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Variant, b.Variant))
	})
	return out
}

func (f *feed) stats() StreamStats {
	l := f.video
	if a := f.audio.Load(); a != nil && f.key.isSound() {
		l = a
	}
	u := &l.usage
	s := StreamStats{
		Camera: f.key.camera, Profile: f.key.profile, Variant: string(f.key.variant), Viewers: len(*l.viewers.Load()),
		Packets: u.packets.Load(), Bytes: u.bytes.Load(), Nacked: u.nacked.Load(), Resent: u.resent.Load(),
		firsts: u.firsts.Load(), waited: time.Duration(u.waited.Load()),
	}
	if s.firsts > 0 {
		s.FirstFrameMS = float64(s.waited.Microseconds()) / 1000 / float64(s.firsts)
	}
	var drops [dropReasons]uint64
	for d := range drops {
		drops[d] = u.drops[d].Load()
	}
	s.Drops = dropsByName(drops)
	return s
}

// streamCollector shows the streams as metrics. A stream's go when its last viewer does.
type streamCollector struct {
	relay                                   *Relay
	viewers, packets, bytes, nacked, resent *prometheus.Desc
	firstFrame, drops                       *prometheus.Desc
}

func newStreamCollector(r *Relay) *streamCollector {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		labels := append([]string{"camera", "profile", "variant"}, more...)
		return prometheus.NewDesc("skein_relay_stream_"+name, help, labels, nil)
	}
	return &streamCollector{
		relay:      r,
		viewers:    desc("viewers", "Viewers of a stream."),
		packets:    desc("packets_total", "RTP packets of a stream sent to its viewers, without retransmissions."),
		bytes:      desc("bytes_total", "RTP payload bytes of a stream sent to its viewers, without retransmissions."),
		nacked:     desc("nacked_packets_total", "Packets of a stream that viewers reported missing."),
		resent:     desc("resent_packets_total", "Packets of a stream sent again."),
		firstFrame: desc("first_frame_seconds", "From asking for a stream to sending its first picture."),
		drops:      desc("drops_total", "Units and retransmissions of a stream not sent, by reason.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (c *streamCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.viewers, c.packets, c.bytes, c.nacked, c.resent, c.firstFrame, c.drops} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *streamCollector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.relay.Streams() {
		labels := []string{s.Camera, string(s.Profile), s.Variant}
		count := func(d *prometheus.Desc, v uint64, more ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append(labels, more...)...)
		}
		out <- prometheus.MustNewConstMetric(c.viewers, prometheus.GaugeValue, float64(s.Viewers), labels...)
		count(c.packets, s.Packets)
		count(c.bytes, s.Bytes)
		count(c.nacked, s.Nacked)
		count(c.resent, s.Resent)
		out <- prometheus.MustNewConstSummary(c.firstFrame, s.firsts, s.waited.Seconds(), nil, labels...)
		for reason, n := range s.Drops {
			count(c.drops, n, reason)
		}
	}
}
