package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"skein/recorder/segment"
)

const (
	// rebuildRetry is the pause after a rebuild that failed, or while another recorder rebuilds.
	rebuildRetry = 3 * time.Second
	// claimFor is how long another recorder waits for one that died while it rebuilt.
	claimFor = 15 * time.Second
)

// Rebuild fills the index from the buckets and returns how many segments it found. It may run beside live recording.
type Rebuild func(ctx context.Context) (segments int64, err error)

// Whole is an Index that answers reads only while it is whole, and rebuilds itself where it is not: an index server
// that was emptied beside a running recorder would make gaps of footage that is there. Writes always go on. It is safe
// for concurrent use.
type Whole struct {
	*Index
	rebuild Rebuild
	log     *slog.Logger

	mu    sync.Mutex // guards the field below
	whole bool
}

// NewWhole returns x as a Whole that is not known to be whole yet. log may be nil.
func NewWhole(x *Index, rebuild Rebuild, log *slog.Logger) *Whole {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Whole{Index: x, rebuild: rebuild, log: log}
}

// check returns ErrIndexIncomplete if the index is not whole. It is asked after what was read, in that order: what was
// read before a mark that is still there was read from a whole index.
func (w *Whole) check(ctx context.Context) error {
	marked, err := w.Marked(ctx)
	if err != nil {
		return err // the server does not answer: that is no loss
	}
	if !w.see(marked) {
		return segment.ErrIndexIncomplete
	}
	return nil
}

// see takes in whether the index is marked, and returns whether it is whole.
func (w *Whole) see(marked bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.whole && !marked {
		w.log.Error("the index has lost its records: it is rebuilt from the buckets, and answers nothing meanwhile")
	}
	w.whole = marked
	return marked
}

// Cameras is Index.Cameras, or segment.ErrIndexIncomplete.
func (w *Whole) Cameras(ctx context.Context) ([]string, error) {
	ids, err := w.Index.Cameras(ctx)
	return checked(ctx, w, ids, err)
}

// Days is Index.Days, or segment.ErrIndexIncomplete.
func (w *Whole) Days(ctx context.Context, camera string) ([]time.Time, error) {
	days, err := w.Index.Days(ctx, camera)
	return checked(ctx, w, days, err)
}

// Range is Index.Range, or segment.ErrIndexIncomplete.
func (w *Whole) Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error) {
	list, err := w.Index.Range(ctx, camera, within)
	return checked(ctx, w, list, err)
}

// RangeMany is Index.RangeMany, or segment.ErrIndexIncomplete.
func (w *Whole) RangeMany(ctx context.Context, cameras []string, within segment.Range) ([][]segment.Record, error) {
	lists, err := w.Index.RangeMany(ctx, cameras, within)
	return checked(ctx, w, lists, err)
}

// checked returns what was read if the index is whole.
func checked[T any](ctx context.Context, w *Whole, read []T, err error) ([]T, error) {
	if err == nil {
		err = w.check(ctx)
	}
	if err != nil {
		return nil, err
	}
	return read, nil
}

// Run looks every two seconds whether the index is whole, and rebuilds it if not, until ctx ends.
func (w *Whole) Run(ctx context.Context) error {
	const every = 2 * time.Second
	told := ""
	for {
		pause := every
		switch err := w.Begin(ctx); {
		case err == nil:
			told = ""
		case ctx.Err() == nil:
			pause = rebuildRetry
			if text := err.Error(); text != told {
				w.log.Warn("the index is not whole, or cannot be asked", "error", err, "retry_in", pause)
				told = text
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// Begin makes the index whole if it is not, and returns when it is, or an error: segment.ErrIndexIncomplete where
// another recorder is at it.
func (w *Whole) Begin(ctx context.Context) error {
	marked, err := w.Marked(ctx)
	if err != nil {
		return err
	}
	if w.see(marked) {
		return nil
	}
	c := w.newClaim()
	mine, err := c.hold(ctx, claimFor)
	if err != nil {
		return err
	}
	if !mine {
		return fmt.Errorf("%w by another recorder", segment.ErrIndexIncomplete)
	}
	defer c.release(context.WithoutCancel(ctx))
	began := time.Now()
	segments, err := w.rebuildHeld(ctx, c)
	if err == nil {
		err = w.Mark(ctx)
	}
	if err != nil {
		return fmt.Errorf("rebuild the index: %w", err)
	}
	w.see(true)
	w.log.Info("index rebuilt from the buckets", "segments", segments, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// rebuildHeld rebuilds while it keeps the right to do so.
func (w *Whole) rebuildHeld(ctx context.Context, c *claim) (segments int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(claimFor / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if mine, err := c.hold(ctx, claimFor); err != nil || !mine {
					cancel(errors.Join(errors.New("the right to rebuild was lost"), err))
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	segments, err = w.rebuild(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	wg.Wait()
	return segments, err
}
