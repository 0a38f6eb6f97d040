package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestWaitingConnectionsAreBounded: a stranger's idle connections take no descriptors from the footage, and cut off no
// request.
func TestWaitingConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 8
	begun, finish := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(begun)
			<-finish
		}
		_, _ = io.WriteString(w, "done")
	}))
	w := newWaiting(most)
	srv.Config.ConnState = nil
	w.watch(srv.Config)
	ours := srv.Config.ConnState
	srv.Start() // adds a ConnState of its own, which calls ours
	defer srv.Close()
	if ours == nil {
		t.Fatal("nobody watches")
	}
	say := func(text string) net.Conn {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const request = " HTTP/1.1\r\nHost: h\r\n\r\n"
	answer := func(c net.Conn) error {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "done" {
			return fmt.Errorf("%q, %w", b, err)
		}
		return nil
	}
	long := say("GET /long" + request)
	<-begun
	for i := range 20 {
		say("")
		say("GET /x HTTP/1.1\r\nHost") // never ends
		if err := answer(say("GET /short" + request)); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if n := w.lobby.Guests(); n > most {
			t.Errorf("%d connections wait, want %d at most", n, most)
		}
	}
	close(finish)
	if err := answer(long); err != nil {
		t.Errorf("the long request: %v", err)
	}
	srv.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.lobby.Guests(); n != 0 || len(w.places) != 0 {
		t.Errorf("%d guests and %d connections are left", n, len(w.places))
	}
}
