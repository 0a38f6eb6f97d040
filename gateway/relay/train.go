package relay

import (
	"math"
	"time"
)

// What counts as a train of packets.
const (
	trainPause  = 3 * time.Millisecond   // between departures at most
	trainLong   = 100 * time.Millisecond // from its first departure to its last
	trainBytes  = 24_000                 // at least, or it says little
	trainFaster = 1.25                   // than what the path is known to bear: it may bear anything
	trainSlack  = 3 * time.Millisecond   // longer on arrival means nothing yet
)

// train is a row of packets that left close together. If they arrive spread out, the path's narrowest part did that, at
// its own rate. Times are in microseconds and may wrap.
type train struct {
	packets     int
	bytes       int // after the first packet
	firstSent   uint32
	lastSent    uint32
	firstArrive uint32
	lastArrive  uint32
}

// over tells whether a packet sent then belongs to another train.
func (t *train) over(sent uint32) bool {
	return t.packets > 0 && (int32(sent-t.lastSent) > int32(trainPause.Microseconds()) ||
		int32(sent-t.firstSent) > int32(trainLong.Microseconds()))
}

func (t *train) add(sent, arrived uint32, size int) {
	if t.packets++; t.packets == 1 {
		t.firstSent, t.lastSent, t.firstArrive, t.lastArrive = sent, sent, arrived, arrived
		return
	}
	t.bytes += size
	if int32(sent-t.lastSent) > 0 {
		t.lastSent = sent
	}
	if int32(arrived-t.lastArrive) > 0 {
		t.lastArrive = arrived
	}
}

// rate returns the rate in kbit/s at which the train arrived, +Inf if that was as fast as it left. If it left no faster
// than what the path is known to bear (0: anything), the path may bear a little more than that. ok is false if the
// train says nothing: it is too short, or left too slowly.
func (t *train) rate(known float64) (kbps float64, ok bool) {
	if t.bytes < trainBytes {
		return 0, false
	}
	bits := float64(t.bytes) * 8000
	left, came := float64(t.lastSent-t.firstSent), float64(t.lastArrive-t.firstArrive)
	if came <= left*5/4+float64(trainSlack.Microseconds()) {
		if bits > known*left*trainFaster {
			return math.Inf(1), true
		}
		return bits / left * trainFaster, bits > known*left*mayTake
	}
	return bits / came, true
}
