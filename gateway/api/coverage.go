package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
	"skein/gateway/api/problem"
	"skein/recorder/segment"
)

// maxCoverage is how many cameras one coverage may ask for.
const maxCoverage = 2000

// coverageBody is the answer. Spans pass through as the archive wrote them, gaps with what only a gateway knows.
type coverageBody struct {
	From    time.Time        `json:"from"`
	To      time.Time        `json:"to"`
	Cameras []coverageCamera `json:"cameras"`
}

type coverageCamera struct {
	Camera   string          `json:"camera"`
	Distance *float64        `json:"distance_m,omitempty"`
	Spans    json.RawMessage `json:"spans"`
	Gaps     []segment.Gap   `json:"gaps"`
}

// place is what a coverage asks about: all of the conditions given must hold.
type place struct {
	cameras    []string
	unit, grid string
	near       *district.Location
	radius     float64 // metres
}

var errNear = errors.New("near: want lat,lon in degrees, with radius in metres")

func parsePlace(q url.Values) (place, error) {
	p := place{cameras: q["camera"], unit: q.Get("unit"), grid: q.Get("grid")}
	if !q.Has("near") && !q.Has("radius") {
		return p, nil
	}
	lat, lon, ok := strings.Cut(q.Get("near"), ",")
	if !ok {
		return place{}, errNear
	}
	la, err1 := finite(lat)
	lo, err2 := finite(lon)
	r, err3 := finite(q.Get("radius"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return place{}, errNear
	}
	if math.Abs(la) > 90 || math.Abs(lo) > 180 || r <= 0 || r > 100_000 {
		return place{}, fmt.Errorf("%w: up to 90 and 180 degrees, and 100000 metres", errNear)
	}
	p.near, p.radius = &district.Location{Lat: la, Lon: lo}, r
	return p, nil
}

func finite(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = strconv.ErrRange
	}
	return f, err
}

// coverage expands the place to the cameras in the caller's scope and asks the archive about those only.
func (s *Server) coverage(w http.ResponseWriter, r *http.Request) {
	if s.o.Archive == nil {
		missing(w, r)
		return
	}
	q := r.URL.Query()
	from, to, err := parseRange(q)
	var at place
	if err == nil {
		at, err = parsePlace(q)
	}
	if err != nil {
		problem.Write(w, r, http.StatusBadRequest, err.Error())
		return
	}
	p, _ := access.FromContext(r.Context())
	found, err := s.inventory().at(p, at)
	if err != nil {
		problem.Write(w, r, http.StatusNotFound, err.Error())
		return
	}
	if len(found) > maxCoverage {
		problem.Write(w, r, http.StatusBadRequest,
			fmt.Sprintf("this is about %d cameras, at most %d are allowed: ask about a unit, a grid or a place",
				len(found), maxCoverage))
		return
	}
	if len(found) == 0 {
		writeCoverage(w, r, coverageBody{From: from, To: to})
		return
	}
	s.askCoverage(w, r, found, from, to)
}

func (s *Server) askCoverage(w http.ResponseWriter, r *http.Request, found []district.Near, from, to time.Time) {
	q := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	for _, n := range found {
		q.Add("camera", n.Camera.ID)
	}
	in := r.Clone(r.Context())
	in.URL.RawQuery = q.Encode()
	in.RequestURI = in.URL.RequestURI()
	b := s.capture(in)
	if b.status != http.StatusOK || b.over {
		b.forward(w, r, b.body.Bytes())
		return
	}
	var body coverageBody
	if err := json.Unmarshal(b.body.Bytes(), &body); err != nil {
		s.log.Error("the archive's coverage cannot be read", "err", err)
		problem.Write(w, r, http.StatusBadGateway, "the archive's answer cannot be read")
		return
	}
	body = arrange(body, found)
	states, now := s.states(), s.now()
	for i := range body.Cameras {
		c := &body.Cameras[i]
		c.Gaps = underWay(c.Gaps, states[c.Camera].Recording, now)
	}
	writeCoverage(w, r, body)
}

// underWay names the gaps that are none: the edge has the footage, and the archive will. It is claimed only for time
// that the edge's last word covers, and for causes that the archive does not know.
func underWay(gaps []segment.Gap, r status.Recording, now time.Time) []segment.Gap {
	if r.Held.IsZero() {
		return gaps
	}
	to := r.LastWrite
	if r.Active {
		to = now
	}
	return segment.Explain(gaps, segment.Gap{
		Range: segment.Range{From: r.Held, To: to}, Cause: segment.CauseNotStored,
	})
}

// arrange puts the cameras in the order asked for, adds distances, and leaves out what was not asked for.
func arrange(body coverageBody, found []district.Near) coverageBody {
	by := make(map[string]coverageCamera, len(body.Cameras))
	for _, c := range body.Cameras {
		by[c.Camera] = c
	}
	body.Cameras = make([]coverageCamera, 0, len(found))
	for _, n := range found {
		c, ok := by[n.Camera.ID]
		if !ok {
			continue
		}
		if n.Distance >= 0 {
			d := math.Round(n.Distance*10) / 10
			c.Distance = &d
		}
		body.Cameras = append(body.Cameras, c)
	}
	return body
}

func writeCoverage(w http.ResponseWriter, r *http.Request, body coverageBody) {
	if body.Cameras == nil {
		body.Cameras = []coverageCamera{}
	}
	for i := range body.Cameras {
		c := &body.Cameras[i]
		if len(c.Spans) == 0 || string(c.Spans) == "null" {
			c.Spans = json.RawMessage("[]")
		}
		if c.Gaps == nil {
			c.Gaps = []segment.Gap{}
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		problem.Write(w, r, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(b, '\n')) // the client is gone: nobody is left to tell
	}
}

// at returns the cameras in scope at the place; nearest first and with distances if it is near a point, else in
// inventory order and with negative distances. A camera or unit that is named and not in scope is an error.
func (sc *scope) at(p access.Principal, at place) ([]district.Near, error) {
	for _, id := range at.cameras {
		if _, ok := sc.camera(p, id); !ok {
			return nil, fmt.Errorf("no such camera: %s", printable(id))
		}
	}
	if at.unit != "" && !sc.known(p, at.unit) {
		return nil, fmt.Errorf("no such unit: %s", printable(at.unit))
	}
	var all []district.Near
	if at.near != nil {
		all = sc.inv.NearTo(*at.near, at.radius)
	} else {
		for _, c := range sc.sources {
			all = append(all, district.Near{Camera: c, Distance: -1})
		}
	}
	return slices.DeleteFunc(all, func(n district.Near) bool {
		c := n.Camera
		return !sc.unit(p, c.Unit) ||
			len(at.cameras) > 0 && !slices.Contains(at.cameras, c.ID) ||
			at.unit != "" && !sc.below(at.unit, c.Unit) ||
			at.grid != "" && c.Grid != at.grid
	}), nil
}
