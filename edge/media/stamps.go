package media

import "time"

// standstill is a sender whose timestamps do not move: every unit says the same. Time then goes on with their arrival.
type standstill struct {
	begun bool
	stamp uint32 // as the sender said it last
	count int    // units that said the same, one after the other
	since time.Duration
	found bool
	added uint32 // ticks to what the sender says

	last time.Duration // arrival of the unit before
	gone time.Duration // by which time has moved since the timestamps stood still
	pace time.Duration // from one unit to the next, on average
}

// Units of the same timestamp, over so long, are a standstill: two fields of a picture may share one.
const (
	stillUnits = 4
	stillAfter = 150 * time.Millisecond
)

// move returns the timestamp of a unit that says stamp and arrived at mono.
func (s *standstill) move(stamp uint32, mono time.Duration, t *Timeline) uint32 {
	if !s.begun || stamp != s.stamp {
		*s = standstill{begun: true, stamp: stamp, since: mono, last: mono, added: s.added}
		return stamp + s.added
	}
	s.count++
	since := mono - s.last
	s.last = mono
	if s.pace == 0 {
		s.pace = since
	}
	s.pace += (since - s.pace) / 16
	if !s.found {
		if s.count < stillUnits || mono-s.since < stillAfter {
			return stamp + s.added
		}
		s.found = true
	}
	// Units that come in a burst keep half of their distance, and time waits for them then.
	step := max(mono-s.since-s.gone, s.pace/2)
	s.gone += step
	s.added += uint32(max(t.ticks(step), 1))
	return stamp + s.added
}

// badStamps is the share of timestamps that repeat or go back from which on the sender is said to be at fault.
const badStamps = 0.05

// BadStamps reports whether the sender's timestamps stand still, or often repeat or go back: times are those of arrival
// then, all or in part.
func (t *Timeline) BadStamps() bool { return t.still.found || t.bad > badStamps }

// recentTimes are the presentation times of the newest units of a track whose pictures are reordered.
type recentTimes struct {
	ring [reorderDepth]int64
	n    int
}

func (r *recentTimes) note(pts int64) {
	r.ring[r.n%reorderDepth] = pts
	r.n++
}

// apart returns pts, or the next time after it that is least ticks from each of the newest.
func (r *recentTimes) apart(pts, least int64) int64 {
	for i := 0; i < min(r.n, reorderDepth); i++ {
		if d := pts - r.ring[i]; d < least && -d < least {
			pts, i = r.ring[i]+least, -1
		}
	}
	return pts
}
