package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skein/gateway/access"
	"skein/gateway/api/problem"
	"skein/recorder/segment"
)

// retrievalRequired is the type of the problem that asks for POST /v1/retrievals.
const retrievalRequired = "urn:skein:problem:retrieval-required"

const (
	// partGrace is how much older than the replay window the parts of a playlist may be that was inside it when it
	// began.
	partGrace = 15 * time.Minute
	// longestSegment is how long before a range the segment may have begun that holds its first frame. A playlist's
	// parts are named by their segment, so a retrieval opens its range rounded out to whole segments.
	longestSegment = 65 * time.Second
)

// clipRequest is GET /v1/clips/{camera}.mp4, {camera}.m3u8, or a part of the latter, {camera}/hls/{segment}/{part},
// where the segment's name begins with its start in milliseconds. Of a part, from and to both are that start. The third
// form, {camera}.json, is the clip's timeline: times, and no picture.
type clipRequest struct {
	camera    string
	part      bool
	timeline  bool
	from, to  time.Time
	retrieval string
	download  bool
}

var errClipPath = errors.New("want /v1/clips/{camera}.mp4, /v1/clips/{camera}.m3u8 or /v1/clips/{camera}.json")

// parseClip reads the path after /v1/clips/ and the query.
func parseClip(path string, q url.Values) (clipRequest, error) {
	c := clipRequest{retrieval: q.Get("retrieval"), download: q.Get("download") == "1"}
	f := strings.Split(path, "/")
	if len(f) == 4 && f[1] == "hls" {
		ms, _, _ := strings.Cut(f[2], "-")
		n, err := strconv.ParseInt(ms, 10, 64)
		if err != nil || n <= 0 || n > maxMillis || f[0] == "" || f[3] == "" {
			return clipRequest{}, errClipPath
		}
		c.camera, c.part, c.from = f[0], true, time.UnixMilli(n).UTC()
		c.to = c.from
		return c, nil
	}
	camera, kind, _ := strings.Cut(path, ".")
	if len(f) != 1 || camera == "" || (kind != "mp4" && kind != "m3u8" && kind != "json") {
		return clipRequest{}, errClipPath
	}
	c.camera, c.timeline = camera, kind == "json"
	c.download = c.download && !c.timeline
	var err error
	c.from, c.to, err = parseRange(q)
	return c, err
}

// maxMillis is the year 9999: beyond it times cannot be written as RFC 3339.
const maxMillis = 253_000_000_000_000

// parseRange reads from and to, RFC 3339 with or without fractions.
func parseRange(q url.Values) (from, to time.Time, err error) {
	for _, v := range []struct {
		key string
		t   *time.Time
	}{{"from", &from}, {"to", &to}} {
		if len(q[v.key]) != 1 {
			return from, to, fmt.Errorf("%s: want it once", v.key)
		}
		// a plus sign that was not escaped has become a space; times never hold one
		if *v.t, err = time.Parse(time.RFC3339Nano, strings.Replace(q.Get(v.key), " ", "+", 1)); err != nil {
			return from, to, fmt.Errorf("%s: want an RFC 3339 time such as 2026-11-23T08:00:00.5Z", v.key)
		}
	}
	if !from.Before(to) {
		return from, to, errors.New("from, to: the range is empty")
	}
	return from.UTC(), to.UTC(), nil
}

// clip opens recorded footage: young footage to all who may replay, older footage under a registered retrieval only.
// Taking it away as a file is an act of its own. The row of the audit log is written first: without it nothing is
// opened.
func (s *Server) clip(w http.ResponseWriter, r *http.Request) {
	if s.o.Archive == nil {
		missing(w, r)
		return
	}
	p, _ := access.FromContext(r.Context())
	c, err := parseClip(r.PathValue("clip"), r.URL.Query())
	switch {
	case errors.Is(err, errClipPath):
		problem.Write(w, r, http.StatusNotFound, err.Error())
		return
	case !s.May(p, access.Replay, c.camera):
		s.refuse(p, access.RemoteIP(r), access.Event{Action: access.ActReplay, Cameras: []string{printable(c.camera)}})
		problem.Write(w, r, http.StatusNotFound, "no such camera")
		return
	case err != nil:
		problem.Write(w, r, http.StatusBadRequest, err.Error())
		return
	}
	if !s.allowed(w, r, p, c) {
		return
	}
	switch {
	case r.Method == http.MethodHead:
		s.o.Archive.ServeHTTP(w, r) // shows nothing
	case c.timeline:
		s.timeline(w, r, c.camera)
	case c.download:
		s.download(w, r, p, c)
	default:
		s.read(w, r, p, c)
	}
}

