package relay

import (
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// Bounds of what waits for an ICE-TCP viewer. A TCP connection loses nothing by itself, so what it cannot bear in time
// must not be given to it.
const (
	tcpLate     = 500 * time.Millisecond // media is refused if it would wait longer here
	tcpQueue    = 2 << 20                // bytes; media is refused beyond, but for a unit that finds nothing waiting
	tcpAhead    = 64 << 10               // bytes of catch-up that may wait
	tcpPatience = 2 * time.Second        // how long catch-up may take
	tcpChunk    = 16 << 10               // bytes handed to the kernel at once
	tcpFrame    = 2                      // bytes of a frame's length, RFC 4571
	tcpMemory   = 4 * time.Second        // over which the link's rate is estimated
	tcpGreeting = 10 * time.Second       // until a connection has told whose it is
	tcpSpare    = 64                     // connections beyond two for each session: a restart of ICE makes another
	tcpPause    = 50 * time.Millisecond  // until connections are accepted again when that failed
)

// tcpTransport is ICE-TCP: pion's mux over connections of ours.
type tcpTransport struct {
	*tcpListener
	mux *ice.TCPMuxDefault
}

func newTCPTransport(l net.Listener, most int, log logging.LeveledLogger) *tcpTransport {
	t := newTCPListener(l, most)
	return &tcpTransport{t, ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: t, Logger: log, ReadBufferSize: 64,
		FirstStunBindTimeout: tcpGreeting, AliveDurationForConnFromStun: tcpGreeting,
	})}
}

// close returns when nothing of it runs any more.
func (t *tcpTransport) close() {
	_ = t.mux.Close()
	t.writers.Wait()
}

// tcpListener accepts ICE-TCP connections and finds them by the viewer's address, so that media can be written to them
// past pion.
type tcpListener struct {
	net.Listener
	most    int // connections at the same time
	writers sync.WaitGroup
	chunks  sync.Pool

	mu     sync.Mutex // guards the fields below
	conns  map[netip.AddrPort]*tcpConn
	closed bool
}

func newTCPListener(l net.Listener, most int) *tcpListener {
	t := &tcpListener{Listener: l, most: most, conns: map[netip.AddrPort]*tcpConn{}}
	t.chunks.New = func() any { return &chunk{buf: make([]byte, 0, tcpChunk)} }
	return t
}

// Accept implements net.Listener. It returns an error only when the listener is closed: pion would never accept again.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil: // such as a shortage of file descriptors
			time.Sleep(tcpPause)
			continue
		}
		if c, err := l.admit(raw); c != nil || err != nil {
			return c, err
		}
	}
}

// admit takes a connection in. Nobody has said who it is yet: of those beyond the limit it gets rid, and returns nil.
func (l *tcpListener) admit(raw net.Conn) (net.Conn, error) {
	c := &tcpConn{Conn: raw, listener: l, addr: remoteOf(raw), more: make(chan struct{}, 1)}
	if tcp, ok := raw.(*net.TCPConn); ok {
		keepShort(tcp)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	if len(l.conns) >= l.most {
		_ = raw.Close()
		return nil, nil //nolint:nilnil // neither a connection nor a reason to stop
	}
	l.conns[c.addr] = c
	l.writers.Go(c.drain)
	return c, nil
}

// Close implements net.Listener. It closes the connections too: pion would wait for those that never said a word.
func (l *tcpListener) Close() error {
	l.mu.Lock()
	l.closed = true
	conns := slices.Collect(maps.Values(l.conns))
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	return l.Listener.Close()
}

func remoteOf(c net.Conn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// find returns the connection from a viewer's address, or nil.
func (l *tcpListener) find(addr netip.AddrPort) *tcpConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[addr]
}

func (l *tcpListener) forget(c *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c.addr] == c {
		delete(l.conns, c.addr)
	}
}

func (l *tcpListener) get(now time.Time) *chunk {
	k := l.chunks.Get().(*chunk) //nolint:forcetypeassert // only chunks are put
	k.buf, k.at = k.buf[:0], now
	return k
}

