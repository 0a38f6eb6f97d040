package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
)

// Inventory returns the inventory in force. It is called per request; what it returns must not change afterwards.
type Inventory func() *district.Inventory

// Health tells how cameras are. A camera it does not name is shown as edge_silent.
type Health interface {
	Cameras() []status.Camera
}

// Options are what a Server serves. Nil handlers answer 501.
type Options struct {
	Access    *access.Access
	Inventory Inventory
	Health    Health
	Whep      http.Handler // /v1/whep/ and /v1/walls; scope of walls is checked by the viewer, see Server.Watch
	Whip      http.Handler // /v1/whip/
	Snapshots http.Handler // GET /v1/snapshots/{camera}.jpg
	// LiveSessions is GET /v1/live/sessions: who sees what how well. It checks the scope itself, by Server.May.
	LiveSessions http.Handler
	// LoggedOut, if not nil, is told of a login that ended, by its Principal.Key.
	LoggedOut func(key string)
	// Archive is the recorder, or a proxy to one: /v1/coverage, /v1/clips/, /v1/thumbnails/, /v1/storage, /v1/locks and
	// /v1/evidence/key.
	Archive http.Handler
	Ingest  http.Handler // PUT /v1/ingest/segments/{camera}/{start} and /v1/ingest/gaps/{camera}/{from}
	Link    http.Handler // GET /v1/link
	// Web serves the console: the login page and its static files, all public. A path it does not know it must answer
	// with 404; without a credential that becomes 401.
	Web      http.Handler
	Gatherer prometheus.Gatherer         // GET /metrics; nil: there is none
	Ready    func(context.Context) error // nil: ready as soon as it serves
	Version  string
	Logger   *slog.Logger     // nil: discard
	Now      func() time.Time // nil: time.Now
}

// Server is the gateway's HTTP surface. It is safe for concurrent use.
type Server struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	mux     *http.ServeMux
	huma    huma.API
	spec    []byte
	handler http.Handler
	acts    *acts     // what callers are doing just now
	refused *refusals // what they tried in vain
	locks   lockBook  // nil: no archive
	feed    *feed
	packer  *packer

	listeners *listeners

	mu    sync.Mutex // guards the field below
	scope *scope     // of the inventory last seen
}

// New builds the routes. It starts nothing.
func New(o Options) (*Server, error) {
	if o.Access == nil || o.Inventory == nil || o.Health == nil {
		return nil, errors.New("api: access, inventory and health are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		o: o, log: o.Logger, now: o.Now, mux: http.NewServeMux(), refused: newRefusals(o.Now), packer: newPacker(),
		listeners: newListeners(),
	}
	s.acts = newActs(o.Access.Audit().Append, o.Now, o.Logger)
	s.feed = newFeed(s.inventory, s.states, s.now)
	s.huma = newHuma(s.mux, o.Version)
	s.registerSession()
	s.registerInventory()
	s.registerHealth()
	s.registerRetrievals()
	s.registerLocks()
	s.mountRaw()
	var err error
	if s.spec, err = s.document(); err != nil {
		return nil, fmt.Errorf("api: OpenAPI document: %w", err)
	}
	s.handler = o.Access.Guard(s.public, s.caller(http.HandlerFunc(s.route)))
	return s, nil
}

// Run ends the acts in the audit log as their time comes, until ctx ends; then it ends all of them, and the feeds of
// changes. Without it an act ends when another begins. The rows about its own beginning and end tell when the ends are
// that were never written.
func (s *Server) Run(ctx context.Context) error {
	defer s.listeners.end()
	service := access.Event{Actor: "skein", Action: access.ActService, Outcome: access.Begun, Detail: "gateway"}
	row, err := s.o.Access.Audit().Append(service)
	if err != nil {
		s.log.Error("the audit log cannot be written: nothing is opened until it can be", "error", err)
	}
	if err := s.acts.Run(ctx); err != nil {
		return err
	}
	service.Outcome, service.Ref = access.Done, row
	if _, err := s.o.Access.Audit().Append(service); err != nil {
		s.log.Error("audit row lost", "action", access.ActService, "error", err)
	}
	return nil
}

// Handler returns the whole surface, guarded.
func (s *Server) Handler() http.Handler { return s.handler }

// OpenAPI returns the OpenAPI 3.1 document as JSON. It must not be changed.
func (s *Server) OpenAPI() []byte { return s.spec }

// caller is what JSON endpoints know of the request besides its body.
type caller struct {
	addr string
	tls  bool
}

type callerKey struct{}

// caller puts the address the request came from into its context.
func (s *Server) caller(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := caller{addr: access.RemoteIP(r), tls: r.TLS != nil}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// principal returns who calls, if the role allows the action.
func principal(ctx context.Context, act access.Action) (access.Principal, error) {
	p, ok := access.FromContext(ctx)
	if !ok {
		return p, huma.Error401Unauthorized(access.ErrNoCredential.Error())
	}
	if !p.May(act) {
		return p, huma.Error403Forbidden("the role does not allow this")
	}
	return p, nil
}
