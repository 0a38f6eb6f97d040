package relay

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skein/edge/media"
)

// Sizes of a line's packet history.
const (
	minRing = 256
	maxRing = 1 << 14
	// resendWindow is how long packets before the current group of pictures are kept for retransmission.
	resendWindow = time.Second
	// finishPart is the part of a second that the group of pictures before the current one is kept for slots in it.
	finishPart = 2
	// weakest is how large a group of pictures gets before one begins with a key unit that not every viewer can begin
	// with.
	weakest = 15 << 20
)

// line is one track of a feed as a row of numbered packets with its newest part kept, and the slots that receive it.
// Its clock is the RTP timestamp extended to 64 bits, continuous over reconnects of the source.
type line struct {
	video bool
	rate  int64 // ticks per second

	viewers atomic.Pointer[[]*slot] // copy on write, changes under join

	// wantKey asks the source for a key frame, if it is one that can be asked; nil: it is not. It never waits.
	wantKey func()

	usage usage

	join sync.Mutex // guards changes of viewers

	mu       sync.RWMutex // guards the fields below; the feed writes them once per unit
	ring     []packet     // power of two; index & (len-1)
	head     uint64       // index of the next packet
	tail     uint64       // oldest index kept
	key      uint64       // first packet of the newest key unit, if hasKey
	hasKey   bool
	weak     bool // not every viewer can begin with that unit
	keyTS    int64
	previous uint64 // first packet of the key unit before
	gopBytes int    // bytes since key
	keyBytes int    // bytes of key
	cost     cost
	units    uint64 // units so far
	reorder  bool   // pictures are shown in another order than sent
	gopUnits int    // units since key
	newest   moment
	interval int64 // ticks between the two newest units
	still    still
}

// cost is what a viewer is sent of a line, in kbit/s: of all units, and of key units alone. It is that of the newest
// whole group of pictures; zero before there is one.
type cost struct{ all, keys float64 }

// still is a key unit with its packets: all there is of a group of pictures too large to catch up with.
type still struct {
	moment

	pkts  []packet
	first uint64 // index of the first of pkts
}

// moment ties a line's clock to wall time and to the time of arrival.
type moment struct {
	ts      int64
	wall    time.Time
	arrival time.Time
}

// unit is an access unit as its line numbered it.
type unit struct {
	moment

	pkts  []packet
	first uint64 // index of the first of pkts
	bytes int    // of payload
	key   bool
	weak  bool // not every viewer can begin with it, and there is one that they can begin with
}

const (
	// largeUnit is what goes to a viewer in one burst at most: a key frame of 1080p, and half of what the kernel counts
	// against a socket's usual 212 kB is its own overhead.
	largeUnit = 192 << 10
	// largeParts is the part of a second that a larger unit may take where the path bears that.
	largeParts = 4
)

// haste is how fast a viewer is to get the unit where it is spread, in bytes per second.
func (u *unit) haste() int { return u.bytes * largeParts }

// large tells whether the unit is to be spread. One that the history does not hold cannot be.
func (u *unit) large() bool { return u.bytes > largeUnit && len(u.pkts) < maxRing/2 }

func newLine(codec media.Codec, rate int) *line {
	l := &line{video: codec.IsVideo(), rate: int64(rate), ring: make([]packet, minRing)}
	l.viewers.Store(&[]*slot{})
	return l
}

// append numbers the packets of one unit and keeps them; open tells that not every viewer can begin with the key unit:
// then the group of pictures before goes on, if they can begin with that. Called by the feed only.
func (l *line) append(pkts []packet, key, open bool, m moment) unit {
	l.mu.Lock()
	defer l.mu.Unlock()
	weak := open && key && l.hasKey && !l.weak && l.gopBytes < weakest
	u := unit{moment: m, pkts: pkts, first: l.head, key: key, weak: weak}
	l.units++
	if l.newest.ts != 0 || l.units > 1 {
		l.interval = m.ts - l.newest.ts
	}
	l.newest = m
	if key && !weak || !l.video {
		l.previous = u.first
		if l.hasKey {
			l.previous = l.key
		}
		if took := m.ts - l.keyTS; l.hasKey && took > 0 {
			perSecond := 8 * float64(l.rate) / float64(took) / 1000
			l.cost = cost{all: perSecond * float64(l.gopBytes), keys: perSecond * float64(l.keyBytes)}
		}
		l.key, l.hasKey, l.keyTS, l.gopBytes, l.gopUnits = u.first, true, m.ts, 0, 0
		l.weak = open
	}
	l.gopUnits++
	l.grow(len(pkts))
	mask := uint64(len(l.ring) - 1)
	for i := range pkts {
		p := &pkts[i]
		p.ts, p.unit = m.ts, l.units
		if l.head-l.tail == uint64(len(l.ring)) {
			l.tail++
		}
		l.ring[l.head&mask] = *p
		l.head++
		u.bytes += p.size()
	}
	l.gopBytes += u.bytes
	if l.gopUnits == 1 {
		l.keyBytes = u.bytes
	}
	if l.gopUnits == 1 && l.video {
		l.still = still{moment: m, pkts: slices.Clone(pkts), first: u.first}
	}
	if l.hasKey && l.tail > l.key {
		l.hasKey = false // the group of pictures is larger than the history
	}
	l.forget(mask)
	return u
}