// tcpConn is one ICE-TCP connection. Writing to it never waits: whole frames queue up, and a goroutine of the
// connection hands them to the kernel in order.
type tcpConn struct {
	net.Conn
	listener *tcpListener
	addr     netip.AddrPort
	more     chan struct{} // capacity 1: there is something to send, or closed

	mu     sync.Mutex // guards the fields below
	queue  []*chunk   // oldest first
	sent   bool       // the first is on its way
	bytes  int        // of queue
	moved  time.Time  // when the kernel took something last, or the queue began
	since  time.Time  // when the queue began
	taken  int        // bytes the kernel took since then
	closed bool
}

// chunk is a row of whole frames.
type chunk struct {
	at  time.Time // of its first frame
	buf []byte
}

// takes tells whether a unit of n bytes is welcome now. Whoever asks first may write it whole.
func (c *tcpConn) takes(n int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false
	case len(c.queue) == 0:
		return true
	default:
		return now.Sub(c.queue[0].at) < tcpLate && c.wait(n, now) < tcpLate && c.bytes+n <= tcpQueue
	}
}

// wait estimates how long it takes until n bytes more have left, by what the kernel took so far; 0 without any
// experience. The caller holds c.mu.
func (c *tcpConn) wait(n int, now time.Time) time.Duration {
	if c.taken == 0 {
		return 0
	}
	return time.Duration(float64(now.Sub(c.since)) * float64(c.bytes+n) / float64(c.taken))
}

// short tells whether hardly anything waits.
func (c *tcpConn) short() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes < tcpAhead
}

// stuck returns for how long the viewer has taken nothing of what waits for it.
func (c *tcpConn) stuck(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return 0
	}
	return now.Sub(c.moved)
}

// send queues one packet of a unit that takes has admitted.
func (c *tcpConn) send(packet []byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var length [tcpFrame]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(packet)))
	c.push(length[:], packet, now)
}

// Write implements net.Conn for pion, which writes a whole frame of ICE, DTLS or RTCP at once.
func (c *tcpConn) Write(frame []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.bytes+len(frame) > tcpQueue && len(c.queue) > 0:
		return 0, errTCPFull
	}
	c.push(nil, frame, time.Now())
	return len(frame), nil
}

var errTCPFull = errors.New("the viewer does not take what is sent to it")

// push queues a frame. The caller holds c.mu.
func (c *tcpConn) push(length, frame []byte, now time.Time) {
	if c.closed {
		return
	}
	n, last := len(length)+len(frame), len(c.queue)-1
	if last < 0 {
		c.since, c.moved, c.taken = now, now, 0
	}
	if last < 0 || last == 0 && c.sent || len(c.queue[last].buf)+n > tcpChunk {
		c.queue = append(c.queue, c.listener.get(now))
		last++
	}
	k := c.queue[last]
	k.buf = append(append(k.buf, length...), frame...)
	c.bytes += n
	poke(c.more)
}

// drain writes what is queued until the connection is closed.
func (c *tcpConn) drain() {
	for {
		k, open := c.oldest()
		if !open {
			return
		}
		if k == nil {
			<-c.more
			continue
		}
		if _, err := c.Conn.Write(k.buf); err != nil {
			_ = c.Close() // perhaps in the middle of a frame: nothing may follow
			return
		}
		c.done(k)
	}
}

// oldest returns what is to be sent next, nil if there is nothing, and whether the connection is open.
func (c *tcpConn) oldest() (k *chunk, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil, !c.closed
	}
	c.sent = true
	return c.queue[0], true
}

// done drops the oldest chunk, which the kernel has taken.
func (c *tcpConn) done(k *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.listener.chunks.Put(k)
	if c.closed {
		return
	}
	c.moved, c.sent = time.Now(), false
	c.bytes -= len(k.buf)
	c.taken += len(k.buf)
	if d := c.moved.Sub(c.since); d > tcpMemory { // what was long ago counts half
		c.since, c.taken = c.moved.Add(-d/2), c.taken/2
	}
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil // lets go of the array
	}
}

// Close implements net.Conn. What is queued is dropped.
func (c *tcpConn) Close() error {
	c.listener.forget(c)
	c.mu.Lock()
	c.closed, c.queue, c.bytes = true, nil, 0 // drain may still hold the first chunk
	c.mu.Unlock()
	poke(c.more)
	return c.Conn.Close()
}

// SetDeadline implements net.Conn. There are no deadlines for writing: one would cut a frame.
func (c *tcpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn and does nothing.
func (*tcpConn) SetWriteDeadline(time.Time) error { return nil }
