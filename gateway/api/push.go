package api

import (
	"net/http"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// push guards the WHIP resources of one camera: who may publish for it.
func (s *Server) push(h http.Handler) http.Handler {
	next := s.orMissing(h)
	return access.Require(access.PushMedia, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := access.FromContext(r.Context())
		camera := r.PathValue("camera")
		if !s.May(p, access.PushMedia, camera) {
			problem.Write(w, r, http.StatusNotFound, "no such camera")
			return
		}
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		e := access.Event{
			Action: access.ActPublish, Outcome: access.Done, Cameras: []string{camera},
			Profile: profileOf(r.URL.Query().Get("profile")),
		}
		if sw.status/100 != 2 {
			e.Outcome = access.Failed
		}
		s.audit(r, e)
	}))
}
