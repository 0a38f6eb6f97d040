// Package recorder is the archive's role: it takes sealed segments in, stores and indexes them, answers with a receipt,
// and lets footage age.
//
// Order is everything here: an object is stored before its index record is written, and the record is removed before
// the object; a receipt is given only when both are there. A segment passes through in a stream: it is never held in
// memory whole, and its hash and structure are checked before the store makes it visible.
//
// The role owns no goroutine outside Run. Its handler may serve before Run begins.
package recorder

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/internal/caller"
	"skein/recorder/guard"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// Store is what the role needs of a store.
type Store interface {
	Put(ctx context.Context, m segment.Manifest, src store.Source) (shard string, err error)
	Delete(ctx context.Context, shard, key string) error
}

// Index is what the role needs of an index.
type Index interface {
	Add(ctx context.Context, camera string, r segment.Record) error
	Remove(ctx context.Context, camera string, r segment.Record) error
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
	Cameras(ctx context.Context) ([]string, error)
	Days(ctx context.Context, camera string) ([]time.Time, error)
}

// Runner is a loop of the role that lives elsewhere, such as retention by age.
type Runner interface {
	Run(ctx context.Context) error
}

// Deps is what a Recorder needs from outside. Store and Index are required.
type Deps struct {
	Store Store
	Index Index
	// Guard tells which node asks, and keeps the audit log. Nil: every request of the network is refused but health
	// checks.
	Guard *guard.Guard
	// Clips serves /v1/clips/ and /v1/coverage. Nil: not served.
	Clips http.Handler
	// Retain is the loop that deletes footage by age. Nil: none.
	Retain Runner
	// Evict deletes segments of a camera to make room, index record first, tells Removed of each, and returns what
	// went: locked footage stays. Nil: the index records, then the objects.
	Evict func(ctx context.Context, camera string, list []segment.Record) (n int, bytes int64, err error)
	// Keep tells for how many days footage of a camera is kept; 0 or less is for ever. Nil: for ever.
	Keep func(camera string) (days int)
	// Ships tells why a node may not ship a camera's footage, nil if it may. ErrFirstContact: it is the node's that
	// shipped it first. Nil: always that.
	Ships func(n caller.Node, camera string) error
	// Manifest reads the manifest of a stored segment, to compare a neighbour in the chain with it. Nil: not compared.
	Manifest func(ctx context.Context, shard, key string) (segment.Manifest, error)
	// Docs keeps gap documents, and whose cameras are. Nil: gaps are only known from manifests.
	Docs Documents
	// Free tells the free and the whole space of the store in bytes. Nil: unknown.
	Free func() (free, size int64, err error)
	// Ready tells whether store and index can be used, for /readyz. Nil: always.
	Ready    func(ctx context.Context) error
	Now      func() time.Time      // nil: time.Now
	Log      *slog.Logger          // nil: discard
	Registry prometheus.Registerer // nil: not registered
}

// Recorder is the archive's role. Its methods may be called from any goroutine.
type Recorder struct {
	cfg    Config
	deps   Deps
	log    *slog.Logger
	m      *metrics
	places *places // segments being received
	usage  *usage
	evict  evictor // owned by Run
	early  early
	full   chan struct{} // capacity 1: the archive has grown beyond its bound
	gaps   *gapBook
	began  beginnings
	admit  *admitter
}

// New returns a Recorder that has started nothing.
func New(cfg Config, deps Deps) (*Recorder, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	r := &Recorder{cfg: cfg, deps: deps, log: deps.Log, places: newPlaces(cfg.Parallel, cfg.PerNode), usage: newUsage()}
	r.full = make(chan struct{}, 1)
	r.began.of = map[string]beginning{}
	r.evict.r = r
	r.early = early{log: deps.Log, cameras: map[string]time.Time{}}
	r.admit = newAdmitter(r)
	if deps.Docs != nil {
		r.gaps = newGapBook(deps.Docs)
	}
	if r.deps.Evict == nil {
		r.deps.Evict = r.remove
	}
	r.m = newMetrics(r, deps.Registry)
	return r, nil
}

// Handler serves the network: everything but /healthz and /readyz needs a node's token. Edges ship; reading is for
// gateways, and footage only for a person whom they name.
func (r *Recorder) Handler() http.Handler {
	mux := http.NewServeMux()
	g := r.deps.Guard
	mux.Handle("PUT /v1/ingest/segments/{camera}/{start}", g.Ship(http.HandlerFunc(r.ingest)))
	mux.Handle("PUT /v1/ingest/gaps/{camera}/{from}", g.Ship(http.HandlerFunc(r.ingestGap)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", r.ready)
	reader := r.Reader()
	for _, footage := range []string{"/v1/clips/", "/v1/coverage"} {
		mux.Handle(footage, g.Footage(reader))
	}
	mux.Handle("/", g.Ask(reader))
	return mux
}

// Reader serves reading without asking for a token: for a gateway in the same process, which has checked the user.
func (r *Recorder) Reader() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/storage", r.storage)
	if r.deps.Clips != nil {
		mux.Handle("/v1/clips/", r.deps.Clips)
		mux.Handle("/v1/coverage", r.deps.Clips)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "no such resource")
	})
	return mux
}

func (r *Recorder) now() time.Time {
	if r.deps.Now != nil {
		return r.deps.Now()
	}
	return time.Now()
}

func (r *Recorder) ready(w http.ResponseWriter, q *http.Request) {
	if r.deps.Ready != nil {
		if err := r.deps.Ready(q.Context()); err != nil {
			r.log.Warn("not ready", "err", err)
			unavailable(w, "store or index cannot be used now")
			return
		}
	}
	_, _ = w.Write([]byte("ready\n"))
}

// remove deletes segments, of each the record, then the object, so that a record always has its object.
func (r *Recorder) remove(ctx context.Context, camera string, list []segment.Record) (n int, bytes int64, err error) {
	for _, rec := range list {
		if err := r.deps.Index.Remove(ctx, camera, rec); err != nil {
			return n, bytes, err
		}
		r.Removed(camera, rec)
		if err := r.deps.Store.Delete(ctx, rec.Shard, rec.Key(camera)); err != nil {
			return n, bytes, err
		}
		n++
		bytes += rec.Bytes
	}
	return n, bytes, nil
}

// keep tells for how many days footage of a camera is kept; 0 is for ever.
func (r *Recorder) keep(camera string) int {
	if r.deps.Keep == nil {
		return 0
	}
	return max(0, r.deps.Keep(camera))
}
