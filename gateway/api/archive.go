package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skein/gateway/access"
	"skein/gateway/api/problem"
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

// repeatAfter is how long reading the same clip again is the same act: players ask for one clip in many ranges.
const repeatAfter = 10 * time.Minute

// clipRequest is GET /v1/clips/{camera}.mp4, {camera}.m3u8, or a part of the latter, {camera}/hls/{segment}/{part},
// where the segment's name begins with its start in milliseconds. Of a part, from and to both are that start.
type clipRequest struct {
	camera    string
	part      bool
	from, to  time.Time
	retrieval string
}

var errClipPath = errors.New("want /v1/clips/{camera}.mp4 or /v1/clips/{camera}.m3u8")

// parseClip reads the path after /v1/clips/ and the query.
func parseClip(path string, q url.Values) (clipRequest, error) {
	c := clipRequest{retrieval: q.Get("retrieval")}
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
	if len(f) != 1 || camera == "" || (kind != "mp4" && kind != "m3u8") {
		return clipRequest{}, errClipPath
	}
	c.camera = camera
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
// The row of the audit log is written first: without it nothing is opened.
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
		problem.Write(w, r, http.StatusNotFound, "no such camera")
		return
	case err != nil:
		problem.Write(w, r, http.StatusBadRequest, err.Error())
		return
	}
	if !s.allowed(w, r, p, c) {
		return
	}
	if !s.recordClip(w, r, p, c) {
		return
	}
	s.o.Archive.ServeHTTP(w, r)
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
	s.audit(r, c.event(access.Refused))
	problem.WriteProblem(w, r, pr)
	return false
}

func (c clipRequest) event(o access.Outcome) access.Event {
	act := access.ActReplay
	if c.retrieval != "" {
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

// recordClip writes the audit row of an opened clip, unless it is a part or a repetition. If that fails it answers and
// returns false.
func (s *Server) recordClip(w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest) bool {
	if c.part {
		return true // its playlist was recorded
	}
	return s.recordOpened(w, r, p, c, r.PathValue("clip"))
}

// recordOpened writes the audit row of footage that is opened, unless the same was opened a moment ago. If that fails
// it answers and returns false.
func (s *Server) recordOpened(
	w http.ResponseWriter, r *http.Request, p access.Principal, c clipRequest, what string,
) bool {
	key := strings.Join([]string{
		p.Key(), what, c.from.Format(time.RFC3339Nano), c.to.Format(time.RFC3339Nano), c.retrieval,
	}, "|")
	if s.repeats.seen(key) {
		return true
	}
	if err := s.o.Access.Audit().Append(c.event(access.Done).By(p, access.RemoteIP(r))); err != nil {
		s.log.Error("audit row lost, footage not opened", "camera", c.camera, "actor", p.Name, "err", err)
		problem.Write(w, r, http.StatusServiceUnavailable,
			"the audit log cannot be written; no footage is opened without it")
		return false
	}
	s.repeats.add(key)
	return true
}
