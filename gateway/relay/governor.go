package relay

import "time"

// When a path is called overloaded, and when it has room.
const (
	queueHigh  = 100 * time.Millisecond // standing queue
	queueLow   = 30 * time.Millisecond
	queueMost  = 700 * time.Millisecond // beyond it pictures are dropped rather than delayed
	lossHigh   = 0.10
	lossLow    = 0.02
	badSeconds = 2               // in a row
	settle     = 3 * time.Second // for a decision to show its effect
	holdFirst  = 15              // good seconds before more is tried
	holdMost   = 300
	regret     = 20 * time.Second // overload that soon after more was tried comes of that
)

// verdict is what a governor says of a path.
type verdict int

const (
	fine       verdict = iota
	overloaded         // send less
	roomy              // try more
)

// governor decides from one reading a second whether a viewer's path bears what is sent. After each attempt to send
// more that failed it waits twice as long before the next. It is owned by the session's goroutine.
type governor struct {
	bad, good int       // readings in a row
	quiet     time.Time // no decision before
	raised    time.Time // newest attempt to send more
	hold      int       // good readings before the next
}

// judge takes the newest reading.
func (g *governor) judge(r reading, now time.Time) verdict {
	if g.hold == 0 {
		g.hold = holdFirst
	}
	switch {
	case r.queue >= queueHigh || r.loss >= lossHigh:
		g.bad, g.good = g.bad+1, 0
	case r.queue <= queueLow && r.loss <= lossLow:
		g.bad, g.good = 0, g.good+1
	default:
		g.bad = 0
	}
	switch {
	case now.Before(g.quiet):
		return fine
	case g.bad >= badSeconds, r.queue >= queueMost:
		g.worse(now)
		return overloaded
	case g.good >= g.hold:
		g.good = 0
		return roomy
	}
	return fine
}

func (g *governor) worse(now time.Time) {
	switch since := now.Sub(g.raised); {
	case g.raised.IsZero():
	case since < regret:
		g.hold = min(2*g.hold, holdMost)
	default:
		g.hold = holdFirst
	}
	g.bad, g.good, g.raised, g.quiet = 0, 0, time.Time{}, now.Add(settle)
}
