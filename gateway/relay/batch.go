package relay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
)

// Limits of one batch. The kernel takes at most 64 segments and 65,507 bytes in one segmented send.
const (
	batchBytes  = 192 << 10
	batchRuns   = 256
	runSegments = 64
	runBytes    = 65000
)

// path is where a session's media goes: the remote address of the selected candidate pair.
type path struct {
	udp  *net.UDPAddr
	addr netip.AddrPort
	// stream is set instead for ICE-TCP.
	stream net.PacketConn
	remote net.Addr
}

// outlet is the UDP socket as media leaves through it. Any goroutine may use it, each with a batch of its own.
type outlet struct {
	conn    *net.UDPConn
	packets *ipv4.PacketConn // sendmmsg; one by one where the system has none
	gso     atomic.Bool      // the kernel segments
	pool    sync.Pool

	errors atomic.Uint64 // sends the kernel refused
}

func newOutlet(conn *net.UDPConn) *outlet {
	o := &outlet{conn: conn, packets: ipv4.NewPacketConn(conn)}
	o.gso.Store(segmentation(conn))
	o.pool.New = func() any { return newBatch(o) }
	return o
}

func (o *outlet) get() *batch  { return o.pool.Get().(*batch) } //nolint:forcetypeassert // only batches are put
func (o *outlet) put(b *batch) { o.pool.Put(b) }

// batch collects packets and hands them to the kernel together: neighbouring packets of equal size to the same viewer
// become one segmented send, and all sends one system call. It is owned by one goroutine.
type batch struct {
	out  *outlet
	buf  []byte
	used int
	runs []run
	msgs []ipv4.Message
	oob  []byte // a segment-size control message for each of msgs
}

// run is a row of packets to one path in buf[from:to], all of segment bytes but perhaps the last.
type run struct {
	path     *path
	from, to int
	segment  int
	count    int
	closed   bool // a shorter packet ended it
	failed   *atomic.Uint64
}

func newBatch(o *outlet) *batch {
	b := &batch{
		out: o, buf: make([]byte, batchBytes), runs: make([]run, 0, batchRuns), msgs: make([]ipv4.Message, batchRuns),
		oob: make([]byte, batchRuns*segmentMessageLen),
	}
	for i := range b.msgs {
		b.msgs[i].Buffers = make([][]byte, 1)
	}
	return b
}

// room returns space for a packet of at most n bytes, sending what is collected if it is short.
func (b *batch) room(n int) []byte {
	if b.used+n > len(b.buf) || len(b.runs) == batchRuns {
		b.flush()
	}
	return b.buf[b.used : b.used+n]
}

// add takes the n bytes written to room as a packet to p. failed counts it if the path refuses it.
func (b *batch) add(p *path, n int, failed *atomic.Uint64) {
	from := b.used
	b.used += n
	if i := len(b.runs) - 1; i >= 0 {
		r := &b.runs[i]
		if r.path == p && !r.closed && n <= r.segment && r.count < runSegments && b.used-r.from <= runBytes {
			r.to, r.count, r.closed = b.used, r.count+1, n < r.segment
			return
		}
	}
	b.runs = append(b.runs, run{path: p, from: from, to: b.used, segment: n, count: 1, failed: failed})
}

// flush sends everything collected.
func (b *batch) flush() {
	if len(b.runs) == 0 {
		return
	}
	gso := b.out.gso.Load()
	n := 0
	for i := range b.runs {
		r := &b.runs[i]
		switch {
		case r.path.stream != nil:
			b.writeStream(r)
		case gso && r.count > 1:
			n = b.queue(n, r.path.udp, b.buf[r.from:r.to], r.segment)
		default:
			for at := r.from; at < r.to; at += r.segment {
				n = b.queue(n, r.path.udp, b.buf[at:min(at+r.segment, r.to)], 0)
			}
		}
	}
	b.send(n)
	b.runs, b.used = b.runs[:0], 0
}

// queue adds one message, to be cut into segments if segment is not 0, sending the n before it if there is no more
// room. It returns the number of messages queued.
func (b *batch) queue(n int, to *net.UDPAddr, data []byte, segment int) int {
	if n == len(b.msgs) {
		b.send(n)
		n = 0
	}
	m := &b.msgs[n]
	m.Buffers[0], m.Addr, m.OOB = data, to, nil
	if segment > 0 {
		m.OOB = b.oob[n*segmentMessageLen : (n+1)*segmentMessageLen]
		putSegmentMessage(m.OOB, uint16(segment))
	}
	return n + 1
}

// send hands msgs[:n] to the kernel. A message it refuses is counted and skipped; if it refuses segmentation that is
// switched off for good and the message is cut here.
func (b *batch) send(n int) {
	for at := 0; at < n; {
		sent, err := b.out.packets.WriteBatch(b.msgs[at:n], 0)
		if sent > 0 {
			at += sent
		}
		if err == nil && sent > 0 {
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if at < n {
			b.refused(&b.msgs[at], err)
			at++
		}
	}
}

func (b *batch) refused(m *ipv4.Message, err error) {
	if m.OOB == nil || !(errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOPROTOOPT)) {
		b.out.errors.Add(1)
		return
	}
	b.out.gso.Store(false)
	to, _ := m.Addr.(*net.UDPAddr)
	segment := int(binary.NativeEndian.Uint16(m.OOB[segmentMessageLen-8:]))
	for data := m.Buffers[0]; len(data) > 0; {
		part := data[:min(segment, len(data))]
		data = data[len(part):]
		if _, err := b.out.conn.WriteToUDP(part, to); err != nil {
			b.out.errors.Add(1)
		}
	}
}

// writeStream writes a run to ICE-TCP, which frames (RFC 4571) and buffers; a full buffer refuses the packet.
func (b *batch) writeStream(r *run) {
	for at := r.from; at < r.to; at += r.segment {
		if _, err := r.path.stream.WriteTo(b.buf[at:min(at+r.segment, r.to)], r.path.remote); err != nil {
			r.failed.Add(1)
		}
	}
}
