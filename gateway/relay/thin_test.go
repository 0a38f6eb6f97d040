package relay

import (
	"testing"
	"time"

	"skein/edge/media"
)

// wallOf returns a wall of so many live tiles of 400 kbit/s, each larger than the one before.
func wallOf(t *testing.T, tiles int) *wall {
	t.Helper()
	l, _, _ := hotSlots(t, tiles)
	r := (*l.viewers.Load())[0].session.relay
	s := &session{relay: r, wake: make(chan struct{}, 1)}
	w := &wall{session: s}
	s.wall = w
	f := &feed{key: feedKey{camera: "cam", profile: media.Sub}, relay: r, video: l}
	l.cost = cost{all: 400, keys: 100}
	for i, sl := range *l.viewers.Load() {
		sl.session, sl.index, sl.phase = s, i, phaseLive
		s.slots = append(s.slots, sl)
		tl := &tile{wall: w, slot: sl, feed: f}
		tl.wish(command{Type: "show", Profile: media.Sub, Width: 300 + i, Height: 300})
		w.tiles = append(w.tiles, tl)
	}
	return w
}

func thinOnes(w *wall) (n []int) {
	for i, t := range w.tiles {
		if t.thin {
			n = append(n, i)
		}
	}
	return n
}

// The smallest tiles are thinned, as many as need be, never the largest; half of them come back at a time.
func TestSmallTilesAreThinnedFirst(t *testing.T) {
	w := wallOf(t, 6)
	if n := w.thin(reading{kbps: 2000}); n != 3 || len(thinOnes(w)) != 3 || thinOnes(w)[2] != 2 {
		t.Errorf("%d: %v", n, thinOnes(w))
	}
	if w.thin(reading{kbps: 1}); len(thinOnes(w)) != 5 || w.tiles[5].thin {
		t.Errorf("%v", thinOnes(w))
	}
	if w.thin(reading{kbps: 1}) != 0 {
		t.Error("the last tile was thinned")
	}
	for _, want := range []int{2, 1, 0} {
		if !w.fatten() || len(thinOnes(w)) != want {
			t.Errorf("%v are left, want %d", thinOnes(w), want)
		}
	}
	if w.fatten() {
		t.Error("there was none")
	}
}

// A thinned slot sends every key frame and nothing else.
func TestThinnedSlotSendsKeyFrames(t *testing.T) {
	s := newSpread(t)
	s.arrived(t)
	s.setThin(true)
	for i := range 4 {
		s.publish(i == 2, 20_000)
		if got := len(s.arrived(t)); got > 0 != (i == 2) {
			t.Errorf("picture %d: %d packets", i, got)
		}
	}
	if s.setThin(false); !s.shedding(time.Now()) {
		t.Error("the slot does not say so")
	}
	s.publish(true, 20_000)
	s.arrived(t)
	if s.publish(false, 20_000); len(s.arrived(t)) == 0 {
		t.Error("it does not move again")
	}
}

// A long queue stops the smaller half at first, the rest only if that did not help; a very long one stops all.
func TestLongQueueStopsTilesInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		after []time.Duration // of reports of a queue of 800 ms
		queue time.Duration
		stop  []int
	}{
		"one report":      {[]time.Duration{0}, 800 * time.Millisecond, []int{0, 1}},
		"several at once": {[]time.Duration{0, 100 * time.Millisecond, 700 * time.Millisecond}, 800 * time.Millisecond, []int{0, 1}},
		"it did not help": {[]time.Duration{0, 900 * time.Millisecond}, 800 * time.Millisecond, []int{0, 1, 2}},
		"very long":       {[]time.Duration{0}, 1500 * time.Millisecond, []int{0, 1, 2, 3}},
	} {
		w := wallOf(t, 4)
		now := time.Unix(1e9, 0)
		for _, d := range c.after {
			w.session.queued(c.queue, now.Add(d))
		}
		var stopped []int
		for i, sl := range w.session.slots {
			if sl.phase == phaseWait {
				stopped = append(stopped, i)
			}
		}
		if len(stopped) != len(c.stop) || stopped[len(stopped)-1] != c.stop[len(c.stop)-1] {
			t.Errorf("%s: %v stopped, want %v", name, stopped, c.stop)
		}
	}
}
