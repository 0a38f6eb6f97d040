package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/gateway/access"
)

// lockBook is the archive's register of locks. Footage under a lock is deleted by nothing until the lock ends.
type lockBook interface {
	Add(ctx context.Context, l lock) (lock, error)
	List(ctx context.Context) ([]lock, error)
	Release(ctx context.Context, id, reason string) error
}

// lock is one entry of the register. The gateway fills Owner; ID, Created, Active and Warning are the register's.
type lock struct {
	ID      string    `json:"id"`
	Cameras []string  `json:"cameras"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Reason  string    `json:"reason"`
	Case    string    `json:"case,omitempty"`
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
	Active  bool      `json:"active"`
	Warning string    `json:"warning,omitempty" doc:"what the store could not do"`
}

// The limits of one lock.
const (
	maxLockSpan = 92 * 24 * time.Hour
	maxLockTime = 3 * 366 * 24 * time.Hour // what lasts longer is asked for again
)

type lockInput struct {
	Body struct {
		Cameras []string  `json:"cameras" minItems:"1" maxItems:"500"`
		From    time.Time `json:"from"`
		To      time.Time `json:"to"`
		Reason  string    `json:"reason" maxLength:"2000" doc:"why the footage must be kept"`
		Until   time.Time `json:"until" doc:"when the lock ends by itself"`
		Case    string    `json:"case,omitempty" maxLength:"200" doc:"number of the case or legal document"`
	}
}

type lockOutput struct{ Body lock }

type locksOutput struct {
	Body struct {
		Locks []lock `json:"locks"`
	}
}

type unlockInput struct {
	ID     string `path:"id" maxLength:"64"`
	Reason string `query:"reason" maxLength:"2000" doc:"why the footage need not be kept any longer"`
}

func (s *Server) registerLocks() {
	if s.o.Archive != nil {
		s.locks = archiveLocks{s.o.Archive}
	}
	huma.Register(s.huma, huma.Operation{
		OperationID: "lock", Method: http.MethodPost, Path: "/v1/locks", Summary: "Keep footage from being deleted",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.lockFootage)
	huma.Register(s.huma, huma.Operation{
		OperationID: "list-locks", Method: http.MethodGet, Path: "/v1/locks",
		Summary: "The locks on cameras in the caller's scope",
		Errors:  []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, s.listLocks)
	huma.Register(s.huma, huma.Operation{
		OperationID: "unlock", Method: http.MethodDelete, Path: "/v1/locks/{id}", Summary: "End a lock before its time",
		DefaultStatus: http.StatusNoContent,
		Errors:        []int{http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.unlockFootage)
}

// register returns the register and who calls, if the role may lock.
func (s *Server) register(ctx context.Context) (lockBook, access.Principal, error) {
	p, err := principal(ctx, access.Retrieve)
	if err == nil && s.locks == nil {
		err = huma.Error501NotImplemented("this gateway has no archive")
	}
	return s.locks, p, err
}

func (s *Server) lockFootage(ctx context.Context, in *lockInput) (*lockOutput, error) {
	book, p, err := s.register(ctx)
	if err != nil {
		return nil, err
	}
	b, now := in.Body, s.now()
	l := lock{
		From: b.From.UTC(), To: b.To.UTC(), Reason: strings.TrimSpace(b.Reason), Case: strings.TrimSpace(b.Case),
		Owner: p.Name, Until: b.Until.UTC(),
	}
	switch {
	case len([]rune(l.Reason)) < 2:
		return nil, huma.Error422UnprocessableEntity("reason: is missing")
	case b.From.IsZero() || !b.From.Before(b.To):
		return nil, huma.Error422UnprocessableEntity("from, to: the range is empty")
	case b.To.Sub(b.From) > maxLockSpan:
		return nil, huma.Error422UnprocessableEntity(
			fmt.Sprintf("from, to: the range is longer than %d days", int(maxLockSpan.Hours()/24)))
	case !b.Until.After(now):
		return nil, huma.Error422UnprocessableEntity("until: want a time in the future")
	case b.Until.Sub(now) > maxLockTime:
		return nil, huma.Error422UnprocessableEntity("until: want at most three years; a lock can be set again")
	}
	sc := s.inventory()
	for _, id := range b.Cameras {
		if _, ok := sc.camera(p, id); !ok {
			return nil, huma.Error404NotFound("no such camera: " + printable(id))
		}
		if !slices.Contains(l.Cameras, id) {
			l.Cameras = append(l.Cameras, id)
		}
	}
	added, err := book.Add(ctx, l)
	if err != nil {
		return nil, s.lockFailed(ctx, p, access.ActLock, l, err)
	}
	if err := s.lockAudit(ctx, p, access.ActLock, access.Done, added, l.Reason); err != nil {
		// a lock nobody can account for is worse than none
		_ = book.Release(context.WithoutCancel(ctx), added.ID, "it could not be recorded")
		return nil, err
	}
	return &lockOutput{Body: added}, nil
}

func (s *Server) listLocks(ctx context.Context, _ *struct{}) (*locksOutput, error) {
	book, p, err := s.register(ctx)
	if err != nil {
		return nil, err
	}
	all, err := book.List(ctx)
	if err != nil {
		s.log.Error("locks not listed", "err", err)
		return nil, huma.Error503ServiceUnavailable("the register of locks cannot be reached now")
	}
	out := &locksOutput{}
	out.Body.Locks = []lock{}
	for _, l := range all {
		if l.Cameras = s.lockScope(p, l); len(l.Cameras) > 0 {
			out.Body.Locks = append(out.Body.Locks, l)
		}
	}
	slices.SortStableFunc(out.Body.Locks, func(a, b lock) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// lockScope returns the lock's cameras in the principal's scope; for one whose scope is everything also those that are
// no longer in the inventory.
func (s *Server) lockScope(p access.Principal, l lock) []string {
	if p.Everywhere() {
		return l.Cameras
	}
	sc := s.inventory()
	return slices.DeleteFunc(slices.Clone(l.Cameras), func(id string) bool {
		_, ok := sc.camera(p, id)
		return !ok
	})
}

// unlockFootage ends a lock. The row of the audit log is written first: nothing is given up without it.
func (s *Server) unlockFootage(ctx context.Context, in *unlockInput) (*struct{}, error) {
	book, p, err := s.register(ctx)
	if err != nil {
		return nil, err
	}
	reason := strings.TrimSpace(in.Reason)
	if len([]rune(reason)) < 2 {
		return nil, huma.Error422UnprocessableEntity("reason: is missing")
	}
	all, err := book.List(ctx)
	if err != nil {
		s.log.Error("lock not released", "err", err)
		return nil, huma.Error503ServiceUnavailable("the register of locks cannot be reached now")
	}
	at := slices.IndexFunc(all, func(l lock) bool { return l.ID == in.ID })
	if at < 0 || len(s.lockScope(p, all[at])) == 0 {
		return nil, huma.Error404NotFound("no such lock")
	}
	l := all[at]
	if len(s.lockScope(p, l)) < len(l.Cameras) {
		return nil, huma.Error403Forbidden("the lock also covers cameras outside of your scope")
	}
	if err := s.lockAudit(ctx, p, access.ActUnlock, access.Done, l, reason); err != nil {
		return nil, err
	}
	if err := book.Release(ctx, l.ID, reason); err != nil {
		return nil, s.lockFailed(ctx, p, access.ActUnlock, l, err)
	}
	return nil, nil
}

// lockAudit writes the row of an act and returns the answer for a log that cannot be written.
func (s *Server) lockAudit(
	ctx context.Context, p access.Principal, act access.Act, o access.Outcome, l lock, detail string,
) error {
	_, err := s.o.Access.Audit().Append(access.Event{
		Action: act, Outcome: o, Cameras: l.Cameras, From: l.From, To: l.To, Detail: strings.TrimSpace(l.ID + " " + detail),
	}.By(p, callerOf(ctx).addr))
	if err == nil {
		return nil
	}
	s.log.Error("audit row lost, lock not changed", "act", act, "actor", p.Name, "err", err)
	return huma.Error503ServiceUnavailable("the audit log cannot be written; no lock is changed without it")
}

// lockFailed tells caller and audit log that the register refused.
func (s *Server) lockFailed(ctx context.Context, p access.Principal, act access.Act, l lock, err error) error {
	s.log.Error("lock not changed", "act", act, "actor", p.Name, "err", err)
	_ = s.lockAudit(ctx, p, act, access.Failed, l, "") // logged there
	var said registerError
	if errors.As(err, &said) && said.status < http.StatusInternalServerError && said.status >= http.StatusBadRequest {
		return huma.NewError(said.status, said.Error())
	}
	return huma.Error503ServiceUnavailable("the register of locks cannot be reached now")
}

// archiveLocks is the register behind the archive's handler: in this process, or through a proxy.
type archiveLocks struct{ archive http.Handler }

// registerError is what the register answered instead of success.
type registerError struct {
	status int
	detail string
}

func (e registerError) Error() string { return e.detail }

func (a archiveLocks) do(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	w := newBufferWriter()
	a.archive.ServeHTTP(w, r)
	if w.over || w.status < 200 || w.status > 299 {
		var p struct{ Detail string }
		_ = json.Unmarshal(w.body.Bytes(), &p) // another body than a problem tells nothing
		return registerError{w.status, p.Detail}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(w.body.Bytes(), out); err != nil {
		return fmt.Errorf("the register's answer cannot be read: %w", err)
	}
	return nil
}

// Add implements lockBook.
func (a archiveLocks) Add(ctx context.Context, l lock) (lock, error) {
	var out lock
	err := a.do(ctx, http.MethodPost, "/v1/locks", l, &out)
	if err == nil && out.ID == "" {
		err = errors.New("the register's answer has no id")
	}
	return out, err
}

// List implements lockBook.
func (a archiveLocks) List(ctx context.Context) ([]lock, error) {
	var out struct {
		Locks []lock `json:"locks"`
	}
	err := a.do(ctx, http.MethodGet, "/v1/locks", nil, &out)
	return out.Locks, err
}

// Release implements lockBook.
func (a archiveLocks) Release(ctx context.Context, id, reason string) error {
	q := url.Values{"reason": {reason}}
	return a.do(ctx, http.MethodDelete, "/v1/locks/"+url.PathEscape(id)+"?"+q.Encode(), nil, nil)
}
