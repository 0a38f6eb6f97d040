package api

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// route is one that does not speak JSON with us, or is answered by somebody else.
type route struct {
	method  string // empty: the handler looks at the method itself
	path    string
	handler http.Handler
	doc     *huma.Operation // nil: not in the OpenAPI document
}

// raw lists those routes. What the contract names and this version does not have answers 501.
func (s *Server) raw() []route {
	get, post := http.MethodGet, http.MethodPost
	rs := []route{
		{get, "/healthz", http.HandlerFunc(s.healthz), doc("healthz", "Is the process alive")},
		{get, "/readyz", http.HandlerFunc(s.readyz), doc("readyz", "Can it do its work")},
		{get, "/v1/openapi.json", http.HandlerFunc(s.openapi), doc("openapi", "This document")},

		{post, "/v1/whep/{camera}", s.live(s.o.Whep),
			offerDoc("whep", "Watch a camera: WHEP, SDP offer in, answer out", "profile")},
		{"", "/v1/whep/{camera}", s.live(s.o.Whep), nil},
		{"", "/v1/whep/{camera}/{session}", s.live(s.o.Whep), nil},
		{post, "/v1/walls", s.guarded(access.WatchLive, s.recordable(s.o.Whep)),
			offerDoc("wall", "Watch a wall: receive-only video sections and a data channel that says what each shows")},
		{"", "/v1/walls", s.guarded(access.WatchLive, s.o.Whep), nil},
		{"", "/v1/walls/{session}", s.guarded(access.WatchLive, s.o.Whep), nil},
		{post, "/v1/whep/{camera}/{session}/stats", s.live(s.o.Whep), nil},
		{post, "/v1/whip/{camera}", s.push(s.o.Whip),
			offerDoc("whip", "Publish as a camera whose URL is push: WHIP, SDP offer in, answer out", "profile")},
		{"", "/v1/whip/{camera}", s.push(s.o.Whip), nil},
		{"", "/v1/whip/{camera}/{session}", s.push(s.o.Whip), nil},
		{get, "/v1/snapshots/{file}", access.Require(access.WatchLive, http.HandlerFunc(s.snapshot)), nil},
		{get, "/v1/live/sessions", s.guarded(access.Metrics, s.o.LiveSessions),
			doc("live-sessions", "Who sees what how well")},

		{get, "/v1/coverage", s.guarded(access.Replay, http.HandlerFunc(s.coverage)),
			doc("coverage", "What is recorded", "from", "to", "camera", "unit", "grid", "near", "radius")},
		{get, "/v1/clips/{clip...}", s.guarded(access.Replay, http.HandlerFunc(s.clip)), nil},
		{get, "/v1/thumbnails/{thumbnail}", s.guarded(access.Replay, http.HandlerFunc(s.thumbnail)), nil},
		{get, "/v1/evidence/key", s.guarded(access.SeeInventory, s.o.Archive),
			doc("evidence-key", "Public key that the archive's checkpoints are signed with")},
		{get, "/v1/storage", s.guarded(access.SeeHealth, s.o.Archive), doc("storage", "The archive's stores")},

		{get, "/v1/changes", s.guarded(access.SeeInventory, http.HandlerFunc(s.changes)), changesDoc()},
		{get, "/v1/link", s.guarded(access.NodeLink, s.o.Link), doc("link", "Control link of a node: WebSocket")},
		{http.MethodPut, "/v1/ingest/segments/{camera}/{start}", s.guarded(access.NodeIngest, s.o.Ingest),
			doc("ingest", "Ship a segment")},
		{http.MethodPut, "/v1/ingest/gaps/{camera}/{from}", s.guarded(access.NodeIngest, s.o.Ingest),
			doc("ingest-gap", "Tell why there is no footage")},

		{"", "/debug/pprof/", s.guarded(access.Debug, s.pprof()), nil},
	}
	if s.o.Gatherer != nil {
		h := promhttp.HandlerFor(s.o.Gatherer, promhttp.HandlerOpts{})
		rs = append(rs, route{get, "/metrics", s.guarded(access.Metrics, h), doc("metrics", "Prometheus metrics")})
	}
	for _, later := range []struct{ method, path string }{
		{post, "/v1/exports"}, {get, "/v1/exports/{id}"}, {post, "/v1/readings"}, {post, "/v1/events"},
		{get, "/v1/alarms"}, {get, "/v1/health/report"},
	} {
		rs = append(rs, route{later.method, later.path, http.HandlerFunc(missing), nil})
	}
	return rs
}

