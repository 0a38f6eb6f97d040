package edge

import (
	"context"
	"fmt"
	"time"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
)

// Accept takes the publication of a profile whose URL is district.Push. The publication fills the profile's stream as a
// pull would; only one may do so at a time, and only until the camera is removed or edited.
func (e *Edge) Accept(id string, p media.Profile) (rtsp.Publication, error) {
	e.mu.RLock()
	c := e.cameras[id]
	e.mu.RUnlock()
	if c == nil || c.sources[p] == nil || c.sources[p].cam.URL(string(p)) != district.Push {
		return rtsp.Publication{}, fmt.Errorf("publish %s/%s: %w", id, p, rtsp.ErrNotFound)
	}
	s := c.sources[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gone:
		return rtsp.Publication{}, fmt.Errorf("publish %s/%s: %w", id, p, rtsp.ErrNotFound)
	default:
	}
	if s.active {
		return rtsp.Publication{}, fmt.Errorf("publish %s/%s: %w", id, p, rtsp.ErrBusy)
	}
	s.active = true
	return rtsp.Publication{
		Sink: s.stream, Epochs: s.epochs, Stats: s.stats, Withdrawn: s.gone,
		Done: func(err error) {
			s.setActive(false)
			s.ended(err, 0)
		},
	}, nil
}

// awaitPush stands in for run where the camera publishes by itself.
func (s *source) awaitPush(ctx context.Context) {
	s.mu.Lock()
	now := time.Now().UTC()
	s.last = attempt{
		n: 1, reason: status.ReasonNotPublished, detail: "the camera has not begun to publish", at: now, since: now,
	}
	s.mu.Unlock()
	<-ctx.Done()
}
