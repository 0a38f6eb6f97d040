package relay

import (
	"context"
	"slices"
	"sync"
	"time"
)

// tourLead is how long before the switch the next camera is opened at most, and how long it may take to have a picture.
const tourLead = 4 * time.Second

// tour shows a list of cameras in a tile, each for a while. The next one is opened ahead of time, so that the switch is
// instant; what has no picture is passed by, and the page is told.
type tour struct {
	tile *tile
	cmd  command
	stop context.CancelFunc

	skip    chan struct{} // capacity 1: go on now
	changed chan struct{} // capacity 1: paused or resumed

	mu     sync.Mutex // guards the fields below; nests inside tile.mu
	index  int        // shown
	paused bool
}

// startTour makes the tile tour in place of whatever it did.
func (t *tile) startTour(c command) {
	t.endTour()
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithCancel(t.wall.ctx)
	tr := &tour{tile: t, cmd: c, stop: cancel, skip: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	tr.index = max(slices.Index(c.Cameras, c.Camera), 0)
	if !t.wall.spawn(func() {
		defer cancel()
		tr.run(ctx)
	}) {
		cancel()
		return
	}
	t.rest()
	t.tour = tr
}

// endTour ends the tile's tour; the picture stays.
func (t *tile) endTour() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tour != nil {
		t.tour.stop()
		t.tour = nil
	}
}

func (t *tile) pauseTour(paused bool) {
	t.mu.Lock()
	tr := t.tour
	t.mu.Unlock()
	if tr == nil {
		return
	}
	tr.mu.Lock()
	tr.paused = paused
	tr.mu.Unlock()
	poke(tr.changed)
}

func (t *tile) nextOfTour() {
	t.mu.Lock()
	tr := t.tour
	t.mu.Unlock()
	if tr != nil {
		poke(tr.skip)
	}
}

// state tells the page where the tour is; nil without a tour.
func (tr *tour) state() *tourState {
	if tr == nil {
		return nil
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return &tourState{Index: tr.index, Total: len(tr.cmd.Cameras), Paused: tr.paused}
}

// tourStop is one camera of a tour with a picture ready.
type tourStop struct {
	index int
	cmd   command
	feed  *feed
	asked time.Time
	why   Code // why it is not the profile asked for
}

// run shows camera after camera until ctx ends.
func (tr *tour) run(ctx context.Context) {
	dwell := time.Duration(tr.cmd.Dwell * float64(time.Second))
	lead := min(dwell/2, tourLead)
	next := tr.index
	s, ok := tr.prepare(ctx, next)
	for ctx.Err() == nil {
		if !ok { // nobody has a picture
			tr.await(ctx, retryMost)
			s, ok = tr.prepare(ctx, next)
			continue
		}
		if !tr.show(ctx, s) {
			return
		}
		next = (s.index + 1) % len(tr.cmd.Cameras)
		s, ok = tr.stay(ctx, next, dwell, lead)
	}
	if ok {
		tr.release(s)
	}
}

// stay lets the present camera be seen for dwell while the next one gets ready, and returns that one. ok is false if
// ctx ended or no other camera has a picture.
func (tr *tour) stay(ctx context.Context, next int, dwell, lead time.Duration) (s tourStop, ok bool) {
	hurried, ok := tr.await(ctx, dwell-lead)
	if !ok {
		return s, false
	}
	began := time.Now()
	if s, ok = tr.prepare(ctx, next); !ok {
		tr.await(ctx, lead)
		return s, false
	}
	if !hurried {
		tr.await(ctx, lead-time.Since(began))
	}
	return s, true
}

// await blocks for d, not counting pauses, or until the page wants to go on; ok is false when ctx ended.
func (tr *tour) await(ctx context.Context, d time.Duration) (hurried, ok bool) {
	for {
		tr.mu.Lock()
		paused := tr.paused
		tr.mu.Unlock()
		began := time.Now()
		timer := time.NewTimer(d)
		var due <-chan time.Time
		if !paused {
			due = timer.C
		}
		select {
		case <-due:
			return false, true
		case <-tr.skip:
			timer.Stop()
			return true, true
		case <-tr.changed:
			timer.Stop()
			if !paused {
				d -= time.Since(began)
			}
		case <-ctx.Done():
			timer.Stop()
			return false, false
		}
	}
}

// prepare opens the first camera from index on that has a picture, once around. The others are reported as skipped.
func (tr *tour) prepare(ctx context.Context, index int) (tourStop, bool) {
	n := len(tr.cmd.Cameras)
	for i := range n {
		s := tourStop{index: (index + i) % n, cmd: tr.cmd, asked: time.Now()}
		s.cmd.Camera = tr.cmd.Cameras[s.index]
		err := tr.open(ctx, &s)
		if err == nil {
			return s, true
		}
		if ctx.Err() != nil {
			return s, false
		}
		m := stateMessage{Slot: tr.tile.slot.index, Camera: s.cmd.Camera, Skipped: true, tourState: tr.state()}
		m.State, m.Reason = stateOfError(err)
		tr.tile.say(m)
	}
	return tourStop{}, false
}

// open fills in s.feed: the profile asked for, or the other if that has no picture.
func (tr *tour) open(ctx context.Context, s *tourStop) error {
	t := tr.tile
	if !t.wall.session.viewer.allowed(s.cmd.Camera) {
		return fail(CodeForbidden, "you may not see camera %q", s.cmd.Camera)
	}
	t.mu.Lock()
	first, second := profiles(s.cmd, t.lowered)
	t.mu.Unlock()
	limit := min(t.wall.session.relay.cfg.StartTimeout, tourLead)
	f, why, err := t.climb(ctx, s.cmd.Camera, first, second, limit)
	if err != nil {
		return err
	}
	if age := f.age(time.Now()); age > frozenAge {
		t.wall.session.relay.feeds.release(f)
		return fail(CodeNoSignal, "camera %q has shown nothing new for %v", s.cmd.Camera, age.Round(time.Second))
	}
	s.feed, s.why = f, why
	return nil
}

func (tr *tour) release(s tourStop) { tr.tile.wall.session.relay.feeds.release(s.feed) }

// show puts the camera into the slot; false if the tour is over.
func (tr *tour) show(ctx context.Context, s tourStop) bool {
	t := tr.tile
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		tr.release(s)
		return false
	}
	tr.mu.Lock()
	tr.index = s.index
	tr.mu.Unlock()
	t.rest()
	t.wish(s.cmd)
	if t.feed == s.feed { // the only one with a picture
		tr.release(s)
		return true
	}
	t.put(s.feed, s.asked, s.why)
	return true
}