// Routes lists the patterns of all routes but the console's, for tests and for people.
func (s *Server) Routes() []string {
	var out []string
	for path, item := range s.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "DELETE": item.Delete,
		} {
			if op != nil && !isFile(path) {
				out = append(out, method+" "+path)
			}
		}
	}
	for _, rt := range s.raw() {
		out = append(out, strings.TrimSpace(rt.method+" "+rt.path))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isFile reports whether a documented path ends in the name of a file, which the router sees as a whole.
func isFile(path string) bool {
	for _, prefix := range []string{"/v1/clips/", "/v1/snapshots/", "/v1/thumbnails/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

func (s *Server) mountRaw() {
	for _, rt := range s.raw() {
		pattern := rt.path
		if rt.method != "" {
			pattern = rt.method + " " + rt.path
		}
		s.mux.Handle(pattern, rt.handler)
	}
}

// doc describes an operation with optional query parameters.
func doc(id, summary string, query ...string) *huma.Operation {
	op := &huma.Operation{OperationID: id, Summary: summary, Responses: map[string]*huma.Response{
		"2XX": {Description: "Success"},
	}}
	for _, q := range query {
		op.Parameters = append(op.Parameters, &huma.Param{Name: q, In: "query", Schema: &huma.Schema{Type: "string"}})
	}
	return op
}

// guarded lets only roles pass that may do act. A nil handler is a part this process does not have.
func (s *Server) guarded(act access.Action, h http.Handler) http.Handler {
	return access.Require(act, s.orMissing(h))
}

func (s *Server) orMissing(h http.Handler) http.Handler {
	if h == nil {
		return http.HandlerFunc(missing)
	}
	return h
}

// missing answers for what the contract names and this process does not have.
func missing(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, http.StatusNotImplemented, "this gateway does not have this part")
}

// public names the requests that are answered without a credential, all of them.
func (s *Server) public(r *http.Request) bool {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch r.URL.Path {
	case "/healthz", "/readyz":
		return get
	case "/v1/login":
		return r.Method == http.MethodPost
	}
	return get && s.o.Web != nil && s.isWeb(r)
}

// isWeb reports whether no route but the console can be meant. Reserved prefixes never are the console's.
func (s *Server) isWeb(r *http.Request) bool {
	for _, prefix := range []string{"/v1", "/debug", "/metrics"} {
		if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
			return false
		}
	}
	_, pattern := s.mux.Handler(r)
	return pattern == ""
}

// route answers a request that passed the guard.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern != "" {
		if packed(r.URL.Path) {
			s.packer.wrap(s.mux).ServeHTTP(w, r)
			return
		}
		s.mux.ServeHTTP(w, r)
		return
	}
	nf := &notFoundWriter{ResponseWriter: w, r: r, status: http.StatusNotFound}
	nf.detail = "there is nothing at this address"
	if _, ok := access.FromContext(r.Context()); !ok {
		// let in by public as the console's: what that does not know stays closed
		nf.status, nf.detail = http.StatusUnauthorized, access.ErrNoCredential.Error()
	} else if allow := s.methods(r); len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		problem.Write(w, r, http.StatusMethodNotAllowed, "this resource does not take "+printable(r.Method))
		return
	}
	if s.o.Web == nil || !s.isWeb(r) {
		problem.Write(w, r, nf.status, nf.detail)
		return
	}
	s.o.Web.ServeHTTP(nf, r)
}

// methods returns the methods for which the path has a route.
func (s *Server) methods(r *http.Request) []string {
	var allow []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		try := r.Clone(r.Context())
		try.Method = m
		if _, pattern := s.mux.Handler(try); pattern != "" {
			allow = append(allow, m)
		}
	}
	return allow
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	err := s.o.Access.Audit().Err()
	if err != nil {
		err = fmt.Errorf("the audit log cannot be written, nothing is opened without it: %w", err)
	} else if s.o.Ready != nil {
		err = s.o.Ready(r.Context())
	}
	if err != nil {
		s.log.Warn("not ready", "err", err)
		problem.Write(w, r, http.StatusServiceUnavailable, "not ready") // why is for those who may read the log
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client is gone: nobody is left to tell
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(s.spec) // the client is gone: nobody is left to tell
}

// pprof serves the profiler, each use with an audit row first: a heap profile can hold what passes through the process.
func (s *Server) pprof() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := access.FromContext(r.Context())
		e := access.Event{Action: access.ActDiagnostic, Outcome: access.Done, Detail: printable(r.URL.Path)}
		if _, err := s.o.Access.Audit().Append(e.By(p, access.RemoteIP(r))); err != nil {
			s.unrecorded(w, r, e, err)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
