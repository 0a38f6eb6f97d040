package main

import (
	"context"
	"net"
	"net/http"
	"sync"

	"skein/internal/strangers"
)

// mostWaiting is how many connections of an HTTP port may be open without a request that has been read: those that said
// nothing yet, those in the middle of a header, and those kept alive. Files of footage need descriptors too.
const mostWaiting = 2048

// waiting closes connections that wait, where there are too many: the one that has waited longest, of the address with
// the most. To clients that is a connection not kept alive; requests in progress are never cut off.
type waiting struct {
	lobby *strangers.Lobby

	mu     sync.Mutex // guards the field below
	places map[net.Conn]*strangers.Guest
}

func newWaiting(most int) *waiting {
	return &waiting{lobby: strangers.NewLobby(most, 0), places: map[net.Conn]*strangers.Guest{}}
}

// watch makes srv tell which of its connections wait.
func (w *waiting) watch(srv *http.Server) {
	type connKey struct{}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew, http.StateIdle:
			w.enter(c)
		case http.StateHijacked, http.StateClosed:
			w.leave(c)
		case http.StateActive: // perhaps no more than the first byte of a header
		}
	}
	next := srv.Handler
	srv.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			w.leave(c)
		}
		next.ServeHTTP(rw, r)
	})
}

func (w *waiting) enter(c net.Conn) {
	w.leave(c)
	g, _ := w.lobby.Enter(strangers.RemoteOf(c).Addr(), func() { strangers.HangUp(c) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[c] = g
}

func (w *waiting) leave(c net.Conn) {
	w.mu.Lock()
	g := w.places[c]
	delete(w.places, c)
	w.mu.Unlock()
	if g != nil {
		g.Leave()
	}
}
