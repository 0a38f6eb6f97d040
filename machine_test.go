package main

import (
	"cmp"
	"flag"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	// wholeMachine is what the tests that run at the same time may need together, in eighths of the machine: the other
	// packages' tests, which run beside them, have the rest.
	wholeMachine = 6
	// many tests may wait for their share at the same time, unless -parallel says otherwise.
	many = 64
)

// machine is shared out among the tests. Most of them wait: for segments to fill, for timeouts, for what was killed to
// come back; so more of them than there are processors may run at once, if each says what it needs.
var machine = room{free: wholeMachine}

// room has space for guests. It is safe for concurrent use.
type room struct {
	mu    sync.Mutex // guards the fields below
	free  int
	queue []*guest
}

// guest is a test that waits for its share.
type guest struct {
	share int
	lasts time.Duration
	enter chan struct{} // closed when it may
}

// beside makes a test run beside others. share is what it needs, in eighths of the machine: the processor time that it
// and its processes use, and more if it measures delays, so that no busy test runs beside it. lasts is about how long it
// takes. Those that need most begin first, of equals the longest; the others fill the room that is left.
func beside(t *testing.T, share int, lasts time.Duration) {
	t.Helper()
	t.Parallel()
	began := time.Now()
	machine.take(&guest{share: share, lasts: lasts, enter: make(chan struct{})})
	t.Cleanup(func() { machine.give(share) })
	t.Logf("its share of the machine came after %v", time.Since(began).Round(time.Second))
}

// take waits for the guest's turn.
func (r *room) take(g *guest) {
	r.mu.Lock()
	r.queue = append(r.queue, g)
	slices.SortStableFunc(r.queue, func(a, b *guest) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(b.lasts, a.lasts))
	})
	r.admit()
	r.mu.Unlock()
	<-g.enter
}

func (r *room) give(share int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += share
	r.admit()
}

// admit lets in whom there is room for. The caller holds r.mu.
func (r *room) admit() {
	r.queue = slices.DeleteFunc(r.queue, func(g *guest) bool {
		if g.share > r.free {
			return false
		}
		r.free -= g.share
		close(g.enter)
		return true
	})
}

// manyAtOnce lets more tests begin than there are processors.
func manyAtOnce() error {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if chosen {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(many))
}
