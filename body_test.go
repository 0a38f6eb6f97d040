package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// A body that never comes holds neither its answer nor its connection for long.
func TestBodiesThatDoNotComeEndTheirConnection(t *testing.T) {
	t.Parallel()
	const within = 300 * time.Millisecond
	ended := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/denied", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("/read", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { // whole at once, then answers for long
		_, err := io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
			err = errors.Join(err, r.Context().Err())
		case <-time.After(3 * within):
		}
		ended <- err
		_, _ = fmt.Fprintln(w, "done")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: withBodies(within, mux), ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() { _ = srv.Close(); <-served }()
	ask := func(path, length, body string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: "+length+"\r\n\r\n"+body)
		return c, bufio.NewReader(c)
	}
	for _, path := range []string{"/denied", "/read"} {
		c, r := ask(path, "1000", "{")
		if _, err := io.ReadAll(r); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection of a body that does not come stands after 20 s", path)
		}
		_ = c.Close()
	}
	c, r := ask("/long", "2", "{}")
	defer c.Close()
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("an answer that takes long: %q %v", line, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("a request whose body came was ended: %v", err)
	}
}
