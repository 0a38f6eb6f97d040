package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

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
	addr := access.RemoteIP(r)
	e := access.Event{
		Action: access.ActView, Cameras: []string{printable(camera)}, Detail: "snapshot",
		Profile: profileOf(r.URL.Query().Get("profile")),
	}.By(p, addr)
	if !ok || !s.May(p, access.WatchLive, camera) {
		s.refuse(p, addr, e)
		problem.Write(w, r, http.StatusNotFound, "no such camera, or no .jpg")
		return
	}
	a, err := s.acts.begin(strings.Join([]string{"snapshot", p.Key(), camera, e.Profile}, "|"), e, wallBreak)
	if err != nil {
		s.unrecorded(w, r, e, err)
		return
	}
	s.serve(a, w, r, s.o.Snapshots)
}

// snapshotDoc describes GET /v1/snapshots/{camera}.jpg, which the router sees as a file.
func snapshotDoc() route {
	op := doc("snapshot", "The last key frame of a camera's live stream as a JPEG", "profile")
	op.Responses["2XX"].Headers = map[string]*huma.Param{
		"Skein-Frame-Time": timeHeader("when the picture was captured"),
		"Skein-Age-Ms":     {Description: "its age at this gateway", Schema: &huma.Schema{Type: "integer"}},
	}
	return route{method: http.MethodGet, path: "/v1/snapshots/{camera}.jpg", doc: op}
}
