package spool

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestHurryOfAnUnknownCameraIsNothing(t *testing.T) {
	t.Parallel()
	s := &Spool{cameras: map[string]*camera{}}
	if err := s.Hurry(t.Context(), "nobody", time.Now()); err != nil {
		t.Error(err)
	}
}

func TestHurryWaitsForOpenFootageAndEndsWithTheContext(t *testing.T) {
	t.Parallel()
	start := time.Now().Add(-10 * time.Second)
	c := &camera{id: "a", recording: true, current: &segmentFile{part: part{start: start}}}
	s := &Spool{cameras: map[string]*camera{"a": c}, queue: newQueue(), kicked: make(chan struct{}, 1)}
	if err := s.Hurry(t.Context(), "a", start.Add(-time.Second)); err != nil {
		t.Errorf("footage before the open segment is owed to nobody: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*hurryPoll)
	defer cancel()
	if err := s.Hurry(ctx, "a", time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the segment is still open: %v", err)
	}
	if got := c.hurry.Load(); got < start.UnixMilli() {
		t.Errorf("the recording is not told to end its segment: %d", got)
	}
	done := make(chan error, 1)
	go func() { done <- s.Hurry(t.Context(), "a", time.Now()) }()
	c.mu.Lock()
	c.current = nil
	c.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
