package relay

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// bandwidth is what a session's path does to packets, as the viewer's transport-wide feedback tells: how many get lost,
// how long they queue on the way, and how fast they come through.
//
// The queue is measured by its lowest point in each second against the lowest of the last minute: a burst fills it for
// a moment on any path, but a queue that never empties means that more is sent than the path bears. The rate is
// measured where packets that left together arrive spread out.
type bandwidth struct {
	flight   flight
	capacity atomic.Uint32 // kbit/s that trains of packets came through at, 0 while no limit shows

	mu      sync.Mutex // guards the fields below
	heard   bool
	zero    uint32              // delay of the first packet, the origin of all others; us, may wrap
	bases   [baseSlices]int64   // lowest delays of the last slices of time, us after zero
	slice   int                 // counts slices
	turned  time.Time           // when the current slice began
	low     int64               // lowest delay of this reading
	upTo    uint16              // newest packet reported on: reports may go back to older ones
	got     int                 // packets reported received since the last reading
	missing int                 // and missing
	bytes   int                 // received
	train   train               // packets that left together
	trains  [keptTrains]float64 // kbit/s of the newest trains, +Inf where the path was no limit
	ran     int                 // trains so far
	silent  int                 // readings since the newest
}

const (
	baseSlices = 6
	baseSlice  = 10 * time.Second
	keptTrains = 9
	trainsLast = 60 // readings without a new one: the path may have changed
)

// reading is what a path did since the last one.
type reading struct {
	heard    bool          // there was feedback
	queue    time.Duration // that did not drain
	loss     float64       // part of the packets, 0 to 1
	kbps     int           // that arrived
	capacity int           // kbit/s, see bandwidth; 0: no limit shows
}

// feedback takes a report of the viewer. It returns how long the packets it tells of queued at least; ok is false if it
// tells of none.
func (w *bandwidth) feedback(p *rtcp.TransportLayerCC, now time.Time) (queue time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	low := int64(math.MaxInt64)
	arrived := p.ReferenceTime * 64_000 // us; wraps of 24 bits of 64 ms are wraps of 32 bits of microseconds
	number, deltas := p.BaseSequenceNumber, p.RecvDeltas
	left, sent := min(int(p.PacketStatusCount), len(w.flight.sent)), uint16(w.flight.next.Load())
	each(p, func(symbol uint16) bool {
		n := number
		number++
		if left--; left < 0 || int16(n-sent) > 0 { // more than can be known, or never sent
			return false
		}
		fresh := !w.heard || int16(n-w.upTo) > 0
		switch symbol {
		case rtcp.TypeTCCPacketReceivedSmallDelta, rtcp.TypeTCCPacketReceivedLargeDelta:
			if len(deltas) == 0 {
				return false
			}
			arrived += uint32(deltas[0].Delta)
			deltas = deltas[1:]
			if delay, ok := w.received(n, arrived, now); ok {
				low = min(low, delay)
			}
			if fresh {
				w.got++
			}
		case rtcp.TypeTCCPacketNotReceived:
			if fresh {
				w.missing++
			}
		default:
		}
		if fresh {
			w.upTo = n
		}
		return true
	})
	if low == math.MaxInt64 {
		return 0, false
	}
	w.low = min(w.low, low)
	return time.Duration(low-slices.Min(w.bases[:])) * time.Microsecond, true
}

// each calls f with the status symbol of every packet of a report, until f returns false.
func each(p *rtcp.TransportLayerCC, f func(symbol uint16) bool) {
	for _, c := range p.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				if !f(c.PacketStatusSymbol) {
					return
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, s := range c.SymbolList {
				if !f(s) {
					return
				}
			}
		}
	}
}

// received takes one packet's arrival, on the viewer's clock, and returns its delay in microseconds, from an origin of
// its own; ok is false if it is not known when the packet left. The caller holds w.mu.
func (w *bandwidth) received(n uint16, arrived uint32, now time.Time) (delay int64, ok bool) {
	sent, size, ok := w.flight.take(n)
	if !ok {
		return 0, false
	}
	w.bytes += size
	if !w.heard {
		w.heard, w.zero, w.turned = true, arrived-sent, now
		for i := range w.bases {
			w.bases[i] = math.MaxInt64
		}
		w.low = math.MaxInt64
	}
	delay = int64(int32(arrived - sent - w.zero))
	if now.Sub(w.turned) >= baseSlice {
		w.turned = now
		w.slice = (w.slice + 1) % baseSlices
		w.bases[w.slice] = math.MaxInt64
	}
	w.bases[w.slice] = min(w.bases[w.slice], delay)
	if w.train.over(sent) {
		if kbps, ok := w.train.rate(float64(w.capacity.Load())); ok {
			w.keep(kbps)
		}
		w.train = train{}
	}
	w.train.add(sent, arrived, size)
	return delay, true
}

// keep takes one more measurement of the path's rate, +Inf if it showed no limit. The caller holds w.mu.
func (w *bandwidth) keep(kbps float64) {
	w.trains[w.ran%keptTrains] = kbps
	w.ran, w.silent = w.ran+1, 0
	if w.ran < keptTrains/2 {
		return
	}
	sorted := w.trains
	known := sorted[:min(w.ran, keptTrains)]
	slices.Sort(known)
	middle := known[len(known)/2]
	if math.IsInf(middle, 1) {
		middle = 0
	}
	w.capacity.Store(uint32(min(middle, math.MaxUint32)))
}

// read returns what happened since the last reading, over the time since then.
func (w *bandwidth) read(over time.Duration) reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent++; w.silent > trainsLast {
		w.ran = 0
		w.capacity.Store(0)
	}
	r := reading{heard: w.got+w.missing > 0}
	if !r.heard {
		r.capacity = int(w.capacity.Load())
		return r
	}
	r.loss = float64(w.missing) / float64(w.got+w.missing)
	r.kbps = int(float64(w.bytes) * 8 / 1000 / over.Seconds())
	if w.heard && w.low != math.MaxInt64 {
		r.queue = time.Duration(w.low-slices.Min(w.bases[:])) * time.Microsecond
	}
	if r.queue >= queueHigh && r.kbps > 0 { // the path is full: this is what it bears
		w.keep(float64(r.kbps))
	}
	r.capacity = int(w.capacity.Load())
	w.got, w.missing, w.bytes, w.low = 0, 0, 0, math.MaxInt64
	return r
}
