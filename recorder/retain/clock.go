package retain

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// clockLeap is how far the wall clock may go ahead at once and still be believed.
	clockLeap = time.Hour
	// clockSilence is for how long there may be no new footage when a process starts, and its clock still be believed.
	clockSilence = 7 * 24 * time.Hour
	// clockPatience is how long a clock that went ahead has to stay there until footage ages by it.
	clockPatience = 24 * time.Hour
)

// Clock is the time by which footage is deleted and locks end. Nothing brings back what was deleted under a clock that
// showed a wrong year, so it does not follow a clock that goes ahead by more than an hour, or that is a week ahead of
// the newest footage when the process starts: it goes on from where it was, until the clock is put right or a day has
// passed. It is safe for concurrent use.
type Clock struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex // guards the fields below
	last  time.Time  // the wall clock as read last, with Go's monotonic reading
	lag   time.Duration
	since time.Time // when the wall clock went ahead
}

// NewClock returns a clock. now must give times with a monotonic reading; nil: time.Now. log may be nil.
func NewClock(now func() time.Time, log *slog.Logger) *Clock {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Clock{now: now, log: log}
}

// Now returns the time, UTC, never ahead of the wall clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.read()
	if c.lag > 0 && now.Sub(c.since) >= clockPatience {
		c.log.Warn("the clock stays ahead: footage ages by it from now on", "by", c.lag.Round(time.Second))
		c.lag = 0
	}
	return now.Add(-c.lag).UTC()
}

// read reads the wall clock and notices steps. The caller holds c.mu.
func (c *Clock) read() time.Time {
	now := c.now()
	if !c.last.IsZero() {
		step := now.Round(0).Sub(c.last.Round(0)) - now.Sub(c.last)
		switch {
		case step > clockLeap:
			c.doubt(step, now)
		case c.lag > 0 && step < 0:
			c.lag = max(0, c.lag+step)
		}
	}
	if c.lag <= clockLeap {
		c.lag = 0
	}
	c.last = now
	return now
}

func (c *Clock) doubt(by time.Duration, now time.Time) {
	c.lag += by
	c.since = now
	c.log.Error("the clock went ahead: no footage and no lock ends by it for a day, unless it is put right",
		"by", by.Round(time.Second), "shows", now.UTC())
}

// Begin compares the clock with the newest footage of the archive. It is to be called before anything is deleted.
func (c *Clock) Begin(ctx context.Context, ix Index) error {
	cameras, err := ix.Cameras(ctx)
	if err != nil {
		return fmt.Errorf("newest footage: %w", err)
	}
	c.mu.Lock()
	limit := c.read().Round(0).AddDate(0, 0, 1) // days to come are no footage: they tell nothing of the clock
	c.mu.Unlock()
	var newest time.Time
	for _, id := range cameras {
		days, err := ix.Days(ctx, id)
		if err != nil {
			return fmt.Errorf("newest footage of camera %s: %w", id, err)
		}
		for _, day := range days {
			if day.After(newest) && day.Before(limit) {
				newest = day
			}
		}
	}
	if newest.IsZero() {
		return nil
	}
	newest = newest.AddDate(0, 0, 1) // somewhere in that day
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.read()
	if ahead := now.Round(0).Sub(newest); ahead > clockSilence {
		c.doubt(ahead, now)
	}
	return nil
}
