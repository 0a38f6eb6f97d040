package relay

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SlotReport is what a viewer says of one slot: totals since its connection began, but for the delays.
type SlotReport struct {
	Slot     int     `json:"slot"`
	Decoded  uint64  `json:"decoded"`   // pictures
	Dropped  uint64  `json:"dropped"`   // pictures decoded or received but not shown
	Frozen   uint64  `json:"frozen"`    // freezes
	FreezeMS float64 `json:"freeze_ms"` // their length in all
	JitterMS float64 `json:"jitter_ms"` // of arrival, now
	DelayMS  float64 `json:"delay_ms"`  // in the jitter buffer, now
	Width    int     `json:"width"`
	Height   int     `json:"height"`
}

// ViewerStats are a viewer's own figures of one slot.
type ViewerStats struct {
	At       time.Time `json:"at"`  // of the last report, UTC
	FPS      float64   `json:"fps"` // decoded, between the last two reports
	Decoded  uint64    `json:"decoded"`
	Dropped  uint64    `json:"dropped"`
	Freezes  uint64    `json:"freezes"`
	FrozenMS float64   `json:"frozen_ms"`
	JitterMS float64   `json:"jitter_ms"`
	DelayMS  float64   `json:"delay_ms,omitempty"`
	Width    int       `json:"width,omitempty"`
	Height   int       `json:"height,omitempty"`
}

// Bounds of what is believed: reports come from strangers' machines and end in counters.
const (
	reportPause   = 500 * time.Millisecond // more frequent reports of a slot are ignored
	maxReportFPS  = 300
	maxDelayMS    = 60_000
	maxTotal      = 1 << 53 // beyond it JSON numbers are not exact
	maxDimensions = 1 << 15
)

// figures keep the newest report of every slot. Safe for concurrent use.
type figures struct {
	mu     sync.Mutex // guards the field below
	bySlot map[int]*ViewerStats
}

// snapshot returns a copy by slot.
func (f *figures) snapshot() map[int]*ViewerStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[int]*ViewerStats, len(f.bySlot))
	for i, v := range f.bySlot {
		c := *v
		out[i] = &c
	}
	return out
}

// Report takes a viewer's figures of its session, posted over HTTP. Walls send them over their data channel.
func (r *Relay) Report(_ context.Context, id string, v Viewer, slots []SlotReport) error {
	s, err := r.find(id, v)
	if err != nil {
		return err
	}
	s.reported(slots)
	return nil
}

// reported takes what the viewer says.
func (s *session) reported(slots []SlotReport) {
	now := time.Now()
	for _, r := range slots {
		if r.Slot < 0 || r.Slot >= len(s.slots) || !r.sane() {
			continue
		}
		if from, to, ok := s.seen.take(r, now); ok {
			s.relay.metrics.viewers.add(from, to)
		}
	}
}

func (r *SlotReport) sane() bool {
	small := func(v, most float64) bool { return v >= 0 && v <= most } // false for NaN too
	return r.Decoded < maxTotal && r.Dropped < maxTotal && r.Frozen < maxTotal && small(r.FreezeMS, maxTotal) &&
		small(r.JitterMS, maxDelayMS) && small(r.DelayMS, maxDelayMS) && r.Width >= 0 && r.Width <= maxDimensions &&
		r.Height >= 0 && r.Height <= maxDimensions
}

// take stores a report and returns the two readings between which something may be counted; ok is false for the first
// one, for one that comes too soon, and where totals went back or grew faster than any screen can show.
func (f *figures) take(r SlotReport, now time.Time) (from, to ViewerStats, ok bool) {
	to = ViewerStats{
		At: now.UTC(), Decoded: r.Decoded, Dropped: r.Dropped, Freezes: r.Frozen, FrozenMS: r.FreezeMS,
		JitterMS: r.JitterMS, DelayMS: r.DelayMS, Width: r.Width, Height: r.Height,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bySlot == nil {
		f.bySlot = map[int]*ViewerStats{}
	}
	old := f.bySlot[r.Slot]
	if old == nil {
		f.bySlot[r.Slot] = &to
		return from, to, false
	}
	from = *old
	gone := to.At.Sub(from.At)
	if gone < reportPause {
		return from, to, false
	}
	most := gone.Seconds()*maxReportFPS + 10
	ok = to.Decoded >= from.Decoded && to.Dropped >= from.Dropped && to.Freezes >= from.Freezes &&
		to.FrozenMS >= from.FrozenMS && float64(to.Decoded-from.Decoded) <= most &&
		float64(to.Dropped-from.Dropped) <= most && float64(to.Freezes-from.Freezes) <= most &&
		to.FrozenMS-from.FrozenMS <= gone.Seconds()*1000+maxDelayMS
	if ok {
		to.FPS = float64(to.Decoded-from.Decoded) / gone.Seconds()
	}
	f.bySlot[r.Slot] = &to
	return from, to, ok
}

// viewerMetrics sum up what viewers say.
type viewerMetrics struct {
	decoded, dropped, freezes, frozen prometheus.Counter
	fps, jitter                       prometheus.Histogram
}

func newViewerMetrics(reg prometheus.Registerer) viewerMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "skein_viewer_" + name, Help: help})
	}
	m := viewerMetrics{
		decoded: counter("frames_decoded_total", "Pictures that viewers say they decoded."),
		dropped: counter("frames_dropped_total", "Pictures that viewers say they dropped."),
		freezes: counter("freezes_total", "Freezes that viewers report."),
		frozen:  counter("frozen_seconds_total", "Length of the freezes that viewers report."),
		fps: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "skein_viewer_fps", Help: "Pictures a second a slot decoded, one observation per report.",
			Buckets: []float64{0.5, 5, 10, 14, 18, 22, 24, 28, 50, 60},
		}),
		jitter: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "skein_viewer_jitter_seconds", Help: "Jitter of arrival, one observation per slot and report.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.decoded, m.dropped, m.freezes, m.frozen, m.fps, m.jitter)
	}
	return m
}

func (m *viewerMetrics) add(from, to ViewerStats) {
	m.decoded.Add(float64(to.Decoded - from.Decoded))
	m.dropped.Add(float64(to.Dropped - from.Dropped))
	m.freezes.Add(float64(to.Freezes - from.Freezes))
	m.frozen.Add((to.FrozenMS - from.FrozenMS) / 1000)
	m.fps.Observe(to.FPS)
	m.jitter.Observe(to.JitterMS / 1000)
}
