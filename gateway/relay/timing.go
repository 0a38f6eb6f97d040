package relay

import "time"

// segment is a stretch of a slot's packets that comes from one line without a hole: the viewer's sequence number is the
// shared index plus shift, and its timestamp follows from the line's by a rule that never changes, so that a packet
// sent again is the same to the last bit.
//
// Timestamps up to pivot are squeezed, so that a catch-up plays at once: pivot itself becomes land, and each unit
// before it lies each ticks before the next, or, where pictures are reordered, the stretch is compressed by num/den.
// Those after pivot run at the line's pace.
type segment struct {
	line *line
	from uint64 // first shared index
	// The shared indices [gap, over) are left out: pictures that cannot be decoded.
	gap, over uint64
	out       uint64 // extended sequence number of from
	pivot     int64
	unit      uint64 // at pivot
	land      int64
	each      int64 // 0: pictures are reordered
	num       int64
	den       int64
	delay     uint32    // playout delay asked for, see playoutValue
	left      time.Time // when the slot went on to something else; zero while it has not
}

// leave notes that nothing more comes of the segment.
func (g *segment) leave() {
	if g.left.IsZero() {
		g.left = time.Now()
	}
}

// index returns the shared index behind an extended sequence number of this segment.
func (g *segment) index(out uint64) uint64 {
	i := out - g.out + g.from
	if i >= g.gap {
		i += g.over - g.gap
	}
	return i
}

// number returns the extended sequence number of a shared index.
func (g *segment) number(index uint64) uint64 {
	if index >= g.over {
		index -= g.over - g.gap
	}
	return index - g.from + g.out
}

// leaveOut makes n shared indices from index on take no sequence numbers. It reports whether it could: there is one
// such stretch at most. Nothing from index on has been numbered.
func (g *segment) leaveOut(index, n uint64) bool {
	switch g.over {
	case 0:
		g.gap, g.over = index, index+n
	case index:
		g.over += n
	default:
		return false
	}
	return true
}

// stamp returns the viewer's RTP timestamp, extended to 64 bits, for one of the line, of a unit by its number.
func (g *segment) stamp(ts int64, unit uint64) int64 {
	switch {
	case ts >= g.pivot:
		return g.land + ts - g.pivot
	case g.each > 0 && unit <= g.unit:
		return g.land - int64(g.unit-unit)*g.each
	}
	return g.land - (g.pivot-ts)*g.num/g.den
}

// clock is a slot's own media clock: it runs with the time of arrival from the first packet on, whatever lines the slot
// shows, so that switching lines never jumps.
type clock struct {
	rate  int64
	base  int64 // random
	since time.Time
}

// at returns the clock's reading for something that arrived at t.
func (c *clock) at(t time.Time) int64 {
	if c.since.IsZero() {
		c.since = t
	}
	d := t.Sub(c.since)
	return c.base + int64(d/time.Second)*c.rate + int64(d%time.Second)*c.rate/int64(time.Second)
}

// squeeze sets the timestamp rule of a segment that begins with o's group of pictures. last is the highest timestamp
// sent so far (any is false if none); now is the slot's clock at o's newest unit.
//
// The units land two milliseconds apart, so that a player that counts in milliseconds tells them apart whatever it
// rounds, but one millisecond where they are so many that it would take over half a second. They end at the live edge
// and lie above last. Where the viewer is at the live edge already there is no room: they go into the first half of the
// interval before the next live unit.
func (g *segment) squeeze(o opening, now, last int64, anySent bool, rate int64) {
	steps := int64(max(o.units-1, 1))
	span := min(int64(o.units-1), steps) * min(rate/500, max(rate/1000, rate/2/steps))
	g.pivot, g.unit, g.land = o.newest.ts, o.unit, now
	low := now - span
	if anySent && low <= last {
		low = last + 1
		if low+span > now {
			g.land = max(now, low+min(span, o.step/2))
		}
	}
	g.num = max(g.land-low, 0)
	g.den = max(g.pivot-o.firstTS, 1)
	g.num = min(g.num, g.den)
	if !o.reorder {
		g.each = g.num / steps
	}
}
