package recorder

import (
	"context"
	"sync"
	"time"
)

// Run measures the archive, lets footage age and keeps it below its bounds until ctx ends. It returns nil, or the error
// of the retention loop if that fails.
func (r *Recorder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var failed error
	if r.deps.Retain != nil {
		wg.Go(func() {
			if err := r.deps.Retain.Run(ctx); err != nil && ctx.Err() == nil {
				failed = err
				cancel(err)
			}
		})
	}
	wg.Go(func() { r.keepBounds(ctx) })
	if r.gaps != nil {
		wg.Go(func() { r.gaps.run(ctx, r) })
	}
	wg.Wait()
	return failed
}

func (r *Recorder) keepBounds(ctx context.Context) {
	tick := time.NewTicker(evictInterval)
	defer tick.Stop()
	var scanned time.Time
	for {
		if scanned.IsZero() || time.Since(scanned) >= rescanInterval {
			if err := r.scan(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("size of the archive could not be measured; trying again", "err", err)
			} else {
				scanned = time.Now()
			}
		}
		if !scanned.IsZero() {
			r.evict.run(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.full:
		}
	}
}
