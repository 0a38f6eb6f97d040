package recorder

import (
	"context"
	"errors"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// evictor removes the oldest footage of all cameras while the archive is over its bounds. One goroutine uses it.
type evictor struct {
	r       *Recorder
	cameras map[string]*oldest
	warned  bool
}

// oldest walks the records of one camera from the oldest on.
type oldest struct {
	list []segment.Record // of one day, in order
	days []time.Time      // still to be read
}

// reset forgets what was read: the index is asked again.
func (e *evictor) reset() { e.cameras = nil }

// over returns how many bytes must go.
func (e *evictor) over() int64 {
	r := e.r
	total, ready := r.usage.bytes()
	if !ready {
		return 0
	}
	var must int64
	if limit := r.cfg.MaxBytes; limit > 0 && total > limit {
		must = total - limit/100*98
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
	if e.cameras == nil {
		if err := e.load(ctx); err != nil {
			e.r.log.Error("oldest footage could not be found", "err", err)
			return
		}
	}
	var freed int64
	var n int
	for freed < must && ctx.Err() == nil {
		id, c, err := e.pick(ctx)
		if err != nil {
			e.r.log.Error("oldest footage could not be found", "err", err)
			break
		}
		if c == nil {
			if !e.warned {
				e.warned = true
				e.r.log.Error("archive is over its bound and nothing may be removed", "over", must-freed)
			}
			e.reset()
			break
		}
		rec := c.list[0]
		c.list = c.list[1:]
		err = e.r.deps.Remove(ctx, id, rec)
		if errors.Is(err, store.ErrLocked) {
			continue
		}
		if err != nil {
			e.r.log.Error("segment could not be removed", "camera", id, "segment", rec.Key(id), "err", err)
			e.reset()
			break
		}
		var next time.Time
		if len(c.list) > 0 {
			next = c.list[0].Start
		}
		e.r.usage.removed(id, rec, next)
		freed += rec.Bytes
		n++
	}
	if n > 0 {
		e.warned = false
		e.r.m.evicted.Add(float64(n))
		e.r.m.evictedBytes.Add(float64(freed))
		e.r.log.Info("oldest footage removed to keep the archive within its bound", "segments", n, "bytes", freed)
	}
}

func (e *evictor) load(ctx context.Context) error {
	ids, err := e.r.deps.Index.Cameras(ctx)
	if err != nil {
		return err
	}
	cameras := make(map[string]*oldest, len(ids))
	for _, id := range ids {
		days, err := e.r.deps.Index.Days(ctx, id)
		if err != nil {
			return err
		}
		cameras[id] = &oldest{days: days}
	}
	e.cameras = cameras
	return nil
}

// pick returns the camera whose next record is the oldest, nil if there is none.
func (e *evictor) pick(ctx context.Context) (id string, c *oldest, err error) {
	for name, o := range e.cameras {
		for len(o.list) == 0 && len(o.days) > 0 {
			if o.list, err = dayOf(ctx, e.r.deps.Index, name, o.days[0]); err != nil {
				return "", nil, err
			}
			o.days = o.days[1:]
		}
		if len(o.list) == 0 {
			continue
		}
		if c == nil || o.list[0].Start.Before(c.list[0].Start) {
			id, c = name, o
		}
	}
	return id, c, nil
}
