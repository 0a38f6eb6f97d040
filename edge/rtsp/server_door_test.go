package rtsp

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skein/edge/stream"
)

// guarded runs a server with the user "u", password "p", and an empty stream until the test ends.
func guarded(t *testing.T, change func(*ServerConfig)) *Server {
	t.Helper()
	cfg := ServerConfig{
		Listen: "127.0.0.1:0",
		Auth: func(_ context.Context, r Request) (func() bool, error) {
			if !r.Verify("u", "p") {
				return nil, ErrUnauthorized
			}
			return nil, nil
		},
		OnPlay: func(context.Context, Request) (*stream.Stream, func(), error) { return nil, nil, ErrNotFound },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// flood writes a beginning and then the same bytes without end, and returns how many were taken until the server hung
// up. The system's own buffers take a few megabytes of them.
func flood(t *testing.T, c net.Conn, begin, more string) int {
	t.Helper()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if _, err := io.WriteString(c, begin); err != nil {
		return 0
	}
	block := []byte(strings.Repeat(more, 64<<10/len(more)))
	for sent := 0; sent < 64<<20; {
		n, err := c.Write(block)
		sent += n
		if err != nil {
			return sent
		}
	}
	t.Error("64 MiB were taken")
	return 64 << 20
}

// signIn gets past Auth, and to the answer that there is no such stream.
func signIn(c net.Conn) error {
	_, err := fmt.Fprintf(c, "DESCRIBE rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic %s\r\n\r\n",
		base64.StdEncoding.EncodeToString([]byte("u:p")))
	if err != nil {
		return err
	}
	b := make([]byte, 1024)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(b[:n]), "RTSP/1.0 404 ") {
		return fmt.Errorf("answer %q", b[:n])
	}
	return nil
}

// TestStrangersSayLittle: without credentials nobody gets the server to read without end. The first two filled its
// memory through the library's tunnels.
func TestStrangersSayLittle(t *testing.T) {
	t.Parallel()
	s := guarded(t, nil)
	const upgrade = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"Sec-WebSocket-Protocol: rtsp.onvif.org\r\n\r\n"
	for _, c := range []struct{ name, begin, more string }{
		{"a message of a terabyte", upgrade + "\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x00"},
		{"a header of HTTP without end", "GET /x HTTP/1.1\r\nX: ", "a"},
		{"the other half of a tunnel", "POST /x HTTP/1.1\r\nX: ", "a"},
		{"a header without end", "OPTIONS * RTSP/1.0\r\nCSeq: ", "1"},
		{"blanks without end", "OPTIONS * RTSP/1.0\r\nCSeq: ", " "},
		{"headers without end", "OPTIONS * RTSP/1.0\r\n", "CSeq: 1\r\n"},
		{"requests without end", "", "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"},
		{"rubbish without end", "", "."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sent := flood(t, dial(t, s), c.begin, c.more)
			t.Logf("ended after %d bytes", sent)
		})
	}
}

// TestRequestsAreBounded: those who have signed in send media without end, but no request does.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	s := guarded(t, nil)
	for _, c := range []struct{ name, begin, more string }{
		{"a header", "OPTIONS * RTSP/1.0\r\nCSeq: ", "1"},
		{"headers", "OPTIONS * RTSP/1.0\r\n", "CSeq: 1\r\n"},
		{"a body", "GET_PARAMETER rtsp://h/x RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 1099511627776\r\n\r\n", "a"},
		{"a tunnel", "GET /x HTTP/1.1\r\nX: ", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, s)
			if err := signIn(conn); err != nil {
				t.Fatal(err)
			}
			flood(t, conn, c.begin, c.more)
		})
	}
}

// TestIdleStrangersKeepNobodyOut: seventy connections of one address that say nothing refused everybody for as long as
// they liked.
func TestIdleStrangersKeepNobodyOut(t *testing.T) {
	t.Parallel()
	var out lines
	s := guarded(t, func(c *ServerConfig) {
		c.MaxUnauthenticated = 64
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
	})
	for range 70 {
		dial(t, s)
	}
	for i := range 56 {
		if err := signIn(dial(t, s)); err != nil {
			t.Errorf("try %d: %v", i, err)
		}
	}
	end := time.Now().Add(10 * time.Second)
	for out.n.Load() == 0 && time.Now().Before(end) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := out.n.Load(); n != 1 {
		t.Errorf("%d lines in the log, want one", n)
	}
}

// lines counts what is written.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(b []byte) (int, error) {
	l.n.Add(1)
	return len(b), nil
}

// caller is a connection from an address that says nothing.
type caller struct {
	net.Conn
	from   string
	closed bool
}

func (c *caller) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

func (c *caller) Close() error {
	c.closed = true
	return nil
}

// TestTrustedAddressesAlwaysGetIn: edges whose link is up are not counted, until there is no place for any connection.
// Then strangers go first, one by one, and nobody who has signed in.
func TestTrustedAddressesAlwaysGetIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		edge := netip.MustParseAddr("10.0.0.9")
		cfg := ServerConfig{
			MaxConns: 12, MaxUnauthenticated: 8, Trusted: func(a netip.Addr) bool { return a == edge },
		}.withDefaults()
		d := newDoor(nil, &cfg, nil)
		guests := map[*caller]*guest{}
		come := func(from string) *caller {
			c := &caller{from: from}
			guests[c] = d.admit(c)
			return c
		}
		all := func(want int64, strangers, trusted int) {
			t.Helper()
			if n, s, e := d.open.Load(), d.lobby.Guests(), d.trusted.Guests(); n != want || s != strangers || e != trusted {
				t.Errorf("%d connections, %d strangers, %d from edges; want %d, %d, %d", n, s, e, want, strangers, trusted)
			}
		}
		for i := range 10 {
			come(fmt.Sprintf("10.0.0.1:%d", 1000+i))
		}
		all(8, 8, 0)
		viewer := come("10.0.0.2:1")
		guests[viewer].welcome()
		var edges []*caller
		for i := range 4 {
			edges = append(edges, come(fmt.Sprintf("10.0.0.9:%d", 1+i)))
		}
		all(12, 7, 4)
		for i := range 8 {
			edges = append(edges, come(fmt.Sprintf("10.0.0.9:%d", 100+i)))
		}
		all(12, 0, 11)
		if viewer.closed || !edges[0].closed {
			t.Errorf("viewer closed: %v; the oldest of the edge's closed: %v", viewer.closed, edges[0].closed)
		}
		for _, c := range edges {
			guests[c].welcome()
		}
		all(12, 0, 0)
		if c := come("10.0.0.9:9"); !c.closed || guests[c] != nil {
			t.Error("a connection beyond all is taken")
		}
		time.Sleep(cfg.AuthTimeout + time.Millisecond)
		all(12, 0, 0) // nobody who has signed in is closed for the time it took
		_ = guests[viewer].Close()
		for range 2 {
			come("10.0.0.3:1")
		}
		all(12, 1, 0)
		time.Sleep(cfg.AuthTimeout + time.Millisecond)
		all(11, 0, 0) // nobody stays a stranger
	})
}
