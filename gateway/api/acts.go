package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/gateway/access"
)

const (
	// maxActs bounds the acts that go on at a time; beyond it the one that was idle longest is over.
	maxActs = 1 << 14
	// maxLate bounds the rows about ends that wait for a log that can be written again.
	maxLate = 1 << 12

	// oneStream is how long after the last sign of a single stream its viewing is over: it is asked about every second.
	oneStream = 5 * time.Second
	// wallBreak is how long a camera may be off a wall, or a player away, and it is still the same viewing: tours come
	// round again.
	wallBreak = 2 * time.Minute
	// readingBreak is how long nobody may ask for anything of a range of footage and it is still the same reading: a
	// player asks for one clip in many ranges, and people pause it.
	readingBreak = 10 * time.Minute
)

var errStopping = errors.New("the gateway is stopping")

// act is something a caller is doing: watching a camera, reading a range of footage, taking a file. Its beginning is a
// row of the audit log, written before it is let happen; its end is another row that names the first.
type act struct {
	key     string
	begun   access.Event
	since   time.Time
	pause   time.Duration // how long it may rest before it is over
	footage bool          // begun.From and To are of the footage, not of the act
	written chan struct{} // closed when the row of the beginning is durable, or err tells why it is not
	row     uint64        // of the beginning; read it after written is closed
	err     error

	// guarded by acts.mu
	last   time.Time // when it was last going on
	busy   int       // requests that serve it now
	bytes  int64     // of footage that were sent
	good   bool      // at least a part of it succeeded
	status int       // HTTP status of what did not
}

// acts knows what callers are doing just now. It is safe for concurrent use.
type acts struct {
	write func(access.Event) (row uint64, err error)
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex // guards the fields below
	open    map[string]*act
	late    []access.Event // ends that could not be written yet
	lost    int            // ends that were given up
	stopped bool
}

func newActs(write func(access.Event) (uint64, error), now func() time.Time, log *slog.Logger) *acts {
	return &acts{write: write, now: now, log: log, open: map[string]*act{}}
}

// begin notes that e, an event with its actor, begins now, and returns when that is durable. Where the act of that key
// is going on already it goes on, without another row. An error means that the act must not happen.
func (as *acts) begin(key string, e access.Event, pause time.Duration) (*act, error) {
	as.sweep()
	as.mu.Lock()
	if a := as.open[key]; a != nil {
		a.last = as.now()
		as.mu.Unlock()
		<-a.written
		return a, a.err
	}
	if as.stopped {
		as.mu.Unlock()
		return nil, errStopping
	}
	now := as.now()
	e.Outcome = access.Begun
	a := &act{
		key: key, begun: e, since: now, last: now, pause: pause, footage: !e.From.IsZero(),
		written: make(chan struct{}),
	}
	over := as.makeRoom()
	as.open[key] = a
	as.mu.Unlock()
	if over != nil {
		as.writeEnds(over)
	}
	a.row, a.err = as.write(e)
	if a.err != nil {
		as.mu.Lock()
		delete(as.open, key)
		as.mu.Unlock()
	}
	close(a.written)
	return a, a.err
}

// makeRoom ends the act that was idle longest if there are too many. The caller holds as.mu and writes what is over.
func (as *acts) makeRoom() (over []*act) {
	if len(as.open) < maxActs {
		return nil
	}
	var idle *act
	for _, a := range as.open {
		if a.busy == 0 && isClosed(a.written) && (idle == nil || a.last.Before(idle.last)) {
			idle = a
		}
	}
	if idle == nil {
		return nil
	}
	delete(as.open, idle.key)
	return []*act{idle}
}

// renew notes that the act goes on. It returns false if the act is over: it must begin again.
func (as *acts) renew(a *act) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.open[a.key] != a {
		return false
	}
	a.last, a.good = as.now(), true
	return true
}

// enter notes that a request serves the act; leave must follow.
func (as *acts) enter(a *act) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.busy++
}

