package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

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
		e := access.Event{
			Action: access.ActView, Cameras: []string{printable(camera)},
			Profile: profileOf(r.URL.Query().Get("profile")),
		}.By(p, access.RemoteIP(r))
		if !s.May(p, access.WatchLive, camera) {
			s.refuse(p, e.Address, e)
			problem.Write(w, r, http.StatusNotFound, "no such camera")
			return
		}
		if r.Method != http.MethodPost || r.PathValue("session") != "" {
			next.ServeHTTP(w, r)
			return
		}
		s.stream(w, r, e, next)
	}))
}

// stream lets next begin to show, or take in, a single stream, after the row about that is written. What begins ends
// when nobody has asked for a while whether it is still allowed.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, e access.Event, next http.Handler) {
	a, err := s.acts.begin("stream|"+rand.Text(), e, oneStream)
	if err != nil {
		s.unrecorded(w, r, e, err)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), actKey{}, a))
	if s.serve(a, w, r, next)/100 != 2 {
		s.acts.end(a)
	}
}

// actKey is the key in a request's context of the act that it begins.
type actKey struct{}

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

// Watch returns the function that decides which cameras the caller of r may watch, also those chosen after the
// request, on walls. The first time it allows a camera is the row of the audit log that the viewing begins, and
// without that row it allows none; where it is not asked for a while the viewing is over. It may be called from any
// goroutine, also after the request has ended; it follows changes of the inventory and of the user, and allows nothing
// once the login is over.
func (s *Server) Watch(r *http.Request) func(camera string) bool {
	return s.watching(r, access.WatchLive)
}

// Send is Watch for the camera that the caller of r publishes.
func (s *Server) Send(r *http.Request) func(camera string) bool {
	return s.watching(r, access.PushMedia)
}

func (s *Server) watching(r *http.Request, what access.Action) func(camera string) bool {
	p, ok := access.FromContext(r.Context())
	if !ok {
		return func(string) bool { return false }
	}
	addr, wall := access.RemoteIP(r), rand.Text()
	var mu sync.Mutex // guards doing
	doing := map[string]*act{}
	if a, ok := r.Context().Value(actKey{}).(*act); ok { // a single stream
		doing[a.begun.Cameras[0]] = a
	}
	return func(camera string) bool {
		e := access.Event{Action: access.ActView, Cameras: []string{camera}, Detail: "wall"}
		if !s.Still(p, what, camera) {
			if what == access.WatchLive {
				e.Cameras[0] = printable(camera)
				s.refuse(p, addr, e)
			}
			return false
		}
		mu.Lock()
		a := doing[camera]
		mu.Unlock()
		if a != nil && s.acts.renew(a) {
			return true
		}
		pause := wallBreak
		if a != nil { // it was over, and is not: a single stream is written down as what it was
			e, pause = a.begun, a.pause
		}
		a, err := s.acts.begin(strings.Join([]string{"wall", wall, camera}, "|"), e.By(p, addr), pause)
		if err != nil {
			s.log.Error("audit row lost, camera not shown", "camera", camera, "actor", p.Name, "error", err)
			return false
		}
		s.acts.renew(a)
		mu.Lock()
		doing[camera] = a
		mu.Unlock()
		return true
	}
}

// Opened writes the row about a camera's stream that p may watch, or send, by another protocol than HTTP from addr,
// and from now on does; an error means that it must not. Players that lose their connection come again and again:
// within two minutes that is one act. still is to be called every second for as long as it lasts; it returns false if
// what goes on can no longer be recorded.
func (s *Server) Opened(p access.Principal, do access.Act, camera, profile, addr, how string) (
	still func() bool, err error,
) {
	e := access.Event{Action: do, Cameras: []string{camera}, Profile: profile, Detail: how}.By(p, addr)
	key := strings.Join([]string{how, p.Key(), string(do), camera, profile, addr}, "|")
	a, err := s.acts.begin(key, e, wallBreak)
	if err != nil {
		s.log.Error("audit row lost, act refused", "action", do, "camera", camera, "actor", p.Name, "error", err)
		return nil, err
	}
	s.acts.renew(a)
	var doing atomic.Pointer[act]
	doing.Store(a)
	return func() bool {
		if s.acts.renew(doing.Load()) {
			return true
		}
		again, err := s.acts.begin(key, e, wallBreak)
		if err != nil {
			return false
		}
		doing.Store(again)
		return s.acts.renew(again)
	}, nil
}