// timeline serves the times of a clip, with what only a gateway knows of its gaps. It shows nothing.
func (s *Server) timeline(w http.ResponseWriter, r *http.Request, camera string) {
	b := s.capture(r)
	if b.status != http.StatusOK || b.over {
		b.forward(w, r, b.body.Bytes())
		return
	}
	body := map[string]json.RawMessage{}
	var gaps []segment.Gap
	err := json.Unmarshal(b.body.Bytes(), &body)
	if err == nil {
		err = json.Unmarshal(body["gaps"], &gaps)
	}
	var out []byte
	if err == nil {
		gaps = append([]segment.Gap{}, underWay(gaps, s.states()[camera].Recording, s.now())...) // [] and not null
		body["gaps"], err = json.Marshal(gaps)
	}
	if err == nil {
		out, err = json.Marshal(body)
	}
	if err != nil {
		s.log.Error("the archive's timeline cannot be read", "camera", camera, "err", err)
		problem.Write(w, r, http.StatusBadGateway, "the archive's answer cannot be read")
		return
	}
	b.forward(w, r, out)
}

// reading is the key of all readings by one login of one camera's footage under one retrieval.
func (c clipRequest) reading(p access.Principal) string {
	return strings.Join([]string{"read", p.Key(), c.camera, c.retrieval, ""}, "|")
}

// read serves footage that is looked at. However many requests a player makes for a range, playlist, parts and MP4,
// they are one act. A part whose playlist this caller has not read is an act of its own.
func (s *Server) read(w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest) {
	key := c.reading(p)
	if c.part {
		if a := s.acts.reading(key, c.from); a != nil {
			s.serve(a, w, r, s.o.Archive)
			return
		}
		c.from = c.from.Truncate(partWindow)
		c.to = c.from.Add(partWindow)
	}
	key += c.from.Format(time.RFC3339Nano) + "|" + c.to.Format(time.RFC3339Nano)
	if a, ok := s.opened(w, r, p, c, key); ok {
		s.serve(a, w, r, s.o.Archive)
	}
}

// partWindow is the range that is written down of parts that are read without their playlist.
const partWindow = 10 * time.Minute

// download serves footage that is taken away. Each time is an act, and its end tells how much was sent.
func (s *Server) download(w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest) {
	if a, ok := s.opened(w, r, p, c, "download|"+rand.Text()); ok {
		s.serve(a, w, r, s.o.Archive)
		s.acts.end(a)
	}
}

// opened writes the row about footage that is opened. If that fails it answers and returns false.
func (s *Server) opened(
	w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest, key string,
) (*act, bool) {
	e := c.event(access.Begun).By(p, access.RemoteIP(r))
	a, err := s.acts.begin(key, e, readingBreak)
	if err != nil {
		s.unrecorded(w, r, e, err)
		return nil, false
	}
	return a, true
}

// allowed reports whether the principal may see this footage now; if not, it has answered and written an audit row.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest) bool {
	err := s.opens(p, c)
	if err == nil {
		return true
	}
	pr := problem.New(http.StatusForbidden, err.Error())
	pr.Instance = r.URL.EscapedPath()
	if errors.Is(err, access.ErrNoRetrieval) {
		pr.Type, pr.Title = retrievalRequired, "Retrieval required"
	}
	s.refuse(p, access.RemoteIP(r), c.event(access.Refused))
	problem.WriteProblem(w, r, pr)
	return false
}

func (c clipRequest) event(o access.Outcome) access.Event {
	act := access.ActReplay
	switch {
	case c.download:
		act = access.ActDownload
	case c.retrieval != "":
		act = access.ActClip
	}
	return access.Event{
		Action: act, Outcome: o, Cameras: []string{c.camera}, From: c.from, To: c.to, Retrieval: printable(c.retrieval),
	}
}

// opens returns nil if the principal may see this footage now.
func (s *Server) opens(p access.Principal, c clipRequest) error {
	now := s.now()
	window := s.o.Access.ReplayWindow()
	switch {
	case !c.download:
	case !p.May(access.Download):
		return errors.New("the role does not allow taking footage away; it can be watched without download=1")
	case c.retrieval == "":
		return fmt.Errorf("%w: taking footage away always needs one: POST /v1/retrievals, then add &retrieval=<id>",
			access.ErrNoRetrieval)
	}
	if c.retrieval == "" {
		limit := window
		if c.part && window > 0 {
			limit += partGrace
		}
		if limit > 0 && !c.from.Before(now.Add(-limit-time.Minute)) { // a minute for clocks that differ
			return nil
		}
		return fmt.Errorf("%w: footage older than %v needs one: POST /v1/retrievals, then add &retrieval=<id>",
			access.ErrNoRetrieval, window)
	}
	if !p.May(access.Retrieve) {
		return errors.New("the role does not allow retrievals")
	}
	ret, err := s.o.Access.Retrievals().Get(c.retrieval, now)
	if err != nil {
		return fmt.Errorf("%w: it is unknown or has expired", err)
	}
	from, to := c.from, c.to
	if c.part && from.Before(ret.From) && from.Add(longestSegment).After(ret.From) {
		from, to = ret.From, ret.From
	}
	if !ret.Covers(p, c.camera, from, to, now) {
		return fmt.Errorf("%w: it is for other footage, or another person's", access.ErrNoRetrieval)
	}
	return nil
}
