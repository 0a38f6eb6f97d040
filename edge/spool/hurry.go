package spool

import (
	"context"
	"time"

	"skein/edge/media"
)

const (
	hurryPoll    = 40 * time.Millisecond
	hurryMinimum = 4 * time.Second // the shortest segment that somebody's impatience may make
)

// Hurry brings the camera's footage up to until into the archive now: the open segment ends at its next key frame, and
// Hurry returns when every segment that begins before until has its receipt. It returns ctx's error if that takes
// longer, and nil for a camera that is not recorded.
func (s *Spool) Hurry(ctx context.Context, camera string, until time.Time) error {
	c := s.known(camera)
	if c == nil {
		return nil
	}
	c.hurry.Store(max(c.hurry.Load(), until.UnixMilli()))
	tick := time.NewTicker(hurryPoll)
	defer tick.Stop()
	for s.owes(c, until) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// owes reports whether footage before until is not in the archive yet.
func (s *Spool) owes(c *camera, until time.Time) bool {
	c.mu.Lock()
	open := c.recording && c.current != nil && c.current.part.start.Before(until)
	closed := len(c.closed) > 0
	c.mu.Unlock()
	if closed {
		s.kick()
	}
	return open || closed || s.queue.of(c) > 0
}

// hurried reports whether the open segment is to end before u because somebody waits for it.
func (r *recording) hurried(u *media.AccessUnit) bool {
	until := r.c.hurry.Load()
	return until > r.f.part.start.UnixMilli() && u.Wall.Sub(r.f.part.start) >= hurryMinimum
}
