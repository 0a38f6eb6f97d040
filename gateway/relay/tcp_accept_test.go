package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
)

// scarce is a listener that has no file descriptor left at first.
type scarce struct {
	net.Listener
	short int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.short > 0 {
		s.short--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

// sessionsOf is a mux that serves these sessions.
func sessionsOf(ufrags ...string) *tcpMux {
	m := &tcpMux{ufrags: map[string]int{}}
	for _, u := range ufrags {
		m.ufrags[u] = 0
	}
	return m
}

// hello is what a viewer says first over ICE-TCP, to the session of that user fragment.
func hello(t testing.TB, ufrag string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":theirs"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(m.Raw))), m.Raw...)
}

// dialTCP connects and says something.
func dialTCP(t testing.TB, l net.Listener, say []byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write(say); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

// closedBy tells whether the other side hangs up.
func closedBy(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// accepting runs a listener and returns what it hands on.
func accepting(t *testing.T, most int, m *tcpMux) (*tcpListener, chan net.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newTCPListener(raw, most, m)
	l.running.Go(l.welcome)
	accepted := make(chan net.Conn, 100)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for range accepted { // until the listener has ended
		}
		l.running.Wait()
	})
	return l, accepted
}

// pion stops listening for good at the first error; a shortage of descriptors passes.
func TestICETCPOutlivesAShortageOfDescriptors(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newTCPListener(&scarce{raw, 2}, 8, sessionsOf("ours"))
	l.running.Go(l.welcome)
	dialTCP(t, raw, hello(t, "ours"))
	if _, err := l.Accept(); err != nil {
		t.Errorf("accept after a shortage: %v", err)
	}
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
	l.running.Wait()
}

// Only who names a session gets to pion, with all it said, and a session has so many connections.
func TestICETCPConnectionsBelongToASession(t *testing.T) {
	t.Parallel()
	l, accepted := accepting(t, 100, sessionsOf("ours"))
	for name, say := range map[string][]byte{
		"unknown session": hello(t, "theirs"),
		"not STUN":        []byte("\x00\x14GET / HTTP/1.1\r\n\r\n.."),
		"too long":        {0xff, 0xff},
		"an answer":       append([]byte{0, 20, 1, 1}, hello(t, "x")[4:22]...),
	} {
		if !closedBy(dialTCP(t, l, say)) {
			t.Errorf("%s: stays connected", name)
		}
	}
	say := hello(t, "ours")
	var taken []net.Conn
	for range tcpOfOne {
		dialTCP(t, l, say)
		c := <-accepted
		taken = append(taken, c)
		if got := make([]byte, len(say)); true {
			if _, err := io.ReadFull(c, got); err != nil || !slices.Equal(got, say) {
				t.Errorf("pion reads %x, %v; want %x", got, err, say)
			}
		}
	}
	if !closedBy(dialTCP(t, l, say)) {
		t.Error("one connection more than a session may have")
	}
	_ = taken[0].Close()
	_ = taken[0].Close()
	dialTCP(t, l, say)
	<-accepted
	if !closedBy(dialTCP(t, l, say)) {
		t.Error("a connection closed twice gives two places back")
	}
}

// The gateway's other ports need descriptors too.
func TestICETCPConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	l, accepted := accepting(t, 2, sessionsOf("ours"))
	dialTCP(t, l, hello(t, "ours"))
	dialTCP(t, l, hello(t, "ours"))
	first := <-accepted
	<-accepted
	if !closedBy(dialTCP(t, l, hello(t, "ours"))) {
		t.Error("the third of two connections is open")
	}
	_ = first.Close()
	dialTCP(t, l, hello(t, "ours"))
	<-accepted
}

// TestIdleICETCPConnectionsKeepNobodyOut: 2,112 of them closed the port to all, and 600 that named any session pinned
// 326 MB.
func TestIdleICETCPConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := newTCPTransport(raw, 64, logging.NewDefaultLoggerFactory().NewLogger("test"))
	defer tr.close()
	if _, err := tr.mux.GetConnByUfrag("ours", false, net.IPv4(127, 0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var unknown []net.Conn
	for range 600 {
		unknown = append(unknown, dialTCP(t, raw, hello(t, "nobody's")))
	}
	for _, c := range unknown {
		if !closedBy(c) {
			t.Fatal("a connection to no session stays")
		}
	}
	if now := heap(); now > before+50<<20 { // other tests run beside
		t.Errorf("the heap has grown from %d to %d MB", before>>20, now>>20)
	}
	for range 3 * tcpWaiting {
		dialTCP(t, raw, []byte{0})
	}
	right := dialTCP(t, raw, hello(t, "ours"))
	eventuallyIn(t, "the viewer is let in", func() bool {
		return tr.find(right.LocalAddr().(*net.TCPAddr).AddrPort()) != nil
	})
	if n := tr.lobby.Guests(); n > tcpWaiting {
		t.Errorf("%d wait, want %d at most", n, tcpWaiting)
	}
}

func eventuallyIn(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// FuzzUfrag: what strangers send does no harm.
func FuzzUfrag(f *testing.F) {
	f.Add(hello(f, "ours")[2:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := ufragOf(b); err == nil && len(u) > len(b) {
			t.Errorf("user fragment %q of %d bytes", u, len(b))
		}
	})
}
