package relay

import (
	"bytes"
	"encoding/binary"
	"time"
)

const (
	// reorderWait is how long packets wait for one before them: about a round trip over a mobile network and a half, in
	// which a lost one is asked for and sent again.
	reorderWait = 250 * time.Millisecond
	reorderMost = 512
	// reorderJump is how far sequence numbers may jump before the sender is taken to have begun anew.
	reorderJump = 3000
)

// reorder puts the packets of one RTP stream in order and waits a moment for missing ones. The zero value is ready.
type reorder struct {
	started bool
	next    uint16
	held    map[uint16]heldPacket
}

type heldPacket struct {
	b  []byte
	at time.Time
}

// push takes a packet and emits what is in order now. What emit is given is valid during the call only.
func (q *reorder) push(b []byte, now time.Time, emit func([]byte)) {
	if len(b) < 12 {
		return
	}
	seq := binary.BigEndian.Uint16(b[2:])
	ahead := int(int16(seq - q.next))
	switch {
	case !q.started, ahead > reorderJump, ahead < -reorderJump:
		q.started, q.next, ahead = true, seq, 0
		clear(q.held)
	case ahead < 0:
		return // came twice, or too late
	}
	if ahead > 0 {
		if q.held == nil {
			q.held = map[uint16]heldPacket{}
		}
		q.held[seq] = heldPacket{bytes.Clone(b), now}
		q.giveUp(now, emit)
		return
	}
	emit(b)
	q.next++
	q.drain(emit)
}

// drain emits the held packets that follow without a hole.
func (q *reorder) drain(emit func([]byte)) {
	for {
		p, ok := q.held[q.next]
		if !ok {
			return
		}
		delete(q.held, q.next)
		emit(p.b)
		q.next++
	}
}

// giveUp passes over missing packets that were waited for long enough.
func (q *reorder) giveUp(now time.Time, emit func([]byte)) {
	for len(q.held) > 0 {
		first := -1
		for seq := range q.held {
			if d := int(seq - q.next); first < 0 || d < first {
				first = d
			}
		}
		p := q.held[q.next+uint16(first)]
		if len(q.held) <= reorderMost && now.Sub(p.at) < reorderWait {
			return
		}
		q.next += uint16(first)
		q.drain(emit)
	}
}
