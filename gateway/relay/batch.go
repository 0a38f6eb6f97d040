package relay

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one batch. The kernel takes at most 64 segments and 65,507 bytes in one segmented send.
const (
	batchBytes  = 192 << 10
	batchRuns   = 256
	runSegments = 64
	runBytes    = 65000
)

// path is where a session's media goes: the remote address of the selected candidate pair. It is immutable.
type path struct {
	addr netip.AddrPort
	sock sockaddr
	// stream is set instead of sock for ICE-TCP.
	stream *tcpConn
}

// takes tells whether a unit of so many bytes may be sent now. Over UDP it always may: what the network cannot bear
// gets lost on it.
func (p *path) takes(bytes int) bool { return p.stream == nil || p.stream.takes(bytes, time.Now()) }

// lossy tells whether what is sent faster than the network takes it gets lost.
func (p *path) lossy() bool { return p.stream == nil }

// short tells whether catch-up may go on.
func (p *path) short() bool { return p.stream == nil || p.stream.short() }

// stuck returns for how long the viewer has read nothing though there is something to read; 0 where nobody can know.
func (p *path) stuck(now time.Time) time.Duration {
	if p == nil || p.stream == nil {
		return 0
	}
	return p.stream.stuck(now)
}

// outlet is the UDP socket as media leaves through it. Any goroutine may use it, each with a batch of its own.
type outlet struct {
	conn *net.UDPConn
	six  bool        // the socket is of the IPv6 family
	gso  atomic.Bool // the kernel segments
	pool sync.Pool

	errors atomic.Uint64 // sends the kernel refused
	full   atomic.Int64  // when waiting for room was last in vain, nanoseconds since began
	began  time.Time     // with Go's monotonic reading
}

func newOutlet(conn *net.UDPConn) *outlet {
	o := &outlet{conn: conn, began: time.Now()}
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	o.six = local != nil && local.IP.To4() == nil
	o.gso.Store(segmentation(conn))
	o.pool.New = func() any { return newBatch(o) }
	return o
}

// path returns the way to a UDP address.
func (o *outlet) path(addr netip.AddrPort) *path {
	return &path{addr: addr, sock: makeSockaddr(addr, o.six)}
}

func (o *outlet) get() *batch {
	b := o.pool.Get().(*batch) //nolint:forcetypeassert // only batches are put
	b.begin()
	return b
}

func (o *outlet) put(b *batch) { o.pool.Put(b) }

// batch collects packets and hands them to the kernel together: neighbouring packets of equal size to the same viewer
// become one segmented send, and all sends one system call. It is owned by one goroutine.
type batch struct {
	out  *outlet
	wire *wire
	buf  []byte
	used int
	runs []run
	now  uint32 // when its packets leave, in microseconds; wraps
}

// begin notes the time at which the next packets leave.
func (b *batch) begin() { b.now = uint32(time.Since(b.out.began).Microseconds()) }

// run is a row of packets to one path in buf[from:to], all of segment bytes but perhaps the last.
type run struct {
	path     *path
	from, to int
	segment  int
	count    int
	closed   bool // a shorter packet ended it
}

func newBatch(o *outlet) *batch {
	return &batch{out: o, wire: newWire(o), buf: make([]byte, batchBytes), runs: make([]run, 0, batchRuns)}
}

// room returns space for a packet of at most n bytes, sending what is collected if it is short.
func (b *batch) room(n int) []byte {
	if b.used+n > len(b.buf) || len(b.runs) == batchRuns {
		b.flush()
	}
	return b.buf[b.used : b.used+n]
}

// add takes the n bytes written to room as a packet to p.
func (b *batch) add(p *path, n int) {
	from := b.used
	b.used += n
	if i := len(b.runs) - 1; i >= 0 {
		r := &b.runs[i]
		if r.path == p && !r.closed && n <= r.segment && r.count < runSegments && b.used-r.from <= runBytes {
			r.to, r.count, r.closed = b.used, r.count+1, n < r.segment
			return
		}
	}
	b.runs = append(b.runs, run{path: p, from: from, to: b.used, segment: n, count: 1})
}

// flush sends everything collected.
func (b *batch) flush() {
	gso := b.out.gso.Load()
	for i := range b.runs {
		r := &b.runs[i]
		switch {
		case r.path.stream != nil:
			b.writeStream(r)
		case r.count == 1:
			b.wire.add(r.path, b.buf[r.from:r.to], 0)
		case gso:
			b.wire.add(r.path, b.buf[r.from:r.to], r.segment)
		default:
			for at := r.from; at < r.to; at += r.segment {
				b.wire.add(r.path, b.buf[at:min(at+r.segment, r.to)], 0)
			}
		}
	}
	b.wire.flush()
	clear(b.runs) // lets go of the paths
	b.runs, b.used = b.runs[:0], 0
}

// writeStream gives a run to an ICE-TCP connection, which frames and queues it.
func (b *batch) writeStream(r *run) {
	now := time.Now()
	for at := r.from; at < r.to; at += r.segment {
		r.path.stream.send(b.buf[at:min(at+r.segment, r.to)], now)
	}
}
