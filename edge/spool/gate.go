package spool

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// gate keeps the lanes from hammering an archive that is down: while it fails, one attempt passes after each interval
// of an exponential back-off; the first success opens it for all.
type gate struct {
	mu      sync.Mutex // guards the fields below
	wait    *backoff.ExponentialBackOff
	failing bool
	probing bool // the attempt that may open the gate is under way
	until   time.Time
	changed chan struct{} // closed and replaced at every change
}

func newGate(low, high time.Duration) *gate {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = low, high
	b.Reset()
	return &gate{wait: b, changed: make(chan struct{})}
}

// pass waits until an attempt may be made, and claims it. The caller must report what came of it.
func (g *gate) pass(ctx context.Context) error { return g.await(ctx, true) }

// waitOpen waits until pass would not wait.
func (g *gate) waitOpen(ctx context.Context) error { return g.await(ctx, false) }

func (g *gate) await(ctx context.Context, claim bool) error {
	for ctx.Err() == nil {
		left, changed := g.try(claim)
		if left == 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
	return ctx.Err()
}

// try returns 0 if an attempt may be made now, or else how long to wait unless changed is closed earlier.
func (g *gate) try(claim bool) (left time.Duration, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch left = time.Until(g.until); {
	case !g.failing:
		return 0, nil
	case g.probing:
		return time.Hour, g.changed // until the outcome of the attempt is known
	case left > 0:
		return left, g.changed
	}
	g.probing = claim
	return 0, nil
}

// report tells the outcome of an attempt: down means that the archive took nothing. back is true for the attempt that
// finds it up again.
func (g *gate) report(down bool) (back bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !down:
		if g.failing {
			g.wait.Reset()
			back = true
		}
		g.failing = false
	case g.failing && !g.probing:
		return false // one of those that were under way when it went down
	default:
		g.failing = true
		g.until = time.Now().Add(g.wait.NextBackOff())
	}
	g.probing = false
	close(g.changed)
	g.changed = make(chan struct{})
	return back
}

// closed reports whether the archive is taken to be down.
func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failing
}
