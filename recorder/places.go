package recorder

import (
	"sync"
	"time"
)

const (
	leastRate   = 64 << 10         // bytes a second below which an upload is slow, after a grace
	slowGrace   = 30 * time.Second // from the beginning of an upload
	wantedFor   = time.Minute      // after somebody was turned away, slow uploads give way
	longestBase = 2 * time.Minute  // that one upload may take, and besides
	longestRate = 4 << 10          // a second for so many bytes
)

// places are the uploads that may be under way: so many in all, and of each node its share, so that no node keeps the
// others out. While somebody is turned away, a node's slow uploads give way but for one: a thin link is no fault. It is
// safe for concurrent use.
type places struct {
	all, share int
	grace      time.Duration

	mu     sync.Mutex // guards the fields below
	taken  int
	of     map[string]int // by node
	wanted time.Time      // when a node was last turned away for want of a place in all
}

func newPlaces(all, share int) *places {
	return &places{all: all, share: share, grace: slowGrace, of: map[string]int{}}
}

// take takes a place for the node; false if there is none, or the node has its share. release gives it back.
func (p *places) take(node string) (release func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[node] >= p.share {
		return nil, false
	}
	if p.taken >= p.all {
		p.wanted = time.Now()
		return nil, false
	}
	p.taken++
	p.of[node]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.of[node]--; p.of[node] == 0 {
			delete(p.of, node)
		}
	}, true
}

// upload is one body on its way in.
type upload struct {
	places *places
	node   string
	size   int64
	began  time.Time
}

// tooSlow reports whether an upload that has brought n bytes by now has to end: it takes too long altogether, or it is
// slow and somebody wants a place of which the node has more than one.
func (u *upload) tooSlow(n int64, now time.Time) bool {
	took := now.Sub(u.began)
	if took > longestBase+time.Duration(u.size/longestRate)*time.Second {
		return true
	}
	if took <= u.places.grace || n >= int64(took.Seconds()*leastRate) {
		return false
	}
	u.places.mu.Lock()
	defer u.places.mu.Unlock()
	return u.places.of[u.node] > 1 && !u.places.wanted.IsZero() && now.Sub(u.places.wanted) < wantedFor
}
