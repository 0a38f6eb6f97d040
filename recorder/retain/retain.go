// Package retain lets footage age: it deletes what its camera's retention class no longer covers, record first, object
// second, at a bounded rate, and leaves a tombstone of each segment. Locked footage is deleted by nothing here. What
// the recorder chooses to make room goes the same way.
package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"skein/recorder/segment"
)

// Index is what retention needs of the segment index.
type Index interface {
	Cameras(ctx context.Context) ([]string, error)
	Days(ctx context.Context, camera string) ([]time.Time, error)
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
	Add(ctx context.Context, camera string, r segment.Record) error
	Remove(ctx context.Context, camera string, r segment.Record) error
}

// Store is what retention needs of the object store.
type Store interface {
	Manifest(ctx context.Context, shard, key string) (segment.Manifest, error)
	Delete(ctx context.Context, shard, key string) error
	PutBlob(ctx context.Context, name string, data []byte) error
}

// Guard tells which stretches of a camera's footage are locked now. An error means that nothing may be deleted.
type Guard interface {
	Locked(ctx context.Context, camera string) ([]segment.Range, error)
}

// Policy returns for how many days a camera's footage is kept; 0 or less keeps it for ever.
type Policy func(camera string) (days int)

// Rule is why a segment was deleted.
type Rule string

// The rules.
const (
	RuleAge Rule = "age" // older than the camera's class
	RuleCap Rule = "cap" // evicted: the store has reached its bound
)

// Options configure a Keeper.
type Options struct {
	Index  Index
	Store  Store
	Guard  Guard  // nil: nothing is ever locked
	Policy Policy // nil: keep for ever

	Every   time.Duration // between sweeps, default 5 minutes
	Rate    float64       // deletions a second at most, default 200
	Log     *slog.Logger  // nil: discard
	Metrics prometheus.Registerer
	Now     func() time.Time // nil: time.Now
}

// Keeper applies retention. Sweep may be called beside Run.
type Keeper struct {
	o       Options
	limit   *rate.Limiter
	metrics *metrics
}

// New returns a Keeper. It starts nothing.
func New(o Options) (*Keeper, error) {
	if o.Index == nil || o.Store == nil {
		return nil, errors.New("retain: an index and a store are needed")
	}
	if o.Rate < 0 {
		return nil, errors.New("retain: the rate must not be negative")
	}
	if o.Policy == nil {
		o.Policy = func(string) int { return 0 }
	}
	if o.Guard == nil {
		o.Guard = unguarded{}
	}
	if o.Every == 0 {
		o.Every = 5 * time.Minute
	}
	if o.Rate == 0 {
		o.Rate = 200
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{o: o, limit: rate.NewLimiter(rate.Limit(o.Rate), 1), metrics: newMetrics(o.Metrics)}, nil
}

type unguarded struct{}

func (unguarded) Locked(context.Context, string) ([]segment.Range, error) { return nil, nil }

// Result is what one sweep did.
type Result struct {
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"`
	Locked  int   `json:"locked"` // due, but locked
	Failed  int   `json:"failed"` // due, but the store or index refused
}

func (r *Result) add(o Result) {
	r.Deleted += o.Deleted
	r.Bytes += o.Bytes
	r.Locked += o.Locked
	r.Failed += o.Failed
}

// Run sweeps until ctx ends. A sweep that fails is logged and the next one tries again.
func (k *Keeper) Run(ctx context.Context) error {
	t := time.NewTicker(k.o.Every)
	defer t.Stop()
	for {
		r, err := k.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			k.o.Log.WarnContext(ctx, "retention sweep failed", "err", err, "deleted", r.Deleted)
		case r.Deleted > 0 || r.Failed > 0:
			k.o.Log.InfoContext(ctx, "retention sweep", "deleted", r.Deleted, "bytes", r.Bytes,
				"locked", r.Locked, "failed", r.Failed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Sweep deletes all that is due now and returns what it did, also beside an error. A camera that fails does not keep
// the others from being swept.
func (k *Keeper) Sweep(ctx context.Context) (Result, error) {
	var total Result
	cameras, err := k.o.Index.Cameras(ctx)
	if err != nil {
		return total, fmt.Errorf("retention: %w", err)
	}
	var failed []error
	for _, id := range cameras {
		r, err := k.age(ctx, id)
		total.add(r)
		if ctx.Err() != nil {
			return total, ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("retention of camera %s: %w", id, err))
		}
	}
	k.metrics.sweep(total)
	return total, errors.Join(failed...)
}

// age deletes the camera's segments that ended before its class's horizon, a day at a time.
func (k *Keeper) age(ctx context.Context, camera string) (Result, error) {
	var total Result
	keep := k.o.Policy(camera)
	if keep <= 0 {
		return total, nil
	}
	horizon := k.o.Now().Add(-time.Duration(keep) * 24 * time.Hour)
	days, err := k.o.Index.Days(ctx, camera)
	if err != nil {
		return total, err
	}
	for _, day := range days {
		if !day.Before(horizon) {
			break
		}
		within := segment.Range{From: day, To: day.AddDate(0, 0, 1)}
		if within.To.After(horizon) {
			within.To = horizon
		}
		records, err := k.o.Index.Range(ctx, camera, within)
		if err != nil {
			return total, err
		}
		due := records[:0]
		for _, r := range records {
			if !r.End().After(horizon) && !r.Start.Before(day) { // one of the day before was seen with its own day
				due = append(due, r)
			}
		}
		res, err := k.remove(ctx, camera, due, RuleAge)
		total.add(res)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
