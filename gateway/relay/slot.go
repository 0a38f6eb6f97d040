package relay

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"skein/edge/media"
)

// phase is what a slot is doing.
type phase uint8

const (
	phaseIdle    phase = iota // shows nothing
	phasePending              // has a line, but the connection is not ready
	phaseWait                 // starts with the next key unit
	phaseCatchUp              // the session's pacer sends from the history
	phaseLive                 // the feed sends each unit as it comes
)

// keptSegments is how many stretches a slot remembers for retransmission.
const keptSegments = 8

// slot is one outgoing SSRC of a session: the picture of a WHEP session, one tile of a wall, or the sound.
type slot struct {
	// static once the session runs
	session *session
	index   int // in the wall
	video   bool
	ssrc    uint32
	payload [media.Opus + 1]uint8 // payload type by codec with payloadKnown set, 0 if not negotiated
	ext     extensions

	area atomic.Int64 // of its tile, in pixels

	mu       sync.Mutex // guards the fields below
	seal     sealer     // nil until the connection is ready
	phase    phase
	line     *line
	next     uint64 // shared index to send next, in phaseLive and phaseCatchUp
	segments [keptSegments]segment
	current  int // newest of segments
	clock    clock
	out      uint64    // extended sequence number to send next
	stamp    int64     // highest timestamp sent
	shedAt   time.Time // when pictures were dropped for the path's sake last
	given    uint64    // packets before it are given up: they are not sent again
	anySent  bool
	blocked  Code // why the line's codec cannot be sent, or ""
	shownAt  time.Time
	asked    time.Time // when the line was asked for
	refresh  time.Time // last answer to a key frame request
	budget   budget
	// wide holds the transport-wide numbers of the newest packets by sequence number, for a packet sent again is the same
	// to the last bit; nil if they are not negotiated.
	wide     []uint16
	stats    slotStats
	credited slotStats // what of stats the lines' usage has
	unit     uint64    // number of the line's unit sent last
	still    []packet  // in phaseCatchUp: what is to be sent of a key unit, before waiting for the next
	stillOf  time.Time // arrival of the key unit that is all the slot has shown of its line
	fresh    bool      // decoding begins with the key unit sent last
	begun    bool      // and a packet of it was sent
	fetching time.Time // since when the slot catches up
	thin     bool      // only key frames are sent
	haste    int       // what it needs for that at least, in bytes per second; 0 if it may wait for others
}

// slotStats count what a slot did. Guarded by slot.mu.
type slotStats struct {
	packets, bytes uint64
	units          uint64
	resent, nacked uint64
	refreshes      uint64
	catchUps       uint64
	first          time.Duration // from asking to the first picture sent
	firsts         uint64        // first pictures
	waited         time.Duration // for all of them
	drops          [dropReasons]uint64
	lost           uint8 // fraction of the last receiver report, in 1/256
	rtt            time.Duration
	report         sentReport
}

// show makes the slot send l from its current group of pictures on; asked is when the viewer asked.
func (s *slot) show(l *line, asked time.Time) {
	s.mu.Lock()
	s.credit()
	s.line, s.phase, s.blocked, s.asked, s.shownAt = l, phasePending, "", asked, time.Time{}
	s.still, s.stillOf = nil, time.Time{}
	if s.clock.rate != l.rate { // sound of another codec
		s.clock = clock{rate: l.rate, base: s.stamp + l.rate/10}
	}
	s.mu.Unlock()
	l.add(s)
	s.begin()
}

// hide stops the slot. What it sent can still be sent again.
func (s *slot) hide() {
	s.mu.Lock()
	l := s.line
	s.credit()
	s.line, s.phase, s.blocked, s.still = nil, phaseIdle, "", nil
	s.stats.lost = 0 // nobody reports on it any more
	s.segments[s.current].leave()
	s.mu.Unlock()
	if l != nil {
		l.remove(s)
	}
}

// credit adds what the slot counted since the last time to the line it shows. The caller holds s.mu.
func (s *slot) credit() {
	if s.line != nil {
		s.line.usage.add(&s.credited, &s.stats)
	}
	s.credited = s.stats
}

// ready gives the slot its keys once the connection stands.
func (s *slot) ready(k sealer) {
	s.mu.Lock()
	s.seal = k
	s.mu.Unlock()
	s.begin()
}

// begin moves a pending slot on: to catch-up if there is a group of pictures, to waiting otherwise.
func (s *slot) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phasePending || s.seal == nil {
		return
	}
	s.restart(s.line)
}

