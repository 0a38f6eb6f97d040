package relay

import "sync/atomic"

// How many packets of a session are remembered until the viewer reports on them: about two seconds of every picture's,
// for a queue of that length is to be seen, and no more than half of all numbers. All are powers of two.
const (
	flightLeast = 4096
	flightSlot  = 1024
	flightMost  = 1 << 15
)

// flight remembers when the newest packets of a session left, by their transport-wide sequence number
// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2). Any goroutine may add; nothing waits.
type flight struct {
	next atomic.Uint32
	// sent holds time (32 bits, microseconds), size (16) and number (16) of a packet at number % len(sent); 0 for none.
	sent []atomic.Uint64
}

// newFlight returns the memory of a session with so many pictures.
func newFlight(pictures int) flight {
	n := flightLeast
	for n < flightMost && n < pictures*flightSlot {
		n *= 2
	}
	return flight{sent: make([]atomic.Uint64, n)}
}

func (f *flight) at(n uint16) *atomic.Uint64 { return &f.sent[int(n)&(len(f.sent)-1)] }

// add numbers a packet of size bytes that leaves at a time in microseconds, which may wrap.
func (f *flight) add(at uint32, size int) uint16 {
	n := uint16(f.next.Add(1))
	f.at(n).Store(uint64(at)<<32 | uint64(uint16(size))<<16 | uint64(n))
	return n
}

// forget makes a packet's arrival tell nothing: it is sent again, so it arrives late.
func (f *flight) forget(n uint16) { f.take(n) }

// take returns when a packet left and its size, once; ok is false for one that is not known (any more).
func (f *flight) take(n uint16) (at uint32, size int, ok bool) {
	e := f.at(n)
	v := e.Load()
	if v == 0 || uint16(v) != n || !e.CompareAndSwap(v, 0) {
		return 0, 0, false
	}
	return uint32(v >> 32), int(uint16(v >> 16)), true
}
