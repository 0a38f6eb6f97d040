package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// thumbnail shows one small picture of recorded footage: GET /v1/thumbnails/{camera}.jpg?at. Who may see it is decided
// as for a clip of that moment. One row of the audit log stands for the pictures of one hour: a timeline asks for many.
func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request) {
	if s.o.Archive == nil {
		missing(w, r)
		return
	}
	p, _ := access.FromContext(r.Context())
	camera, ok := strings.CutSuffix(r.PathValue("thumbnail"), ".jpg")
	if !ok || !s.May(p, access.Replay, camera) {
		s.refuse(p, access.RemoteIP(r), access.Event{Action: access.ActReplay, Cameras: []string{printable(camera)}})
		problem.Write(w, r, http.StatusNotFound, "no such camera: want /v1/thumbnails/{camera}.jpg")
		return
	}
	q := r.URL.Query()
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(q.Get("at"), " ", "+", 1)) // a plus that was not escaped
	if err != nil || len(q["at"]) != 1 {
		problem.Write(w, r, http.StatusBadRequest, "at: want an RFC 3339 time such as 2026-11-23T08:00:00.5Z")
		return
	}
	at = at.UTC()
	c := clipRequest{camera: camera, from: at, to: at.Add(time.Millisecond), retrieval: q.Get("retrieval")}
	if !s.allowed(w, r, p, c) {
		return
	}
	hour := c
	hour.from, hour.to = at.Truncate(time.Hour), at.Truncate(time.Hour).Add(time.Hour)
	a, ok := s.opened(w, r, p, hour, strings.Join([]string{
		"thumbnails", p.Key(), camera, c.retrieval, hour.from.Format(time.RFC3339),
	}, "|"))
	if !ok {
		return
	}
	in := r.Clone(r.Context())
	ask := url.Values{"at": {at.Format(time.RFC3339Nano)}}
	if c.retrieval != "" {
		ask.Set("retrieval", c.retrieval) // for the recorder's own row
	}
	in.URL.RawQuery = ask.Encode()
	in.RequestURI = in.URL.RequestURI()
	s.serve(a, w, in, s.o.Archive)
}
