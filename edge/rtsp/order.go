package rtsp

import (
	"bytes"
	"slices"
	"time"
)

// Limits of what waits for a packet that was overtaken or lost on the way.
const (
	reorderFor  = 100 * time.Millisecond
	reorderMost = 512
)

// heldPacket is a packet that waits; its payload is its own.
type heldPacket struct {
	packet
	arrival time.Time
}

func hold(p *packet, arrival time.Time) heldPacket {
	h := heldPacket{*p, arrival}
	h.payload = bytes.Clone(p.payload)
	return h
}

// reorder puts the packets of one source that overtook each other on the way (UDP) into order again. One that is lost
// holds those behind it up for reorderFor, measured by what arrives.
type reorder struct {
	started bool
	next    uint16
	held    []heldPacket // by sequence number
}

// push takes a packet and gives out, in order, what need not wait any more. A packet that is too late or comes twice is
// given out too: the sequence tells.
func (r *reorder) push(p *packet, arrival time.Time, out func(*packet, time.Time)) {
	ahead := int(int16(p.seq - r.next))
	switch {
	case r.started && ahead > 0 && ahead <= maxLoss:
		r.insert(p, arrival)
	case r.started && ahead < 0 && ahead > -maxLate:
		out(p, arrival)
	default: // expected, the first one, or of a sender that started anew
		if ahead != 0 {
			r.flush(out)
		}
		r.started, r.next = true, p.seq+1
		out(p, arrival)
	}
	for len(r.held) > 0 {
		h := &r.held[0]
		if h.seq != r.next && arrival.Sub(h.arrival) < reorderFor && len(r.held) < reorderMost {
			return
		}
		r.release(out)
	}
}

func (r *reorder) insert(p *packet, arrival time.Time) {
	i, twice := slices.BinarySearchFunc(r.held, p.seq, func(h heldPacket, seq uint16) int {
		return int(int16(h.seq - seq))
	})
	if !twice {
		r.held = slices.Insert(r.held, i, hold(p, arrival))
	}
}

// release gives out the first packet held.
func (r *reorder) release(out func(*packet, time.Time)) {
	h := r.held[0]
	r.held = slices.Delete(r.held, 0, 1)
	r.next = h.seq + 1
	out(&h.packet, h.arrival)
}

// flush gives out all that waits.
func (r *reorder) flush(out func(*packet, time.Time)) {
	for len(r.held) > 0 {
		r.release(out)
	}
}

// Limits of what is kept of a source that may be the successor of ours.
const (
	heirMost  = 4096
	heirBytes = 4 << 20
)

// heir keeps the packets of another source while ours may yet go on, so that a picture is not lost when it does not.
type heir struct {
	held  []heldPacket
	bytes int
}

// take keeps a packet; it returns how many were dropped.
func (h *heir) take(p *packet, arrival time.Time) (dropped int) {
	if len(h.held) > 0 && (h.held[0].ssrc != p.ssrc || len(h.held) >= heirMost || h.bytes >= heirBytes) {
		dropped = h.drop()
	}
	h.held = append(h.held, hold(p, arrival))
	h.bytes += len(p.payload)
	return dropped
}

// drop forgets what is kept, since ours goes on; it returns how many packets that were.
func (h *heir) drop() int {
	n := len(h.held)
	h.held, h.bytes = nil, 0
	return n
}

// of hands over what is kept of a source.
func (h *heir) of(ssrc uint32) []heldPacket {
	held := h.held
	h.drop()
	if len(held) > 0 && held[0].ssrc != ssrc {
		return nil
	}
	return held
}
