package api

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// unrecorded answers a request whose row of the audit log could not be written: it is not carried out.
func (s *Server) unrecorded(w http.ResponseWriter, r *http.Request, e access.Event, err error) {
	p, _ := access.FromContext(r.Context())
	s.log.Error("audit row lost, act refused", "action", e.Action, "cameras", e.Cameras, "actor", p.Name, "error", err)
	problem.Write(w, r, http.StatusServiceUnavailable, "the audit log cannot be written; nothing is opened without it")
}

// recordable lets nothing begin that later acts depend on while the audit log is known to be broken, so that whoever
// asks is told why.
func (s *Server) recordable(h http.Handler) http.Handler {
	next := s.orMissing(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.o.Access.Audit().Err(); err != nil {
			s.unrecorded(w, r, access.Event{Action: access.ActView}, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serve lets h answer a request of the act, and notes what it sent.
func (s *Server) serve(a *act, w http.ResponseWriter, r *http.Request, h http.Handler) (status int) {
	s.acts.enter(a)
	sw := &statusWriter{ResponseWriter: w}
	defer func() {
		if status = sw.status; status == 0 {
			status = http.StatusOK // what net/http sends for a handler that says nothing
		}
		if r.Context().Err() != nil {
			status = statusBrokeOff
		}
		s.acts.leave(a, status, sw.sent)
	}()
	h.ServeHTTP(sw, r)
	return status
}

// statusBrokeOff stands for an answer that the client did not wait for (as nginx writes it).
const statusBrokeOff = 499

const (
	// refusedRate and refusedBurst bound the rows about what one caller tried in vain.
	refusedRate  = rate.Limit(0.2) // a second
	refusedBurst = 60
	maxRefusers  = 1024
)

// refusals bounds the rows about attempts in vain: whoever tries every name there is must not fill the disk.
type refusals struct {
	now func() time.Time

	mu  sync.Mutex // guards the field below
	who map[string]*refuser
}

type refuser struct {
	limit *rate.Limiter
	last  map[string]time.Time // by act and camera
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, who: map[string]*refuser{}}
}

// row reports whether an attempt is to be a row: the first of its kind in a while, and not one of very many.
func (rs *refusals) row(who, what string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	now := rs.now()
	f := rs.who[who]
	if f == nil {
		if len(rs.who) >= maxRefusers {
			clear(rs.who)
		}
		f = &refuser{limit: rate.NewLimiter(refusedRate, refusedBurst), last: map[string]time.Time{}}
		rs.who[who] = f
	}
	if t, ok := f.last[what]; ok && now.Sub(t) < readingBreak {
		return false
	}
	if !f.limit.AllowN(now, 1) {
		return false
	}
	if len(f.last) > 2*refusedBurst {
		clear(f.last)
	}
	f.last[what] = now
	return true
}

// refuse writes the row about an attempt at a camera that is not the caller's to see, or not there.
func (s *Server) refuse(p access.Principal, addr string, e access.Event) {
	e.Outcome = access.Refused
	if !s.refused.row(p.Key(), strings.Join(append(e.Cameras, string(e.Action), e.Detail, e.Retrieval), "|")) {
		return
	}
	if _, err := s.o.Access.Audit().Append(e.By(p, addr)); err != nil {
		s.log.Error("audit row lost", "action", e.Action, "actor", p.Name, "error", err)
	}
}
