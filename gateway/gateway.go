// Package gateway is the role in the centre: it serves the API and the console, relays live video to whoever may see
// it, and keeps the links of the edges.
//
// It owns no camera and no footage. Live streams come from an edge in the same process or over the control link;
// footage comes from an archive handler, a recorder in this process or a proxy to one.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"skein/config/district"
	"skein/edge"
	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/gateway/access"
	"skein/gateway/api"
	"skein/gateway/footage"
	"skein/gateway/relay"
	"skein/gateway/transcode"
	"skein/gateway/web"
	"skein/gateway/whep"
)

// Config is what the gateway's sections of the configuration hold.
type Config struct {
	DataDir string
	WebRTC  WebRTC
	RTSP    RTSP
	Access  Access
}

// Local is an edge in the same process.
type Local interface {
	// Open returns the live stream of a camera's profile; release tells that this user is done. For a camera or profile it
	// does not have the error wraps edge.ErrUnknownCamera.
	Open(ctx context.Context, camera string, p media.Profile) (s *stream.Stream, release func(), err error)
	// Has reports whether the camera belongs to this edge.
	Has(camera string) bool
	// Cameras tells how its cameras are.
	Cameras() []status.Camera
	// Accept takes the publication of a camera that pushes instead of being pulled.
	Accept(camera string, p media.Profile) (rtsp.Publication, error)
}

// Deps is what a Gateway needs from outside.
type Deps struct {
	Inventory func() *district.Inventory
	Local     Local        // nil: all cameras come over links
	Archive   http.Handler // nil: no footage here
	// Hurry brings a camera's newest footage into the archive now, as far as that is possible before ctx ends. Nil: it
	// comes by itself.
	Hurry    func(ctx context.Context, camera string, until time.Time)
	Ingest   http.Handler                // nil: segments are shipped elsewhere
	Ready    func(context.Context) error // nil: always
	Metrics  prometheus.Gatherer         // what GET /metrics shows; nil: nothing
	Registry prometheus.Registerer       // nil: not registered
	Log      *slog.Logger                // nil: discard
	Version  string
}

// Gateway is the role. Close must be called if Run is not.
type Gateway struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	access *access.Access
	hub    *link.Hub
	remote *link.Streams
	relay  *relay.Relay
	rtsp   *rtsp.Server
	api    *api.Server
}

// New builds the role and opens its sockets; it serves nothing before Run.
func New(cfg Config, deps Deps) (*Gateway, error) {
	g := &Gateway{cfg: cfg, deps: deps, log: deps.Log}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if err := g.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), g.Close())
	}
	return g, nil
}

func (g *Gateway) build() (err error) {
	g.access, err = access.New(g.cfg.Access, access.Options{
		DataDir: g.cfg.DataDir, Logger: g.log, Registerer: g.deps.Registry,
	})
	if err != nil {
		return err
	}
	g.hub = link.NewHub(link.HubOptions{
		Node: nodeOf, Allow: g.speaksFor, RTSP: g.rtspHint(), Logger: g.log, Registerer: g.deps.Registry,
	})
	g.remote = link.NewStreams(g.hub, link.StreamsOptions{
		Unknown: relay.ErrUnknownCamera, Logger: g.log, Registerer: g.deps.Registry,
	})
	if g.relay, err = relay.New(g.cfg.WebRTC.relay(), g, g.log, g.deps.Registry); err != nil {
		return err
	}
	archive := g.archive()
	parts := relay.Parts{Publishers: publishers{g}}
	if archive != nil {
		parts.Archive = footage.Archive{Handler: archive}
	}
	if t := transcode.Find(g.log); t != nil {
		parts.Transcoder = t
	}
	g.relay.Use(parts)
	if g.cfg.RTSP.Listen != "off" {
		if g.rtsp, err = g.newRTSP(); err != nil {
			return err
		}
	}
	g.api, err = api.New(api.Options{
		Access: g.access, Inventory: g.deps.Inventory, Health: g, Archive: archive, Ingest: g.deps.Ingest,
		Whep: whep.Handler(g.relay, g.viewer, g.log), Link: g.hub, Web: web.Handler(),
		Whip:      whep.Publish(g.relay, g.publisher, g.log),
		Snapshots: g.snapshots(), LiveSessions: http.HandlerFunc(g.liveSessions),
		LoggedOut: func(key string) { g.relay.EndViewer(key) },
		Gatherer:  g.deps.Metrics, Ready: g.deps.Ready, Version: g.deps.Version, Logger: g.log,
	})
	return err
}

// Handler returns the whole HTTP surface, guarded: default deny.
func (g *Gateway) Handler() http.Handler { return g.api.Handler() }

// Users returns the people who may log in. On a first start there are none before [access.Users.CreateFirst].
func (g *Gateway) Users() *access.Users { return g.access.Users() }

// Run serves live video, links and RTSP until ctx ends, and returns after everything it started has ended.
func (g *Gateway) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	run := func(name string, f func(context.Context) error) {
		group.Go(func() error {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("gateway: %s: %w", name, err)
			}
			return nil
		})
	}
	run("access", g.access.Run)
	run("links", g.hub.Run)
	run("api", g.api.Run)
	run("relay", g.relay.Run)
	if g.rtsp != nil {
		run("rtsp", g.rtsp.Run)
	}
	return errors.Join(group.Wait(), g.Close())
}

// Close gives back what New opened. It may be called after Run, and twice.
func (g *Gateway) Close() error {
	var errs []error
	if g.remote != nil {
		errs = append(errs, g.remote.Close())
		g.remote = nil
	}
	if g.access != nil {
		errs = append(errs, g.access.Close())
		g.access = nil
	}
	return errors.Join(errs...)
}

// Open finds the live stream of a camera, in this process or over a link. It makes the gateway the relay's Streams.
func (g *Gateway) Open(ctx context.Context, camera string, p media.Profile) (*stream.Stream, func(), error) {
	if g.deps.Local != nil && g.deps.Local.Has(camera) {
		s, release, err := g.deps.Local.Open(ctx, camera, p)
		if err != nil {
			if errors.Is(err, edge.ErrUnknownCamera) {
				err = fmt.Errorf("%w: %w", relay.ErrUnknownCamera, err)
			}
			return nil, nil, err
		}
		return s, release, nil
	}
	return g.remote.Open(ctx, camera, p)
}

// Cameras tells how all cameras are: those of this process and those of the links.
func (g *Gateway) Cameras() []status.Camera {
	out := g.hub.Cameras()
	if g.deps.Local != nil {
		out = append(out, g.deps.Local.Cameras()...)
	}
	return out
}

// InventoryChanged notes in the audit log what a reload of the inventory did.
func (g *Gateway) InventoryChanged(c district.Change) {
	g.api.InventoryChanged(c)
}

// speaksFor reports whether a node may offer a camera: the inventory gives it to that node, or to none in particular. A
// node that was broken into must not show its own pictures as another site's.
func (g *Gateway) speaksFor(node, camera string) bool {
	edge, ok := g.api.Edge(camera)
	return ok && (edge == "" || edge == node)
}

// nodeOf tells which node an authenticated request comes from.
func nodeOf(r *http.Request) (string, bool) {
	p, ok := access.FromContext(r.Context())
	return p.Name, ok && p.May(access.NodeLink)
}
