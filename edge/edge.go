// Package edge is the role that stands beside the cameras: it pulls each profile of each camera once, fans it out to
// the recorder's spool and to whoever looks, and knows how every camera is.
//
// Each camera has a goroutine tree of its own, so that adding, removing or editing one disturbs no other.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/recorder/segment"
)

// Errors of Open.
var (
	// ErrUnknownCamera tells that no camera of that id is configured here, or that it lacks the profile.
	ErrUnknownCamera = errors.New("unknown camera or profile")
	// ErrRemoved is the cause with which a removed or edited camera's streams end.
	ErrRemoved = errors.New("camera removed or edited")
)

// Spool records streams; *spool.Spool is one.
type Spool interface {
	// Record writes the camera's stream until ctx ends (nil) or the stream does (its error).
	Record(ctx context.Context, camera string, s *stream.Stream) error
	// Recording tells how the camera's recording is right now.
	Recording(camera string) status.Recording
}

// Deps is what an Edge needs from outside.
type Deps struct {
	Spool    Spool                 // nil: nothing is recorded
	Log      *slog.Logger          // nil: discard
	Registry prometheus.Registerer // nil: not registered
}

// Edge pulls cameras. Its methods may be called from any goroutine.
type Edge struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	pull    pullFunc
	limit   *dialLimit
	metrics *metrics

	apply sync.Mutex // serialises Apply; taken before mu

	mu      sync.RWMutex // guards the fields below
	ctx     context.Context
	wg      sync.WaitGroup
	cameras map[string]*camera
	order   []string
	left    map[string]bool // cameras that were here once
}

// New returns an edge without cameras; it starts nothing.
func New(cfg Config, deps Deps) (*Edge, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Edge{
		cfg: cfg, deps: deps, log: deps.Log, pull: rtsp.Pull,
		limit: newDialLimit(cfg.Dials, cfg.DialsPerHost), cameras: map[string]*camera{},
		left: map[string]bool{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.metrics = newMetrics(deps.Registry, e)
	return e, nil
}

// Run supervises the cameras given to Apply, before or after, until ctx ends; then it stops them all and waits.
func (e *Edge) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e.mu.Lock()
	if e.ctx != nil {
		e.mu.Unlock()
		return errors.New("edge runs already")
	}
	e.ctx = ctx
	for _, id := range e.order {
		if c := e.cameras[id]; c != nil {
			e.start(c)
		}
	}
	e.mu.Unlock()
	<-ctx.Done()
	return e.drained()
}

// drained waits for the cameras. Nothing starts after it has had mu: start is called with mu held and checks ctx.
func (e *Edge) drained() error {
	e.mu.Lock()
	wg := &e.wg
	e.mu.Unlock()
	wg.Wait()
	return nil
}

// start runs a camera. Called with mu held.
func (e *Edge) start(c *camera) {
	ctx, cancel := context.WithCancelCause(e.ctx)
	c.cancel = cancel
	e.wg.Go(func() {
		defer cancel(nil)
		c.run(ctx)
	})
}

// Apply makes cams the configured cameras: new ones start, missing ones stop, edited ones restart if what changed
// concerns pulling or recording. All others run on untouched.
func (e *Edge) Apply(cams []district.Camera) {
	e.apply.Lock()
	defer e.apply.Unlock()
	want := map[string]district.Camera{}
	for _, c := range cams {
		want[c.ID] = c
	}
	e.mu.RLock()
	var stop []*camera
	for id, c := range e.cameras {
		if w, ok := want[id]; !ok || !samePull(w, c.cam) {
			stop = append(stop, c)
		}
	}
	e.mu.RUnlock()
	e.stopAll(stop)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order = e.order[:0]
	for _, w := range cams {
		e.order = append(e.order, w.ID)
		if _, runs := e.cameras[w.ID]; runs {
			continue
		}
		c := e.newCamera(w)
		c.edited = e.left[w.ID]
		e.cameras[w.ID] = c
		if e.ctx != nil && e.ctx.Err() == nil {
			e.start(c)
		}
	}
}

// stopAll ends cameras and forgets them.
func (e *Edge) stopAll(stop []*camera) {
	e.mu.Lock()
	for _, c := range stop {
		delete(e.cameras, c.cam.ID) // Run will not start it any more
		e.left[c.cam.ID] = true
	}
	e.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range stop {
		wg.Go(func() { c.stop(ErrRemoved) })
	}
	wg.Wait()
}

// samePull reports whether two configurations of a camera are pulled and recorded the same way.
func samePull(a, b district.Camera) bool {
	strip := func(c district.Camera) district.Camera {
		return district.Camera{
			ID: c.ID, Main: c.Main, Sub: c.Sub, Transport: c.Transport, Fingerprint: c.Fingerprint, CAFile: c.CAFile,
			OnDemand: c.OnDemand, Record: c.Record, IgnoreSSRC: c.IgnoreSSRC,
		}
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

// Open returns the live stream of a camera's profile; an on-demand profile is pulled while it is open. release may be
// called more than once.
func (e *Edge) Open(_ context.Context, id string, p media.Profile) (*stream.Stream, func(), error) {
	e.mu.RLock()
	c := e.cameras[id]
	e.mu.RUnlock()
	if c == nil || c.sources[p] == nil {
		return nil, nil, fmt.Errorf("open %s/%s: %w", id, p, ErrUnknownCamera)
	}
	s := c.sources[p]
	return s.stream, s.open(), nil
}

// Has reports whether the camera is configured here.
func (e *Edge) Has(id string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.cameras[id] != nil
}

// Cameras tells how every camera is right now, in the order given to Apply.
func (e *Edge) Cameras() []status.Camera {
	e.mu.RLock()
	list := make([]*camera, 0, len(e.order))
	for _, id := range e.order {
		if c := e.cameras[id]; c != nil {
			list = append(list, c)
		}
	}
	e.mu.RUnlock()
	now := time.Now()
	out := make([]status.Camera, 0, len(list))
	for _, c := range list {
		out = append(out, c.status(now))
	}
	return out
}

// GapCause tells why footage of the camera is missing up to now.
func (e *Edge) GapCause(id string) segment.Cause {
	e.mu.RLock()
	c := e.cameras[id]
	e.mu.RUnlock()
	if c == nil {
		return segment.CauseUnknown
	}
	return c.gapCause()
}

// Offers returns the ids of the configured cameras, sorted.
func (e *Edge) Offers() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	ids := slices.Clone(e.order)
	slices.SortFunc(ids, strings.Compare)
	return ids
}