// setReorder tells whether pictures are shown in another order than sent.
func (l *line) setReorder(reorder bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reorder = reorder
}

// costs returns what the line costs a viewer.
func (l *line) costs() cost {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cost
}

// grow doubles the ring while the current group of pictures would not fit beside n more packets.
func (l *line) grow(n int) {
	from := l.tail
	if l.hasKey {
		from = max(l.needed(), l.tail)
	}
	size := len(l.ring)
	for size < maxRing && l.head-from+uint64(n) > uint64(size) {
		size *= 2
	}
	if size == len(l.ring) {
		return
	}
	ring := make([]packet, size)
	for i := l.tail; i < l.head; i++ {
		ring[i&uint64(size-1)] = l.ring[i&uint64(len(l.ring)-1)]
	}
	l.ring = ring
}

// needed returns the oldest packet that catch-up needs: slots in the middle of a group of pictures get some time to
// finish the picture they are at after the next group has begun. The caller holds l.mu and has checked hasKey.
func (l *line) needed() uint64 {
	if l.newest.ts-l.keyTS < l.rate/finishPart {
		return l.previous
	}
	return l.key
}

// forget lets go of packets that neither catch-up nor retransmission needs, so that their units can be collected.
func (l *line) forget(mask uint64) {
	keep := l.newest.ts - l.rate*int64(resendWindow/time.Millisecond)/1000
	for l.tail < l.head && (!l.hasKey || l.tail < l.needed()) && l.ring[l.tail&mask].ts < keep {
		l.ring[l.tail&mask] = packet{}
		l.tail++
	}
}

// read copies packets from index from on into dst. ok is false if from is no longer kept.
func (l *line) read(dst []packet, from uint64) (n int, head uint64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if from < l.tail {
		return 0, l.head, false
	}
	mask := uint64(len(l.ring) - 1)
	for n < len(dst) && from < l.head {
		dst[n] = l.ring[from&mask]
		n++
		from++
	}
	return n, l.head, true
}

// opening is what a slot needs to know to start with the current group of pictures.
type opening struct {
	first   uint64 // index of its first packet
	firstTS int64
	head    uint64
	units   int
	bytes   int
	newest  moment
	unit    uint64 // number of the newest unit
	reorder bool   // pictures are shown in another order than sent
	step    int64  // ticks between units
}

// opening returns where the current group of pictures begins; ok is false if there is none.
func (l *line) opening() (o opening, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return opening{
		first: l.key, firstTS: l.keyTS, head: l.head, units: l.gopUnits, bytes: l.gopBytes, newest: l.newest,
		unit: l.units, reorder: l.reorder, step: max(l.interval, 1),
	}, l.hasKey
}

// newestStill returns the newest key unit; it has no packets before there was one.
func (l *line) newestStill() still {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.still
}

// now returns the newest moment; ok is false before the first unit.
func (l *line) now() (m moment, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.newest, l.units > 0
}

func (l *line) add(s *slot) {
	l.join.Lock()
	defer l.join.Unlock()
	old := *l.viewers.Load()
	list := make([]*slot, 0, len(old)+1)
	list = append(append(list, old...), s)
	l.viewers.Store(&list)
}

func (l *line) remove(s *slot) {
	l.join.Lock()
	defer l.join.Unlock()
	old := *l.viewers.Load()
	list := make([]*slot, 0, len(old))
	for _, o := range old {
		if o != s {
			list = append(list, o)
		}
	}
	l.viewers.Store(&list)
}
