package relay

import (
	"time"

	"github.com/pion/rtcp"
)

// Bounds of what a viewer may make us send again.
const (
	resendBurst   = 384                    // packets at once
	resendRate    = 400                    // packets per second
	refreshEvery  = 500 * time.Millisecond // between answers to key frame requests
	resendNoMore  = 256                    // refused resends after which the slot skips to the next key frame
	resendScratch = 1
)

// budget is a token bucket of packets.
type budget struct {
	tokens  float64
	at      time.Time
	refused int // since the last packet granted
}

// take spends one packet; rate is how many come in per second.
func (g *budget) take(now time.Time, rate float64) bool {
	if g.at.IsZero() {
		g.tokens = resendBurst
	} else {
		g.tokens = min(g.tokens+now.Sub(g.at).Seconds()*rate, resendBurst)
	}
	g.at = now
	if g.tokens < 1 {
		g.refused++
		return false
	}
	g.tokens--
	g.refused = 0
	return true
}

// resend sends packets again that the viewer reports missing (RFC 4585 section 6.2.1), byte for byte, within its
// budget.
func (s *slot) resend(b *batch, nacks []rtcp.NackPair, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.session.path.Load()
	if s.seal == nil || p == nil || !s.anySent {
		return
	}
	if !p.takes(0) {
		s.stats.drops[dropOverflow]++
		return
	}
	for _, pair := range nacks {
		bits := pair.LostPackets
		s.resendOne(b, p, pair.PacketID, now)
		for i := uint16(1); bits != 0; i++ {
			if bits&1 != 0 {
				s.resendOne(b, p, pair.PacketID+i, now)
			}
			bits >>= 1
		}
	}
	if s.budget.refused > resendNoMore && s.phase == phaseLive {
		s.budget.refused, s.given = 0, s.out // who still asks for the same must not lose what comes next too
		s.skip(dropNackBudget)
	}
}

// forget lets go of the pictures of segments that were left long ago: a slot that tours would hold on to the newest
// groups of pictures of many cameras.
func (s *slot) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.segments {
		if g := &s.segments[i]; !g.left.IsZero() && now.Sub(g.left) > 2*resendWindow {
			g.line = nil
		}
	}
}

// resendOne resends one sequence number. The caller holds s.mu.
func (s *slot) resendOne(b *batch, p *path, seq uint16, now time.Time) {
	s.stats.nacked++
	number := s.out - 1 - uint64(uint16(s.out-1)-seq)
	if number >= s.out || number < s.given || s.wide != nil && s.out-number > wideKept { // before the first, or long ago
		s.stats.drops[dropNackTooOld]++
		return
	}
	for i := range keptSegments {
		g := &s.segments[(s.current+keptSegments-i)%keptSegments]
		if g.line == nil || number < g.out {
			continue
		}
		var pkt [resendScratch]packet
		n, _, ok := g.line.read(pkt[:], g.index(number))
		if !ok || n == 0 || s.payload[pkt[0].codec] == 0 {
			break
		}
		if !s.budget.take(now, s.session.resendRate()) {
			s.stats.drops[dropNackBudget]++
			return
		}
		var wide uint16
		if s.wide != nil {
			wide = s.wide[number%wideKept]
			s.session.band.flight.forget(wide)
		}
		s.write(b, p, &pkt[0], number, g, wide)
		s.stats.resent++
		return
	}
	s.stats.drops[dropNackTooOld]++
}

// keyframe answers a request for a key frame (PLI, FIR) from the history: the current group of pictures once more,
// under new numbers. It reports whether it did. Browsers also ask when a picture just stops coming: what is no longer
// live is not shown again, or a dead camera would look alive.
func (s *slot) keyframe(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == nil || s.seal == nil || s.phase != phaseLive || !s.video || now.Sub(s.refresh) < refreshEvery {
		return false
	}
	if m, ok := s.line.now(); ok && now.Sub(m.arrival) > liveAge {
		return false
	}
	s.refresh = now
	s.stats.refreshes++
	s.restart(s.line)
	return true
}
