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
			s.refuse(p, access.RemoteIP(r), access.Event{Action: access.ActPublish, Cameras: []string{printable(camera)}})
			problem.Write(w, r, http.StatusNotFound, "no such camera")
			return
		}
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		e := access.Event{
			Action: access.ActPublish, Cameras: []string{camera}, Profile: profileOf(r.URL.Query().Get("profile")),
		}.By(p, access.RemoteIP(r))
		s.stream(w, r, e, next)
	}))
}
