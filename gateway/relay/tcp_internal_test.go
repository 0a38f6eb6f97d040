package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// pipedTCP returns an ICE-TCP connection and its viewer's end, which takes a write only when somebody reads.
func pipedTCP(t *testing.T) (c *tcpConn, viewer net.Conn) {
	t.Helper()
	l := newTCPListener(nil, 8, sessionsOf())
	ours, theirs := net.Pipe()
	c = &tcpConn{Conn: ours, listener: l, addr: netip.AddrPort{}, more: make(chan struct{}, 1)}
	l.running.Go(c.drain)
	t.Cleanup(func() {
		_ = c.Close()
		l.running.Wait()
	})
	return c, theirs
}

// fill sends n packets of a kilobyte and waits until the connection's goroutine has got as far as it can.
func (c *tcpConn) fill(n int) {
	for range n {
		c.send(make([]byte, 1000), time.Now())
	}
	synctest.Wait()
}

func TestWhatATCPViewerIsGiven(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(c *tcpConn, viewer net.Conn)
		unit   int
		want   bool
	}{
		"nothing waits":           {func(*tcpConn, net.Conn) {}, 5 << 20, true},
		"something waits":         {func(c *tcpConn, _ net.Conn) { c.fill(10) }, 100_000, true},
		"it waits long":           {func(c *tcpConn, _ net.Conn) { c.fill(10); time.Sleep(tcpLate) }, 1, false},
		"much waits":              {func(c *tcpConn, _ net.Conn) { c.fill(2000) }, 200_000, false},
		"it would wait too long":  {func(c *tcpConn, v net.Conn) { c.fill(120); crawl(v, 20) }, 10_000, false},
		"it would not":            {func(c *tcpConn, v net.Conn) { c.fill(120); crawl(v, 90) }, 10_000, true},
		"all was taken meanwhile": {func(c *tcpConn, v net.Conn) { c.fill(30); crawl(v, 30) }, 5 << 20, true},
		"closed":                  {func(c *tcpConn, _ net.Conn) { _ = c.Close() }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, viewer := pipedTCP(t)
				c.before(conn, viewer)
				if got := conn.takes(c.unit, time.Now()); got != c.want {
					t.Errorf("a unit of %d bytes beside %d is taken: %v", c.unit, conn.bytes, got)
				}
			})
		})
	}
}

// crawl reads n kilobytes, 200 of them in a second.
func crawl(viewer net.Conn, n int) {
	for range n {
		_, _ = io.CopyN(io.Discard, viewer, 1000+tcpFrame)
		time.Sleep(5 * time.Millisecond)
	}
	synctest.Wait()
}

func TestAStuckTCPViewer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, viewer := pipedTCP(t)
		time.Sleep(time.Hour)
		c.fill(2)
		if d := c.stuck(time.Now()); d != 0 {
			t.Errorf("stuck for %v at once", d)
		}
		time.Sleep(3 * time.Second)
		if d := c.stuck(time.Now()); d != 3*time.Second {
			t.Errorf("stuck for %v, want 3 s", d)
		}
		refused := 0
		for range 4096 { // what pion writes has bounds too
			if _, err := c.Write(make([]byte, 1000)); errors.Is(err, errTCPFull) {
				refused++
			}
		}
		if c.bytes > tcpQueue || refused == 0 {
			t.Errorf("%d bytes wait, %d writes refused", c.bytes, refused)
		}
		_, _ = io.CopyN(io.Discard, viewer, 64<<10)
		synctest.Wait()
		if d := c.stuck(time.Now()); d != 0 {
			t.Errorf("stuck for %v, but something was taken", d)
		}
	})
}

// The kernel's end of a connection breaks in the middle of a frame: nothing may follow.
func TestNoFrameFollowsACutOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, viewer := pipedTCP(t)
		c.fill(40)
		var head [tcpFrame]byte
		_, _ = io.ReadFull(viewer, head[:])
		if n := binary.BigEndian.Uint16(head[:]); n != 1000 {
			t.Fatalf("a frame of %d bytes", n)
		}
		_ = c.SetWriteDeadline(time.Now()) // pion does so to candidates it gives up
		_ = c.SetDeadline(time.Now())
		if _, err := io.CopyN(io.Discard, viewer, 40*(1000+tcpFrame)-tcpFrame); err != nil {
			t.Errorf("a deadline of pion's cut the stream: %v", err)
		}
		_ = viewer.Close()
		c.fill(1)
		if c.takes(1, time.Now()) {
			t.Error("a broken connection takes more")
		}
	})
}
