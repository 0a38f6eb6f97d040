package api

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
)

// feedLook is how old the newest look at the cameras may be before another is due. All feeds share each look.
const feedLook = 150 * time.Millisecond

// feed remembers since which version each camera is as it is now. It has no goroutine and no queue: whoever wants to
// know looks, and a reader that is slow is told less often, never more. It is safe for concurrent use.
type feed struct {
	scope  func() *scope
	states func() map[string]status.Camera
	now    func() time.Time
	epoch  string // of this process: versions of another one mean nothing here

	mu      sync.Mutex // guards the fields below
	looked  time.Time
	version uint64
	sc      *scope
	changed uint64 // version at which the inventory changed last
	list    []seenCamera
}

// seenCamera is a camera as it was when something about it changed last.
type seenCamera struct {
	camera  district.Camera
	state   status.Camera
	version uint64
}

// mark is a point in the history of a feed.
type mark struct {
	epoch   string
	version uint64
}

func newFeed(sc func() *scope, states func() map[string]status.Camera, now func() time.Time) *feed {
	return &feed{scope: sc, states: states, now: now, epoch: strings.ToLower(rand.Text()[:8])}
}

func (m mark) String() string { return m.epoch + "." + strconv.FormatUint(m.version, 10) }

// parseMark reads what String wrote. What it cannot read is a mark of no feed.
func parseMark(s string) mark {
	epoch, n, _ := strings.Cut(s, ".")
	v, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return mark{}
	}
	return mark{epoch, v}
}

// mark looks at the cameras if that is due, and returns the present version.
func (f *feed) mark() mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return mark{f.epoch, f.version}
}

// since looks at the cameras if that is due and returns those in p's scope that changed after m. ok is false if changes
// alone do not lead from there to the present: another process, or another inventory.
func (f *feed) since(m mark, p access.Principal) (now mark, changed []seenCamera, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	now = mark{f.epoch, f.version}
	if m.epoch != f.epoch || m.version > f.version || m.version < f.changed {
		return now, nil, false
	}
	if m.version == f.version {
		return now, nil, true
	}
	for _, c := range f.list {
		if c.version > m.version && f.sc.unit(p, c.camera.Unit) {
			changed = append(changed, c)
		}
	}
	return now, changed, true
}

// look compares the cameras with how they were. The caller holds mu.
func (f *feed) look() {
	now := f.now()
	if age := now.Sub(f.looked); age >= 0 && age < feedLook && f.sc != nil {
		return
	}
	f.looked = now
	states, sc := f.states(), f.scope()
	if sc != f.sc {
		f.version++
		f.sc, f.changed, f.list = sc, f.version, make([]seenCamera, len(sc.sources))
		for i, c := range sc.sources {
			f.list[i] = seenCamera{c, stateOf(c, states), f.version}
		}
		return
	}
	next := f.version + 1
	for i := range f.list {
		s := &f.list[i]
		if st := stateOf(s.camera, states); !alike(s.state, st) {
			s.state, s.version, f.version = st, next, next
		}
	}
}

// alike reports whether two looks at a camera tell people the same. Figures that are never twice the same (bit rates,
// ages, counters) count only where they cross a line that somebody is shown.
func alike(a, b status.Camera) bool {
	if !a.Recording.Alike(b.Recording) || len(a.Profiles) != len(b.Profiles) {
		return false
	}
	for name, p := range a.Profiles {
		q, ok := b.Profiles[name]
		if !ok || !alikeProfiles(p, q) {
			return false
		}
	}
	return true
}

// Lines that figures of a profile may cross.
const (
	slowFPS     = 1.2             // below it a tile waits longer before it calls a picture frozen
	delayStepMS = 1000            // pictures this much later are worth telling
	clockOffMS  = 1000            // a clock that is further off is a fault
	sinceJitter = 2 * time.Second // moments read from the monotonic clock are that unsteady in wall time
)

func alikeProfiles(a, b status.Profile) bool {
	return a.State == b.State && a.Reason == b.Reason && a.Detail == b.Detail &&
		a.Since.Sub(b.Since).Abs() < sinceJitter && a.Codec == b.Codec && a.Audio == b.Audio &&
		a.Width == b.Width && a.Height == b.Height &&
		a.Transport == b.Transport && (a.FPS < slowFPS) == (b.FPS < slowFPS) &&
		a.DelayMS/delayStepMS == b.DelayMS/delayStepMS && clockOff(a.ClockOffsetMS) == clockOff(b.ClockOffsetMS)
}

// clockOff is -1 for a clock not measured, 1 for one that is off, else 0.
func clockOff(ms *int64) int {
	switch {
	case ms == nil:
		return -1
	case *ms > clockOffMS || *ms < -clockOffMS:
		return 1
	}
	return 0
}
