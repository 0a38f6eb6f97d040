package recorder

import (
	"cmp"
	"container/heap"
	"context"
	"time"

	"skein/recorder/segment"
)

const (
	// evictTo is to how many percent of its bound an archive is brought that has reached it: deletions that come many
	// at a time share their tombstones.
	evictTo = 97
	// perEviction bounds how many segments one turn removes; the next goes on.
	perEviction = 2000
	// forEver is the retention, in days, that counts for a camera whose footage is kept for ever.
	forEver = 3650
)

// evictor makes room while the archive is over its bounds. Footage goes first that has used up most of what its camera
// was promised, so that a shortage is shared: where all are kept equally long that is the oldest of all. One goroutine
// uses it.
type evictor struct {
	r     *Recorder
	heads heads // of one turn
	stuck bool  // it was said that nothing may be removed
}

// head is the oldest record left of one camera.
type head struct {
	camera string
	keep   time.Duration    // promised
	list   []segment.Record // of one day, in order
	days   []time.Time      // still to be read
}

// used is which part of its retention the camera's oldest footage has used up.
func (h *head) used(now time.Time) float64 {
	return float64(now.Sub(h.list[0].Start)) / float64(h.keep)
}

// fill reads on until there is a record, and reports whether there is.
func (h *head) fill(ctx context.Context, x Index) (ok bool, err error) {
	for len(h.list) == 0 && len(h.days) > 0 {
		if h.list, err = dayOf(ctx, x, h.camera, h.days[0]); err != nil {
			return false, err
		}
		h.days = h.days[1:]
	}
	return len(h.list) > 0, nil
}

// heads is a heap: the footage that goes first is on top.
type heads struct {
	now  time.Time // one moment for all, so that their order does not change meanwhile
	list []*head
}

// Len implements heap.Interface.
func (h *heads) Len() int { return len(h.list) }

// Less implements heap.Interface.
func (h *heads) Less(i, j int) bool { return h.list[i].used(h.now) > h.list[j].used(h.now) }

// Swap implements heap.Interface.
func (h *heads) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }

// Push implements heap.Interface.
func (h *heads) Push(x any) { h.list = append(h.list, x.(*head)) } //nolint:forcetypeassert // only heads are pushed

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}

// over returns how many bytes must go.
func (e *evictor) over() int64 {
	r := e.r
	total, ready := r.usage.bytes()
	if !ready {
		return 0
	}
	var must int64
	if limit := r.cfg.MaxBytes; limit > 0 && total > limit {
		must = total - limit/100*evictTo
	}
	if r.cfg.MinFree > 0 && r.deps.Free != nil {
		if free, _, err := r.deps.Free(); err == nil && free < r.cfg.MinFree {
			must = max(must, r.cfg.MinFree-free+r.cfg.MinFree/50)
		}
	}
	return must
}

// run removes what must go, and gives up until its next turn at an error.
func (e *evictor) run(ctx context.Context) {
	must := e.over()
	if must <= 0 {
		return
	}
	if err := e.load(ctx); err != nil {
		e.r.log.Error("oldest footage could not be found", "error", err)
		return
	}
	var freed int64
	var n int
	for freed < must && ctx.Err() == nil {
		chosen, err := e.choose(ctx, must-freed)
		if err != nil {
			e.r.log.Error("oldest footage could not be found", "error", err)
			break
		}
		if len(chosen) == 0 {
			if !e.stuck {
				e.stuck = true
				e.r.log.Error("archive is over its bound and nothing may be removed: all that is left is locked",
					"over", must-freed)
			}
			break
		}
		gone, bytes, err := e.remove(ctx, chosen)
		n += gone
		freed += bytes
		if err != nil {
			if ctx.Err() == nil {
				e.r.log.Error("footage could not be removed", "error", err)
			}
			break
		}
	}
	if n > 0 {
		e.stuck = false
		e.r.m.evicted.Add(float64(n))
		e.r.m.evictedBytes.Add(float64(freed))
		e.r.log.Info("oldest footage removed to keep the archive within its bound", "segments", n, "bytes", freed)
	}
}

// choose takes the records that go first, together about so many bytes, by camera.
func (e *evictor) choose(ctx context.Context, bytes int64) (map[string][]segment.Record, error) {
	chosen := map[string][]segment.Record{}
	for n := 0; bytes > 0 && n < perEviction && len(e.heads.list) > 0; n++ {
		h := e.heads.list[0]
		rec := h.list[0]
		h.list = h.list[1:]
		chosen[h.camera] = append(chosen[h.camera], rec)
		bytes -= rec.Bytes
		ok, err := h.fill(ctx, e.r.deps.Index)
		switch {
		case err != nil:
			return nil, err
		case ok:
			heap.Fix(&e.heads, 0)
		default:
			heap.Pop(&e.heads)
		}
	}
	return chosen, nil
}

// load finds the oldest footage of every camera.
func (e *evictor) load(ctx context.Context) error {
	ids, err := e.r.deps.Index.Cameras(ctx)
	if err != nil {
		return err
	}
	e.heads = heads{now: time.Now()}
	for _, id := range ids {
		days, err := e.r.deps.Index.Days(ctx, id)
		if err != nil {
			return err
		}
		h := &head{camera: id, days: days, keep: time.Duration(cmp.Or(e.r.keep(id), forEver)) * 24 * time.Hour}
		ok, err := h.fill(ctx, e.r.deps.Index)
		if err != nil {
			return err
		}
		if ok {
			e.heads.list = append(e.heads.list, h)
		}
	}
	heap.Init(&e.heads)
	return nil
}

// tooYoung counts the segments whose retention, in days, is not over; 0 is for ever.
func tooYoung(list []segment.Record, keep int, now time.Time) (n int) {
	for _, rec := range list {
		if rec.Early(keep, now) {
			n++
		}
	}
	return n
}

// remove deletes what was chosen, and notes what went before the retention of its camera was over.
func (e *evictor) remove(ctx context.Context, chosen map[string][]segment.Record) (n int, bytes int64, err error) {
	now := time.Now()
	for id, list := range chosen {
		gone, size, err := e.r.deps.Evict(ctx, id, list)
		n += gone
		bytes += size
		if err != nil {
			return n, bytes, err
		}
		if n := min(gone, tooYoung(list, e.r.keep(id), now)); n > 0 {
			e.r.early.note(id, n, now)
		}
	}
	return n, bytes, nil
}
