package spool

import (
	"container/heap"
	"sync"
	"time"
)

// entry is one sealed segment without a receipt. It is kept small: a week without a link makes a long list.
type entry struct {
	cam    *camera
	seq    uint64
	start  int64 // unix ms
	bytes  int64
	sealed time.Time
	tries  int
	after  time.Time // not to be tried earlier
}

// queue holds what is to be shipped, in two lanes.
type queue struct {
	wakeFresh, wakeBacklog chan struct{} // capacity 1

	mu      sync.Mutex // guards the fields below
	fresh   []entry    // in the order of sealing
	backlog entries    // oldest footage first
	later   entries    // tried in vain, soonest attempt first
	count   map[*camera]int
	total   int // with those under way
	bytes   int64
	out     map[entryKey]int64 // under way: start

	oldestBy map[*camera]int64 // start of each camera's oldest, as of oldestAt
	oldestAt time.Time
}

type entryKey struct {
	cam *camera
	seq uint64
}

// entries is a heap.
type entries struct {
	list []entry
	less func(a, b *entry) bool
}

func (h *entries) Len() int           { return len(h.list) }
func (h *entries) Less(i, j int) bool { return h.less(&h.list[i], &h.list[j]) }
func (h *entries) Swap(i, j int)      { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *entries) Push(x any)         { h.list = append(h.list, x.(entry)) } // only entries
func (h *entries) Pop() any {
	n := len(h.list) - 1
	e := h.list[n]
	h.list = h.list[:n]
	return e
}

func newQueue() *queue {
	return &queue{
		wakeFresh: make(chan struct{}, 1), wakeBacklog: make(chan struct{}, 1),
		backlog: entries{less: func(a, b *entry) bool { return a.start < b.start }},
		later:   entries{less: func(a, b *entry) bool { return a.after.Before(b.after) }},
		count:   map[*camera]int{}, out: map[entryKey]int64{},
	}
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// addFresh appends a segment just sealed.
func (q *queue) addFresh(e entry) {
	q.mu.Lock()
	q.fresh = append(q.fresh, e)
	q.counted(e, 1)
	q.mu.Unlock()
	wake(q.wakeFresh)
}

// addBacklog adds a segment that an earlier process has left.
func (q *queue) addBacklog(e entry) {
	q.mu.Lock()
	heap.Push(&q.backlog, e)
	q.counted(e, 1)
	q.mu.Unlock()
	wake(q.wakeBacklog)
}

func (q *queue) counted(e entry, sign int) {
	q.total += sign
	q.bytes += int64(sign) * e.bytes
	q.count[e.cam] += sign
	if q.count[e.cam] == 0 {
		delete(q.count, e.cam)
	}
}

// takeFresh returns the next of the fresh lane; what has waited longer than limit goes to the backlog instead.
func (q *queue) takeFresh(now time.Time, limit time.Duration) (e entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.fresh) > 0 {
		e = q.fresh[0]
		q.fresh[0] = entry{}
		q.fresh = q.fresh[1:]
		if now.Sub(e.sealed) <= limit {
			q.out[entryKey{e.cam, e.seq}] = e.start
			return e, true
		}
		heap.Push(&q.backlog, e)
		wake(q.wakeBacklog)
	}
	q.fresh = nil
	return entry{}, false
}

// takeBacklog returns the next of the backlog lane, or how long to wait for one (0: until woken).
func (q *queue) takeBacklog(now time.Time) (e entry, ok bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.later.Len() > 0 && !q.later.list[0].after.After(now) {
		heap.Push(&q.backlog, heap.Pop(&q.later))
	}
	if q.backlog.Len() > 0 {
		e = heap.Pop(&q.backlog).(entry) // only entries
		q.out[entryKey{e.cam, e.seq}] = e.start
		return e, true, 0
	}
	if q.later.Len() > 0 {
		return entry{}, false, q.later.list[0].after.Sub(now)
	}
	return entry{}, false, 0
}

// again returns an entry under way to the backlog, to be tried after its time.
func (q *queue) again(e entry) {
	q.mu.Lock()
	delete(q.out, entryKey{e.cam, e.seq})
	heap.Push(&q.later, e)
	q.mu.Unlock()
	wake(q.wakeBacklog)
}

// done forgets an entry under way.
func (q *queue) done(e entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.out, entryKey{e.cam, e.seq})
	q.counted(e, -1)
}

// dropOldest takes the oldest footage that is not under way off the lists for good.
func (q *queue) dropOldest() (e entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from, at := 0, 0
	best := func(list []entry, lane int) {
		for i := range list {
			if !ok || list[i].start < e.start {
				e, ok, from, at = list[i], true, lane, i
			}
			if lane == 1 {
				break // a heap's first is its oldest
			}
		}
	}
	best(q.backlog.list, 1)
	best(q.fresh, 2)
	best(q.later.list, 3)
	switch from {
	case 1:
		heap.Pop(&q.backlog)
	case 2:
		q.fresh = append(q.fresh[:at], q.fresh[at+1:]...)
	case 3:
		heap.Remove(&q.later, at)
	}
	if ok {
		q.counted(e, -1)
	}
	return e, ok
}

// oldest returns the start of the oldest footage without a receipt.
func (q *queue) oldest() (ms int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	take := func(start int64) {
		if !ok || start < ms {
			ms, ok = start, true
		}
	}
	if q.backlog.Len() > 0 {
		take(q.backlog.list[0].start)
	}
	for i := range q.fresh {
		take(q.fresh[i].start)
	}
	for i := range q.later.list {
		take(q.later.list[i].start)
	}
	for _, start := range q.out {
		take(start)
	}
	return ms, ok
}

// oldestFor is how long one look through all that waits is good for.
const oldestFor = 5 * time.Second

// oldestOf returns where the footage of the camera that waits begins, zero if none does. It may be some seconds old.
func (q *queue) oldestOf(c *camera, now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count[c] == 0 {
		return time.Time{}
	}
	ms, ok := q.oldestBy[c]
	if !ok || now.Sub(q.oldestAt) >= oldestFor {
		q.lookThrough(now)
		ms = q.oldestBy[c]
	}
	return time.UnixMilli(ms).UTC()
}

// lookThrough finds each camera's oldest. q.mu is held.
func (q *queue) lookThrough(now time.Time) {
	q.oldestBy, q.oldestAt = make(map[*camera]int64, len(q.count)), now
	take := func(c *camera, start int64) {
		if ms, ok := q.oldestBy[c]; !ok || start < ms {
			q.oldestBy[c] = start
		}
	}
	for _, list := range [][]entry{q.fresh, q.backlog.list, q.later.list} {
		for i := range list {
			take(list[i].cam, list[i].start)
		}
	}
	for k, start := range q.out {
		take(k.cam, start)
	}
}

// size returns how many segments wait or are under way, and their bytes.
func (q *queue) size() (n int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total, q.bytes
}

// of returns how many of the camera's segments wait or are under way.
func (q *queue) of(c *camera) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count[c]
}
