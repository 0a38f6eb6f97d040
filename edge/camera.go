package edge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/recorder/segment"
)

// camera runs one configured camera: its sources and its recording. It shares nothing with other cameras but the dial
// limit and the spool.
type camera struct {
	cam     district.Camera
	sources map[media.Profile]*source
	spool   Spool
	log     *slog.Logger
	edited  bool // it was here before, configured otherwise

	cancel context.CancelCauseFunc
	done   chan struct{}
}

// newCamera builds the camera's sources; it starts nothing.
func (e *Edge) newCamera(cam district.Camera) *camera {
	c := &camera{
		cam: cam, sources: map[media.Profile]*source{}, spool: e.deps.Spool,
		log: e.log.With("camera", cam.ID), done: make(chan struct{}),
	}
	for _, p := range []media.Profile{media.Main, media.Sub} {
		if cam.URL(string(p)) == "" {
			continue
		}
		c.sources[p] = &source{
			cam: cam, profile: p, cfg: e.cfg, pull: e.pull, limit: e.limit, metrics: e.metrics,
			log: c.log.With("profile", p), stream: stream.New(stream.Options{}),
			epochs: media.NewEpochs(uint32(time.Now().Unix())), stats: &rtsp.Stats{},
			always: !cam.OnDemand || string(cam.Record) == string(p), wanted: make(chan struct{}, 1),
			gone: make(chan struct{}),
		}
	}
	return c
}

// run supervises the sources and the recording until ctx ends.
func (c *camera) run(ctx context.Context) {
	defer close(c.done)
	var wg sync.WaitGroup
	for _, s := range c.sources {
		wg.Go(func() { s.run(ctx) })
	}
	if s := c.recorded(); s != nil {
		wg.Go(func() { c.record(ctx, s) })
	}
	wg.Wait()
}

// recorded returns the source that is recorded, or nil.
func (c *camera) recorded() *source {
	if c.spool == nil || c.cam.Record == "" || c.cam.Record == district.RecordNone {
		return nil
	}
	return c.sources[media.Profile(c.cam.Record)]
}

// record keeps the camera's recording going: whatever ends it but ctx, it is begun again.
func (c *camera) record(ctx context.Context, s *source) {
	for ctx.Err() == nil {
		err := c.recordOnce(ctx, s)
		if ctx.Err() != nil {
			return
		}
		c.log.Error("recording ended, beginning again", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// recordOnce records until something ends it. A spool that can be told the profile is told.
func (c *camera) recordOnce(ctx context.Context, s *source) error {
	p, ok := c.spool.(interface {
		RecordProfile(ctx context.Context, camera string, p media.Profile, s *stream.Stream) error
	})
	if ok {
		return p.RecordProfile(ctx, c.cam.ID, s.profile, s.stream)
	}
	return c.spool.Record(ctx, c.cam.ID, s.stream)
}

func (c *camera) status(now time.Time) status.Camera {
	st := status.Camera{ID: c.cam.ID, Profiles: map[string]status.Profile{}}
	for p, s := range c.sources {
		st.Profiles[string(p)] = s.profileStatus(now)
	}
	if s := c.recorded(); s != nil {
		st.Recording = c.spool.Recording(c.cam.ID)
		st.Recording.Wanted = true
	}
	return st
}

// gapCause tells why footage of the camera is missing up to now.
func (c *camera) gapCause() segment.Cause {
	s := c.recorded()
	if s == nil {
		return segment.CauseUnknown
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last.n == 0 {
		if c.edited {
			return segment.CauseConfig // nothing has failed since
		}
		return segment.CauseUnknown
	}
	switch last.reason {
	case status.ReasonUnreachable, status.ReasonTimeout:
		return segment.CauseNetwork
	case status.ReasonNone:
		return segment.CauseUnknown
	}
	return segment.CauseCameraOff
}

// stop ends the camera, started or not, and waits for all it started.
func (c *camera) stop(cause error) {
	if c.cancel != nil {
		c.cancel(cause)
		<-c.done
		return
	}
	for _, s := range c.sources {
		s.close(cause)
	}
}