// leave notes how a request ended that served the act: its HTTP status, and how many bytes it sent.
func (as *acts) leave(a *act, status int, bytes int64) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.busy--
	a.bytes += bytes
	a.last = as.now()
	if status/100 == 2 || status == 304 {
		a.good = true
	} else {
		a.status = status
	}
}

// end ends the act now.
func (as *acts) end(a *act) {
	as.mu.Lock()
	if as.open[a.key] != a {
		as.mu.Unlock()
		return
	}
	delete(as.open, a.key)
	as.mu.Unlock()
	as.writeEnds([]*act{a})
}

// reading returns the reading of footage that goes on and holds the moment, nil for none. Its key begins with prefix.
func (as *acts) reading(prefix string, at time.Time) *act {
	as.sweep()
	as.mu.Lock()
	defer as.mu.Unlock()
	for key, a := range as.open {
		if strings.HasPrefix(key, prefix) && isClosed(a.written) && a.footage &&
			a.begun.From.Add(-longestSegment).Before(at) && at.Before(a.begun.To) {
			a.last = as.now()
			return a
		}
	}
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sweep ends what has rested for longer than its pause, and writes what could not be written before.
func (as *acts) sweep() {
	now := as.now()
	as.endWhere(func(a *act) bool { return a.busy == 0 && now.Sub(a.last) > a.pause })
}

// endWhere ends the acts for which over holds, and writes the rows about ends that wait.
func (as *acts) endWhere(over func(*act) bool) {
	as.mu.Lock()
	var ended []*act
	for key, a := range as.open {
		if isClosed(a.written) && over(a) {
			delete(as.open, key)
			ended = append(ended, a)
		}
	}
	late := as.late
	as.late = nil
	as.mu.Unlock()
	slices.SortFunc(ended, inOrder)
	as.writeRows(late)
	as.writeEnds(ended)
}

// inOrder sorts acts by when they were last going on, then by when they began.
func inOrder(a, b *act) int { return cmp.Or(a.last.Compare(b.last), cmp.Compare(a.row, b.row)) }

func (as *acts) writeEnds(over []*act) {
	rows := make([]access.Event, 0, len(over))
	for _, a := range over {
		rows = append(rows, as.ended(a))
	}
	as.writeRows(rows)
}

// ended is the row about an act's end. Of what was watched it tells from when to when.
func (as *acts) ended(a *act) access.Event {
	as.mu.Lock()
	defer as.mu.Unlock()
	e := a.begun
	e.Outcome, e.Ref, e.Bytes = access.Done, a.row, a.bytes
	if !a.footage {
		e.From, e.To = a.since.UTC(), a.last.UTC()
	}
	if !a.good {
		e.Outcome, e.Status = access.Failed, a.status
	}
	return e
}

// writeRows writes rows about ends; what cannot be written waits.
func (as *acts) writeRows(rows []access.Event) {
	for i, e := range rows {
		_, err := as.write(e)
		if err == nil {
			continue
		}
		as.mu.Lock()
		as.late = append(as.late, rows[i:]...)
		if n := len(as.late) - maxLate; n > 0 {
			as.late = slices.Delete(as.late, 0, n)
			as.lost += n
		}
		as.mu.Unlock()
		return
	}
}

// Run ends acts as their time comes, until ctx ends; then it ends all of them.
func (as *acts) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			as.sweep()
		case <-ctx.Done():
			as.stop()
			return nil
		}
	}
}

// stop ends all acts: nothing begins any more.
func (as *acts) stop() {
	as.mu.Lock()
	as.stopped = true
	as.mu.Unlock()
	as.endWhere(func(*act) bool { return true })
	as.mu.Lock()
	defer as.mu.Unlock()
	if n := len(as.late) + as.lost; n > 0 {
		as.log.Error("rows of the audit log about ends are lost: it could not be written", "rows", n)
	}
}
