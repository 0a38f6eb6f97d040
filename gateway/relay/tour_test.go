package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/gateway/relay"
)

// running makes cameras that publish until the test ends.
func running(tb testing.TB, ids ...string) map[string]*camera {
	tb.Helper()
	cams := map[string]*camera{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, id := range ids {
		c := newCamera()
		c.size = 1500
		c.publish()
		cams[id+"/sub"] = c
		wg.Go(func() { c.run(ctx, 25) })
	}
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return cams
}

// A tour shows its cameras in turn, opens each before its turn, passes by those without a picture and says so, stands
// still when told, goes on when told, and ends with hide.
func TestTour(t *testing.T) {
	t.Parallel()
	cams := running(t, "a", "b", "c")
	dead := newCamera() // never publishes
	cams["dead/sub"] = dead
	stale := newCamera() // published long ago
	stale.publishAt(time.Now().Add(-time.Minute))
	cams["stale/sub"] = stale
	r, cs := start(t, relay.Config{StartTimeout: 300 * time.Millisecond}, cams)
	var secret atomic.Bool
	v := relay.Viewer{Name: "li", Key: "li", Allow: func(c string) bool { return c != "secret" && (c != "c" || !secret.Load()) }}
	w := newWall(t, r, 2, v)
	w.tell(`{"type":"tour","slot":1,"cameras":["a","dead","stale","secret","nobody","b","c"],"dwell_s":2,"profile":"sub"}`)
	first := w.state(is(1, "a", "live"))
	if first.Total != 7 || first.Index != 0 || first.Paused {
		t.Errorf("%+v", first)
	}
	shown := time.Now()
	var skipped []string
	opened := make(chan time.Time, 1)
	go func() {
		for t.Context().Err() == nil {
			if cs.inUse.Load() == 2 { // a is still shown, b is open already
				opened <- time.Now()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	w.state(func(s wallState) bool {
		if s.Skipped {
			skipped = append(skipped, fmt.Sprintf("%s %s %s", s.Camera, s.State, s.Reason))
		}
		return s.Camera == "b" && s.State == "live"
	})
	if d := time.Since(shown); d < 1900*time.Millisecond || d > 3*time.Second {
		t.Errorf("a was shown for %v, want 2 s", d)
	}
	want := []string{
		"dead no_signal no-signal", "stale no_signal no-signal", "secret not_permitted not-permitted", "nobody offline unknown-camera",
	}
	if !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	if ahead := time.Since(<-opened); ahead < 200*time.Millisecond {
		t.Errorf("the next camera was opened only %v ahead of time", ahead)
	}
	w.tell(`{"type":"tour_next","slot":1}`)
	if s := w.state(is(1, "c", "live")); s.Index != 6 {
		t.Errorf("%+v", s)
	}
	w.tell(`{"type":"tour_pause","slot":1,"paused":true}`)
	w.state(func(s wallState) bool { return s.Camera == "c" && s.Paused })
	for range 4 { // longer than a dwell time: about a state a second
		if s := w.state(func(s wallState) bool { return s.Slot == 1 && !s.Skipped }); s.Camera != "c" || !s.Paused {
			t.Errorf("paused, but %+v", s)
		}
	}
	w.tell(`{"type":"tour_pause","slot":1,"paused":false}`)
	w.state(is(1, "a", "live"))
	w.tell(`{"type":"tour_next","slot":1}`)
	w.state(is(1, "b", "live"))
	w.tell(`{"type":"tour_next","slot":1}`)
	w.state(is(1, "c", "live"))
	secret.Store(true) // what is no longer permitted goes at once, the tour goes on
	w.state(is(1, "c", "not_permitted"))
	w.state(is(1, "a", "live"))
	w.tell(`{"type":"hide","slot":1}`)
	within(t, "hidden", func() bool { return cs.inUse.Load() == 0 })
	w.tell(`{"type":"tour","slot":0,"cameras":["a","b"],"camera":"b","dwell_s":60}`)
	w.state(is(0, "b", "live"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	if s := w.state(is(0, "a", "live")); s.Total != 0 {
		t.Errorf("still a tour: %+v", s)
	}
}

// A tour of which no camera has a picture says so and finds the first that comes back.
func TestTourOfDeadCameras(t *testing.T) {
	t.Parallel()
	a, b := newCamera(), newCamera()
	r, _ := start(t, relay.Config{StartTimeout: 200 * time.Millisecond}, map[string]*camera{"a/sub": a, "b/sub": b})
	w := newWall(t, r, 1, everything("li"))
	w.tell(`{"type":"tour","slot":0,"cameras":["a","b"],"dwell_s":3,"profile":"sub"}`)
	for _, c := range []string{"a", "b"} {
		w.state(func(s wallState) bool { return s.Camera == c && s.Skipped && s.State == "no_signal" })
	}
	b.publish()
	w.tell(`{"type":"tour_next","slot":0}`) // try again now
	w.state(is(0, "b", "live"))
}

func TestViewerFigures(t *testing.T) {
	t.Parallel()
	cs := &cameras{byID: running(t, "a")}
	reg := prometheus.NewRegistry()
	r, err := relay.New(relay.Config{UDP: "127.0.0.1:0"}, cs, nil, reg)
	must(t, err)
	launch(t, r, cs)
	w := newWall(t, r, 2, everything("li"))
	w.tell(`{"type":"show","slot":1,"camera":"a","profile":"sub"}`)
	w.state(is(1, "a", "live"))
	w.tell(`{"type":"stats","slots":[{"slot":1,"decoded":100,"dropped":2,"frozen":0,"freeze_ms":0,"jitter_ms":4}]}`)
	slot := func() relay.SlotStats { return r.Sessions()[0].Slots[1] }
	within(t, "first report", func() bool { v := slot().Viewer; return v != nil && v.Decoded == 100 && v.JitterMS == 4 })
	if s := slot(); s.Camera != "a" || r.Sessions()[0].Viewer != "li" {
		t.Errorf("%+v", s)
	}
	<-time.After(600 * time.Millisecond) // reports of a slot are taken twice a second at most
	w.tell(`{"type":"stats","slots":[{"slot":1,"decoded":115,"dropped":3,"frozen":1,"freeze_ms":250,"jitter_ms":5},` +
		`{"slot":99,"decoded":1},{"slot":0,"decoded":5,"jitter_ms":-7},{"slot":-1}]}`)
	within(t, "second report", func() bool { return slot().Viewer.Decoded == 115 })
	if v := slot().Viewer; v.FPS < 10 || v.FPS > 26 || v.Freezes != 1 || v.FrozenMS != 250 {
		t.Errorf("%+v", v)
	}
	if v := r.Sessions()[0].Slots[0].Viewer; v != nil {
		t.Errorf("an impossible report is believed: %+v", v)
	}
	got := map[string]float64{}
	all, err := reg.Gather()
	must(t, err)
	for _, f := range all {
		if name := f.GetName(); strings.HasPrefix(name, "skein_viewer_") {
			m := f.GetMetric()[0]
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"skein_viewer_frames_decoded_total": 15, "skein_viewer_frames_dropped_total": 1, "skein_viewer_freezes_total": 1,
		"skein_viewer_frozen_seconds_total": 0.25, "skein_viewer_fps": 1, "skein_viewer_jitter_seconds": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if err := r.Report(t.Context(), w.session.ID, everything("wang"), nil); err == nil {
		t.Error("another login reports on this session")
	}
	must(t, r.Report(t.Context(), w.session.ID, everything("li"), []relay.SlotReport{{Slot: 0, Decoded: 1}}))
	within(t, "posted report", func() bool { return r.Sessions()[0].Slots[0].Viewer != nil })
}
