package api

import (
	"net/http"
	"strings"
	"sync"

	"skein/edge/media"
	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// live guards the WHEP resources of one camera.
func (s *Server) live(h http.Handler) http.Handler {
	next := s.orMissing(h)
	return access.Require(access.WatchLive, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := access.FromContext(r.Context())
		camera := r.PathValue("camera")
		if !s.May(p, access.WatchLive, camera) {
			problem.Write(w, r, http.StatusNotFound, "no such camera")
			return
		}
		if r.Method != http.MethodPost || r.PathValue("session") != "" {
			next.ServeHTTP(w, r)
			return
		}
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		e := access.Event{
			Action: access.ActView, Outcome: access.Done, Cameras: []string{camera},
			Profile: profileOf(r.URL.Query().Get("profile")),
		}
		if sw.status/100 != 2 {
			e.Outcome = access.Failed
		}
		s.audit(r, e)
	}))
}

// profileOf keeps words we do not know out of the audit log.
func profileOf(s string) string {
	switch {
	case s == "":
		return string(media.Main)
	case media.Profile(s).Valid():
		return s
	}
	return "?"
}

// Watch returns the function that decides which cameras the caller of r may watch, for walls, where cameras are chosen
// after the request. Every camera it allows for the first time is a row of the audit log. It may be called from any
// goroutine, also after the request has ended; it follows changes of the inventory and of the user, and allows nothing
// once the login is over.
func (s *Server) Watch(r *http.Request) func(camera string) bool {
	p, ok := access.FromContext(r.Context())
	if !ok {
		return func(string) bool { return false }
	}
	wall := strings.HasPrefix(r.URL.Path, "/v1/walls") // single cameras are recorded by live
	var mu sync.Mutex                                  // guards seen
	seen := map[string]bool{}
	return func(camera string) bool {
		if !s.Still(p, access.WatchLive, camera) {
			return false
		}
		mu.Lock()
		first := wall && !seen[camera]
		seen[camera] = true
		mu.Unlock()
		if first {
			s.audit(r, access.Event{
				Action: access.ActView, Outcome: access.Done, Cameras: []string{camera}, Detail: "wall",
			})
		}
		return true
	}
}