// restart begins a new segment on l, with the current group of pictures if there is one within bounds. The caller holds
// s.mu.
func (s *slot) restart(l *line) {
	s.phase, s.still = phaseWait, nil
	if !l.video {
		return // any audio packet is a beginning
	}
	o, ok := l.opening()
	large := ok && (o.bytes > s.session.relay.cfg.CatchUpBytes || s.session.catchUpTooSlow(o.bytes))
	if large || !ok {
		if large {
			s.stats.drops[dropCatchUpTooLarge]++
		}
		if l.wantKey != nil {
			l.wantKey()
		}
		s.showStill(l)
		return
	}
	s.open(l, o)
	s.stillOf = time.Time{}
	s.fresh, s.begun = true, false
	s.stats.catchUps++
	s.fetch()
}

// showStill begins with the newest key unit alone: better one picture with its age than none until the next. The caller
// holds s.mu.
func (s *slot) showStill(l *line) {
	k := l.newestStill()
	if len(k.pkts) == 0 || !s.shownAt.IsZero() || s.session.catchUpTooSlow(sizeOf(k.pkts)) {
		return
	}
	s.open(l, opening{first: k.first, firstTS: k.ts, units: 1, newest: k.moment, unit: k.pkts[0].unit, step: 1})
	s.still, s.stillOf = k.pkts, k.arrival
	s.fetch()
}

func sizeOf(pkts []packet) (n int) {
	for i := range pkts {
		n += pkts[i].size()
	}
	return n
}

// fetch makes the session's pacer send the slot's next packets. The caller holds s.mu.
func (s *slot) fetch() {
	s.phase, s.fetching, s.haste = phaseCatchUp, time.Now(), 0
	s.session.pace()
}

// open starts a segment at o's first packet. The caller holds s.mu.
func (s *slot) open(l *line, o opening) {
	s.segments[s.current].leave()
	s.current = (s.current + 1) % keptSegments
	g := &s.segments[s.current]
	*g = segment{line: l, from: o.first, out: s.out, delay: s.session.delay.Load()}
	g.squeeze(o, s.clock.at(o.newest.arrival), s.stamp, s.anySent, l.rate)
	s.next, s.unit = o.first, 0
	if s.video {
		s.session.restamped()
	}
}

// pictured tells when the newest picture was captured that the slot has a timestamp for; nil if there is none.
func (s *slot) pictured() *pictured {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.segments[s.current]
	if s.line == nil || g.line != s.line {
		return nil
	}
	m, ok := s.line.now()
	if !ok || m.wall.IsZero() {
		return nil
	}
	return &pictured{RTP: uint32(g.stamp(m.ts, g.unit)), Taken: m.wall.UTC()}
}

// deliver sends one unit of l that just came in, if the slot is at the live edge or waits for it. Called by the feed.
func (s *slot) deliver(b *batch, l *line, u *unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != l || s.seal == nil || len(u.pkts) == 0 {
		return
	}
	if !s.admit(u.pkts[0].codec) {
		return
	}
	switch {
	case s.phase != phaseWait && s.phase != phaseLive:
		return
	case s.phase == phaseWait && l.video && (!u.key || u.weak && s.shownAt.IsZero()):
		s.stats.drops[dropWaitKey]++
		return
	case s.phase == phaseWait && l.video && s.session.tooLate():
		s.stats.drops[dropLinkSlow]++
		return
	case s.phase == phaseLive && s.thin && !u.key:
		s.shedAt = time.Now()
		s.skip(dropLinkSlow)
		return
	case s.phase == phaseLive && s.next > u.first: // the pacer had it already
		return
	case s.phase == phaseLive && s.next < u.first:
		s.fetch()
		s.haste = u.haste()
		return
	case s.phase == phaseLive && s.leads(u.pkts[0].leading, u.first, uint64(len(u.pkts))):
		s.next = u.first + uint64(len(u.pkts))
		return
	}
	p := s.session.path.Load()
	if p == nil {
		s.skip(dropNoPath)
		return
	}
	if !p.takes(u.bytes) {
		s.shedAt = time.Now()
		s.skip(dropOverflow)
		return
	}
	if s.phase == phaseWait || s.ahead(u.moment) || s.segments[s.current].delay != s.session.delay.Load() {
		s.open(l, opening{first: u.first, firstTS: u.ts, units: 1, newest: u.moment, unit: u.pkts[0].unit, step: 1})
		if s.phase == phaseWait {
			s.fresh, s.begun, s.stillOf = true, false, time.Time{}
		}
		s.phase = phaseLive
	}
	if u.large() && p.lossy() {
		s.fetch()
		s.haste = u.haste()
		return
	}
	for i := range u.pkts {
		s.emit(b, p, &u.pkts[i], u.first+uint64(i))
	}
	s.next = u.first + uint64(len(u.pkts))
}

