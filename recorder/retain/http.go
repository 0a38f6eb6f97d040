package retain

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"skein/recorder/guard"
	"skein/recorder/reply"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// maxLockBody bounds the description of a lock in bytes.
const maxLockBody = 64 << 10

// Handler serves the register of locks to a gateway, which decides who may do what. Over the network a lock's owner is
// the person for whom the gateway asks, and each change is a row of the recorder's audit log first:
//
//	GET    /v1/locks        all locks
//	POST   /v1/locks        adds one; 201. A warning tells that the store could not hold some object itself
//	DELETE /v1/locks/{id}   ends one before its time, ?reason tells why; 204
type Handler struct {
	locks *Locks
	log   *slog.Logger
	mux   *http.ServeMux
}

// NewHandler returns the handler of a register. log may be nil.
func NewHandler(l *Locks, log *slog.Logger) *Handler {
	h := &Handler{locks: l, log: log, mux: http.NewServeMux()}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.mux.HandleFunc("GET /v1/locks", h.list)
	h.mux.HandleFunc("POST /v1/locks", h.add)
	h.mux.HandleFunc("DELETE /v1/locks/{id}", h.release)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// LockBody is a lock on the wire.
type LockBody struct {
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
	Warning string    `json:"warning,omitempty"`
}

func (h *Handler) body(l Lock) LockBody {
	return LockBody{
		ID: l.ID, Cameras: l.Cameras, From: l.Range.From, To: l.Range.To, Reason: l.Reason, Case: l.Case, Owner: l.Owner,
		Created: l.Created, Until: l.Until, Active: l.Active(h.locks.now()),
	}
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) {
	list, err := h.locks.List(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	out := struct {
		Locks []LockBody `json:"locks"`
	}{make([]LockBody, 0, len(list))}
	for _, l := range list {
		out.Locks = append(out.Locks, h.body(l))
	}
	reply.JSON(w, http.StatusOK, out)
}

func (h *Handler) add(w http.ResponseWriter, r *http.Request) {
	var b LockBody
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLockBody)).Decode(&b); err != nil {
		reply.Problem(w, http.StatusBadRequest, "the body is no lock")
		return
	}
	lock := Lock{
		Cameras: b.Cameras, Range: segment.Range{From: b.From.UTC(), To: b.To.UTC()}, Reason: b.Reason, Case: b.Case,
		Owner: b.Owner, Until: b.Until.UTC(),
	}
	if p, ok := guard.Person(r.Context()); ok {
		lock.Owner = p.Name
	}
	if err := h.locks.check(lock); err != nil {
		guard.Refused(r.Context(), row(guard.ActionLock, lock, ""), err.Error())
		reply.Problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	why := lock.Reason + ", until " + lock.Until.Format(time.RFC3339)
	if err := guard.Record(r.Context(), row(guard.ActionLock, lock, why)); err != nil {
		guard.NotRecorded(w)
		return
	}
	l, err := h.locks.Add(r.Context(), lock)
	var held *HoldError
	switch {
	case errors.As(err, &held):
		h.log.WarnContext(r.Context(), "locked, but the store did not hold every object itself", "lock", l.ID, "err", err)
	case err != nil:
		h.fail(w, r, err)
		return
	}
	out := h.body(l)
	if held != nil {
		out.Warning = "the store did not hold every object itself; nothing here deletes them all the same"
	}
	reply.JSON(w, http.StatusCreated, out)
}

func (h *Handler) release(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !lockID(id) {
		reply.Problem(w, http.StatusNotFound, "no such lock")
		return
	}
	lock, err := h.locks.get(r.Context(), lockPrefix+id+".json")
	if err == nil {
		why := strings.TrimSpace(id + " " + r.URL.Query().Get("reason"))
		if guard.Record(r.Context(), row(guard.ActionUnlock, lock, why)) != nil {
			guard.NotRecorded(w)
			return
		}
		err = h.locks.Release(r.Context(), id)
	}
	var held *HoldError
	switch {
	case errors.As(err, &held):
		h.log.WarnContext(r.Context(), "lock released, but some objects are still held by the store", "lock", id, "err", err)
	case errors.Is(err, store.ErrNotFound):
		reply.Problem(w, http.StatusNotFound, "no such lock")
		return
	case err != nil:
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// row is the audit row about a lock.
func row(act guard.Action, l Lock, why string) guard.Row {
	return guard.Row{Action: act, Cameras: l.Cameras, From: l.Range.From, To: l.Range.To, Detail: why}
}

// lockID reports whether id has the form that Add gives.
func lockID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody listens
	}
	h.log.ErrorContext(r.Context(), "register of locks", "err", err)
	w.Header().Set("Retry-After", "5")
	reply.Problem(w, http.StatusServiceUnavailable, "the register of locks cannot be reached now")
}
