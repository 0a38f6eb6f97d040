package main

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"skein/bench/sim"
	"skein/edge/media"
)

const (
	askAgain = 20 * time.Millisecond // between two requests for the same packet, as browsers do
	giveUp   = time.Second           // a packet that did not come by then never will
)

// piece is what the viewer keeps of a packet.
type piece struct {
	stamp  uint32
	mark   sim.Mark
	marked bool
	key    bool
	last   bool // of its picture
}

// picture is a whole access unit.
type picture struct {
	mark   sim.Mark
	marked bool
	key    bool
}

// order puts packets in order and pictures together. It is owned by one goroutine; the zero value needs take and ask.
type order struct {
	take func(picture, time.Time)
	ask  func(seqs []uint16)

	started bool
	next    uint16
	held    map[uint16]piece // beyond a hole
	newest  uint16
	asked   map[uint16]time.Time // missing packets: when they were asked for last
	since   time.Time            // of the hole at next
	stamp   uint32
	current picture
	broken  bool
}

func (o *order) waiting() bool { return len(o.held) > 0 }

// push takes a packet and returns how many before it are newly found missing.
func (o *order) push(p *rtp.Packet, now time.Time) (lost int) {
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
		o.missing(now)
		return lost
	}
	o.accept(look(p), now)
	delete(o.asked, seq)
	o.next++
	o.drain(now)
	return 0
}

func (o *order) drain(now time.Time) {
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

// missing asks for what is missing and not asked for lately, and gives up on what is too old.
func (o *order) missing(now time.Time) {
	if now.Sub(o.since) > giveUp {
		for ; len(o.held) > 0; o.next++ {
			if _, ok := o.held[o.next]; ok {
				break
			}
			delete(o.asked, o.next)
		}
		o.broken = true
		o.drain(now)
	}
	var seqs []uint16
	for s := o.next; len(o.held) > 0 && int16(o.newest-s) > 0; s++ {
		if at, ok := o.asked[s]; ok && now.Sub(at) >= askAgain {
			seqs = append(seqs, s)
			o.asked[s] = now
		}
	}
	if len(seqs) > 0 {
		o.ask(seqs)
	}
}

// accept takes the next packet in order.
func (o *order) accept(p piece, now time.Time) {
	if p.stamp != o.stamp {
		o.stamp, o.current, o.broken = p.stamp, picture{}, false
	}
	if p.marked {
		o.current.mark, o.current.marked = p.mark, true
	}
	o.current.key = o.current.key || p.key
	if p.last {
		if !o.broken {
			o.take(o.current, now)
		}
		o.current, o.broken = picture{}, false
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

// nack asks for packets (RFC 4585 section 6.2.1).
func (v *viewer) nack(ssrc uint32, seqs []uint16) {
	_ = v.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
	}}) // fails on closed connections, whose tracks end anyway
}
