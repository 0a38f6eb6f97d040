package api

import (
	"net/http"
	"strings"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// snapshot serves the last picture of a camera to whoever may watch it. Pages ask again and again: that is one act.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	if s.o.Snapshots == nil {
		missing(w, r)
		return
	}
	p, _ := access.FromContext(r.Context())
	camera, ok := strings.CutSuffix(r.PathValue("file"), ".jpg")
	if !ok || !s.May(p, access.WatchLive, camera) {
		problem.Write(w, r, http.StatusNotFound, "no such camera, or no .jpg")
		return
	}
	sw := &statusWriter{ResponseWriter: w}
	s.o.Snapshots.ServeHTTP(sw, r)
	e := access.Event{
		Action: access.ActView, Outcome: access.Done, Cameras: []string{camera}, Detail: "snapshot",
		Profile: profileOf(r.URL.Query().Get("profile")),
	}
	if sw.status/100 != 2 {
		e.Outcome = access.Failed
	}
	key := strings.Join([]string{p.Key(), "snapshot", camera, e.Profile, string(e.Outcome)}, "|")
	if !s.repeats.seen(key) {
		s.repeats.add(key)
		s.audit(r, e)
	}
}

// snapshotDoc describes GET /v1/snapshots/{camera}.jpg, which the router sees as a file.
func snapshotDoc() route {
	op := doc("snapshot", "The last key frame of a camera's live stream as a JPEG; its age is in Skein-Age-Ms", "profile")
	return route{method: http.MethodGet, path: "/v1/snapshots/{camera}.jpg", doc: op}
}