// ahead tells whether a live unit's timestamp runs ahead of its arrival. That happens when a source delivers a burst,
// such as an edge that starts with its group of pictures: played at the source's pace it would stay late for good. The
// caller holds s.mu.
func (s *slot) ahead(m moment) bool {
	g := &s.segments[s.current]
	return g.stamp(m.ts, g.unit)-s.clock.at(m.arrival) > s.clock.rate/maxAhead
}

// maxAhead is the part of a second that timestamps may run ahead.
const maxAhead = 4

// admit tells whether packets of codec c can be sent to this viewer, and notes why not. The caller holds s.mu.
func (s *slot) admit(c media.Codec) bool {
	if s.payload[c] != 0 {
		s.blocked = ""
		return true
	}
	s.blocked = CodeNotOffered
	if c != media.H264 && c != media.H265 && s.video {
		s.blocked = CodeUnsupported
	}
	s.stats.drops[dropCodec]++
	if s.phase != phasePending {
		s.phase = phaseWait
	}
	return false
}

// skip drops everything up to the next key unit. The caller holds s.mu.
func (s *slot) skip(why dropReason) {
	s.stats.drops[why]++
	s.phase = phaseWait
}

// emit writes one packet with its numbers in the current segment. The caller holds s.mu.
func (s *slot) emit(b *batch, p *path, pkt *packet, index uint64) {
	g := &s.segments[s.current]
	number, stamp := g.number(index), g.stamp(pkt.ts, pkt.unit)
	var wide uint16
	if s.wide != nil {
		wide = s.session.band.flight.add(b.now, s.room(pkt))
		s.wide[number%wideKept] = wide
	}
	n := s.write(b, p, pkt, number, g, wide)
	if pkt.key && s.begun && pkt.unit != s.unit {
		s.fresh = false
	}
	s.out, s.unit, s.begun = number+1, pkt.unit, true
	if !s.anySent || stamp > s.stamp {
		s.stamp = stamp
	}
	if !s.anySent || s.shownAt.IsZero() {
		s.first()
	}
	s.anySent = true
	s.stats.packets++
	if pkt.marker {
		s.stats.units++
	}
	s.stats.bytes += uint64(n)
}

// first notes that the first packet of what the slot was asked to show left. The caller holds s.mu.
func (s *slot) first() {
	s.shownAt = time.Now()
	if s.video && !s.asked.IsZero() {
		s.stats.first = s.shownAt.Sub(s.asked)
		s.stats.firsts, s.stats.waited = s.stats.firsts+1, s.stats.waited+s.stats.first
		s.session.relay.metrics.firstFrame.Observe(s.stats.first.Seconds())
	}
	s.session.report()
}

// room is the size of a packet on the wire, at most.
func (s *slot) room(pkt *packet) int { return rtpHeader + s.ext.n + pkt.size() + s.seal.overhead() }

// write puts one protected packet into b and returns its payload's size. The caller holds s.mu.
func (s *slot) write(b *batch, p *path, pkt *packet, number uint64, g *segment, wide uint16) int {
	buf := b.room(s.room(pkt))
	n := s.header(buf, pkt, number, g, wide)
	header := n
	n += copy(buf[n:], pkt.head[:pkt.headLen])
	n += copy(buf[n:], pkt.body)
	n = s.seal.seal(buf, header, n, number)
	b.add(p, n)
	return pkt.size()
}

const (
	rtpHeader = 12
	// wideKept is how many packets can be sent again while transport-wide numbers are in use; a power of two.
	wideKept = 4096
)

// header writes the RTP header (RFC 3550 section 5.1) with the extensions the viewer knows, and returns its length.
func (s *slot) header(buf []byte, pkt *packet, number uint64, g *segment, wide uint16) int {
	buf[0] = 0x80
	buf[1] = s.payload[pkt.codec] &^ payloadKnown
	if pkt.marker {
		buf[1] |= 0x80
	}
	binary.BigEndian.PutUint16(buf[2:], uint16(number))
	binary.BigEndian.PutUint32(buf[4:], uint32(g.stamp(pkt.ts, pkt.unit)))
	binary.BigEndian.PutUint32(buf[8:], s.ssrc)
	if s.ext.n == 0 {
		return rtpHeader
	}
	buf[0] |= 0x10
	return rtpHeader + s.ext.put(buf[rtpHeader:], g.delay, wide)
}

// payloadKnown marks a negotiated payload type, for type 0 (PCMU) is a valid one.
const payloadKnown = 0x80
