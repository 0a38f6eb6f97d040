// Package order is the receiving end of measurements and tests: it puts RTP packets of H.264 in order, says what to ask
// for again, and tells of every whole picture what the simulated camera wrote into it.
package order

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"

	"skein/bench/sim"
	"skein/edge/media"
)

const (
	// AskAgain is the time between two requests for the same packet, as browsers have it.
	AskAgain = 20 * time.Millisecond
	giveUp   = time.Second // a packet that did not come by then never will
)

// piece is what the viewer keeps of a packet.
type piece struct {
	stamp  uint32
	mark   sim.Mark
	marked bool
	key    bool
	last   bool // of its picture
}

// Picture is a whole access unit.
type Picture struct {
	Mark   sim.Mark
	Marked bool // there is a mark
	Key    bool
}

// Order puts packets in order and pictures together. It is owned by one goroutine.
type Order struct {
	Take func(p Picture, whole time.Time) // is given every whole picture
	Ask  func(seqs []uint16)              // is told what to ask for (again)

	started bool
	next    uint16
	held    map[uint16]piece // beyond a hole
	newest  uint16
	asked   map[uint16]time.Time // missing packets: when they were asked for last
	since   time.Time            // of the hole at next
	stamp   uint32
	current Picture
	broken  bool
}

// Waiting tells whether something is missing.
func (o *Order) Waiting() bool { return len(o.held) > 0 }

// Push takes a packet and returns how many before it are newly found missing.
func (o *Order) Push(p *rtp.Packet, now time.Time) (lost int) {
	seq := p.SequenceNumber
	if !o.started {
		o.started, o.next = true, seq
		o.held, o.asked = map[uint16]piece{}, map[uint16]time.Time{}
	}
	ahead := int16(seq - o.next)
	switch {
	case ahead < 0:
		return 0
	case ahead > 0:
		if len(o.held) == 0 {
			o.since, o.newest = now, o.next-1
		}
		for s := o.newest + 1; s != seq && int16(seq-s) > 0; s++ {
			o.asked[s] = time.Time{}
			lost++
		}
		if int16(seq-o.newest) > 0 {
			o.newest = seq
		}
		o.held[seq] = look(p)
		delete(o.asked, seq)
		o.Missing(now)
		return lost
	}
	o.accept(look(p), now)
	delete(o.asked, seq)
	o.next++
	o.drain(now)
	return 0
}

func (o *Order) drain(now time.Time) {
	for len(o.held) > 0 {
		p, ok := o.held[o.next]
		if !ok {
			return
		}
		delete(o.held, o.next)
		o.next++
		o.since = now
		o.accept(p, now)
	}
}

// Missing asks for what is missing and not asked for lately. Where nothing helped for a second it goes on behind all
// that came meanwhile.
func (o *Order) Missing(now time.Time) {
	if len(o.held) > 0 && now.Sub(o.since) > giveUp {
		o.stamp, o.current = o.held[o.newest].stamp, Picture{} // what follows of this picture is not whole
		clear(o.held)
		clear(o.asked)
		o.next, o.broken = o.newest+1, true
	}
	var seqs []uint16
	for s := o.next; len(o.held) > 0 && int16(o.newest-s) > 0; s++ {
		if at, ok := o.asked[s]; ok && now.Sub(at) >= AskAgain {
			seqs = append(seqs, s)
			o.asked[s] = now
		}
	}
	if len(seqs) > 0 {
		o.Ask(seqs)
	}
}

// accept takes the next packet in order.
func (o *Order) accept(p piece, now time.Time) {
	if p.stamp != o.stamp {
		o.stamp, o.current, o.broken = p.stamp, Picture{}, false
	}
	if p.marked {
		o.current.Mark, o.current.Marked = p.mark, true
	}
	o.current.Key = o.current.Key || p.key
	if p.last {
		if !o.broken {
			o.Take(o.current, now)
		}
		o.current, o.broken = Picture{}, false
	}
}

// look reads what matters of an H.264 packet (RFC 6184): the camera's mark, and whether it is of a key frame.
func look(p *rtp.Packet) piece {
	out := piece{stamp: p.Timestamp, last: p.Marker}
	see := func(nal []byte) {
		switch nal[0] & 0x1f {
		case 5:
			out.key = true
		case 6:
			if m, ok := sim.ParseSEI(nal, media.H264); ok {
				out.mark, out.marked = m, true
			}
		}
	}
	switch b := p.Payload; b[0] & 0x1f {
	case 24: // STAP-A
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if n == 0 || len(b) < 2+n {
				break
			}
			see(b[2 : 2+n])
			b = b[2+n:]
		}
	case 28: // FU-A
		out.key = len(b) > 1 && b[1]&0x1f == 5
	default:
		see(b)
	}
	return out
}
