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

	"skein/internal/strangers"
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
	tcpPause    = 50 * time.Millisecond  // until connections are accepted again when that failed
)

// tcpTransport is ICE-TCP: pion's mux over connections of ours.
type tcpTransport struct {
	*tcpListener
	mux *tcpMux
}

func newTCPTransport(l net.Listener, most int, log logging.LeveledLogger) *tcpTransport {
	mux := &tcpMux{ufrags: map[string]int{}}
	t := newTCPListener(l, most, mux)
	t.running.Go(t.welcome)
	mux.TCPMuxDefault = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: t, Logger: log, ReadBufferSize: 64,
		FirstStunBindTimeout: tcpGreeting, AliveDurationForConnFromStun: tcpGreeting,
	})
	return &tcpTransport{t, mux}
}

// close returns when nothing of it runs any more.
func (t *tcpTransport) close() {
	_ = t.mux.Close()
	t.running.Wait()
}

// claims tells whose connections are welcome. It is the mux.
type claims interface {
	claim(ufrag string) bool
	unclaim(ufrag string)
}

// tcpListener accepts ICE-TCP connections and finds them by the viewer's address, so that media can be written to them
// past pion. It hands on only those whose first message names a session of ours; until then they wait in its lobby.
type tcpListener struct {
	net.Listener
	most    int // connections at the same time
	claims  claims
	lobby   *strangers.Lobby
	ready   chan *tcpConn
	ending  chan struct{} // closed with the listener
	running sync.WaitGroup
	chunks  sync.Pool

	mu      sync.Mutex // guards the fields below
	conns   map[netip.AddrPort]*tcpConn
	waiting map[net.Conn]struct{} // in the lobby
	closed  bool
}

func newTCPListener(l net.Listener, most int, c claims) *tcpListener {
	t := &tcpListener{
		Listener: l, most: most, claims: c, lobby: strangers.NewLobby(tcpWaiting, tcpSource),
		ready: make(chan *tcpConn), ending: make(chan struct{}),
		conns: map[netip.AddrPort]*tcpConn{}, waiting: map[net.Conn]struct{}{},
	}
	t.chunks.New = func() any { return &chunk{buf: make([]byte, 0, tcpChunk)} }
	return t
}

// welcome takes connections in until the listener is closed.
func (l *tcpListener) welcome() {
	for {
		raw, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as a shortage of file descriptors
			select {
			case <-l.ending:
			case <-time.After(tcpPause):
			}
			continue
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			_ = raw.Close()
			return
		}
		l.waiting[raw] = struct{}{}
		l.mu.Unlock()
		place, _ := l.lobby.Enter(strangers.RemoteOf(raw).Addr(), func() { _ = raw.Close() })
		l.running.Go(func() { l.greet(raw, place) })
	}
}

// greet hands a connection on that has told whose it is, and closes any other.
func (l *tcpListener) greet(raw net.Conn, place *strangers.Guest) {
	first, ufrag, err := greeting(raw)
	stays := place.Leave()
	l.mu.Lock()
	delete(l.waiting, raw)
	l.mu.Unlock()
	if err != nil || !stays || !l.claims.claim(ufrag) {
		_ = raw.Close()
		return
	}
	c := l.admit(raw, first, ufrag)
	if c == nil {
		l.claims.unclaim(ufrag)
		_ = raw.Close()
		return
	}
	select {
	case l.ready <- c:
	case <-l.ending:
		_ = c.Close()
	}
}

// Accept implements net.Listener. It returns an error only when the listener is closed: pion would never accept again.
func (l *tcpListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ending:
		return nil, net.ErrClosed
	}
}

// admit gives a connection its place; nil if there is none.
func (l *tcpListener) admit(raw net.Conn, first []byte, ufrag string) *tcpConn {
	c := &tcpConn{
		Conn: raw, listener: l, addr: strangers.RemoteOf(raw), ufrag: ufrag, first: first, more: make(chan struct{}, 1),
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		keepShort(tcp)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.conns) >= l.most {
		return nil
	}
	l.conns[c.addr] = c
	l.running.Go(c.drain)
	return c
}

// Close implements net.Listener. It closes the connections too: pion would wait for those that never said a word.
func (l *tcpListener) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.ending)
	}
	open := slices.Collect(maps.Keys(l.waiting))
	for _, c := range l.conns {
		open = append(open, c)
	}
	l.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	return l.Listener.Close()
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
	ufrag    string        // whose session it is
	first    []byte        // read before pion; owned by who reads
	once     sync.Once     // of Close
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

// Read implements net.Conn.
func (c *tcpConn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

// Close implements net.Conn. What is queued is dropped.
func (c *tcpConn) Close() error {
	c.once.Do(func() { c.listener.claims.unclaim(c.ufrag) })
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
