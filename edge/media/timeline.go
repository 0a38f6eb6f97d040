package media

import (
	"math"
	"sync/atomic"
	"time"
)

// Limits of the time model (design: time, rules 1 and 4).
const (
	// MaxSlew is the largest rate at which the wall mapping of an epoch is corrected, as a fraction of elapsed time.
	MaxSlew = 500e-6
	// settle is the first stretch of an epoch, in which a burst of old frames may pull the mapping back quickly.
	settle     = 10 * time.Second
	settleSlew = 0.5
	// A unit that arrives earlier than its label by more than tooEarly proves the mapping wrong: nothing is seen before
	// it happens. The mapping then goes back as fast as earlySlew, so that a sender whose clock runs fast never gets so
	// far ahead that a new epoch must label pictures with times that were given out before.
	tooEarly  = 50 * time.Millisecond
	earlySlew = 0.05
	// stepLimit is how far media time and the edge's monotonic clock may part at once before a new epoch opens.
	stepLimit = time.Second
	// Units that come late although their timestamps go on evenly are late on the way, not stamped wrong, unless that
	// exceeds lateLimit or lasts for lateHold.
	lateLimit = 4 * time.Second
	lateHold  = 30 * time.Second
	// clockStep is how far the edge's wall clock may part from its monotonic clock before a new epoch opens.
	clockStep = 250 * time.Millisecond
	// trend is how long an epoch must last before its drift is taken as the camera's true rate.
	trend = 4 * time.Second
	// delayWindow is how long the least delay is remembered.
	delayWindow = 5 * time.Second
	// A rate is learnt in mid-epoch from least delays that go one way evenly. Units that come earlier than any before
	// tell of a fast clock, within half a minute, or at once if they are much earlier; units that come later and later do
	// so too while a network fills up, so that takes twice as long, and what is more than slowMost is left to a step.
	// Less than MaxSlew is left to the mapping.
	fastPoints = 6
	fasterFrom = 0.02
	slowPoints = 12
	slowMost   = 0.02
	ratePoints = 3
	rateLeast  = 20 * time.Millisecond
)

// Epochs numbers the epochs of one source; the tracks of a session share it, so that a step seen on one track opens a
// new epoch on all. It may be used from several goroutines.
type Epochs struct{ n atomic.Uint32 }

// NewEpochs returns a counter whose current epoch is first.
func NewEpochs(first uint32) *Epochs {
	e := &Epochs{}
	e.n.Store(first)
	return e
}

// Current returns the epoch in force.
func (e *Epochs) Current() uint32 { return e.n.Load() }

// Next opens a new epoch: call it at every (re)connection.
func (e *Epochs) Next() uint32 { return e.n.Add(1) }

// Timeline maps the RTP timestamps of one track to presentation times and to the edge's wall clock.
//
// Media time is continuous inside an epoch. The wall mapping follows the least-delayed unit and is corrected by at most
// MaxSlew; a step of either clock opens a new epoch and never drops a unit. A camera whose timestamps run at a wrong
// rate (says 25 frames a second, delivers 21) gets its rate measured and corrected as soon as it is plain.
// It is used by one goroutine.
type Timeline struct {
	// Reorder tells that units may arrive in another order than they are shown (B-frames): timestamps then may
	// legitimately go back a little.
	Reorder bool
	// Fields tells that units may be fields of an interlaced picture: two may share a timestamp.
	Fields bool
	// TrustSender takes wall time from the sender's RTCP reports as soon as there is one: for streams that come from
	// one of our own edges, whose clock is the archive's.
	TrustSender bool

	rate   float64
	epochs *Epochs
	clock  func(time.Time) (mono time.Duration, wall time.Time)

	started bool
	epoch   uint32
	scale   float64 // true ticks per stamped tick
	learnt  origin  // where scale holds from

	lastRTP uint32
	nextRTP uint32 // timestamp of the unit being mapped
	spacing int64  // ticks between the last two units
	stalled bool   // the epoch saw a stall: its drift says nothing about the rate
	raw     int64  // extended RTP timestamp relative to the epoch's first
	rawMax  int64
	lastPTS int64
	maxPTS  int64
	pace    int64 // ticks from one unit to the next, on average
	recent  recentTimes
	still   standstill

	bad     float64 // share of units whose timestamp repeated or went back, lately
	ptsBase int64

	mono0, lastMono time.Duration
	wall0           time.Time
	corr            time.Duration // current correction of the mapping
	corrAt          time.Duration // media time of the last correction
	bends           [reorderDepth]bend
	bent            int // corrections so far
	window          [2]leastDelay
	lateSince       time.Duration // monotonic time since which the least delay exceeds stepLimit, 0: it does not
	trail           []leastDelay  // least delay every delayWindow of the epoch, thinned out
	trailEvery      time.Duration
	earliest        time.Duration // the least of the trail, before its last point

	sr       senderReport
	offset   time.Duration
	offsetOK bool
}

// reorderDepth is how many corrections back a picture may have been captured that is decoded now: H.264 and H.265 hold
// back 16 pictures at most.
const reorderDepth = 16

// bend is a correction of the mapping: at media time at it became corr.
type bend struct{ at, corr time.Duration }

// origin is a moment of an epoch in stamped and in true ticks.
type origin struct {
	raw  int64
	true float64
}

type leastDelay struct {
	from time.Duration
	min  time.Duration
}

type senderReport struct {
	ok  bool
	ntp time.Time
	rtp uint32
}

// NewTimeline returns the timeline of a track whose RTP clock runs at clockRate ticks a second.
func NewTimeline(clockRate int, epochs *Epochs) *Timeline {
	start := time.Now()
	return &Timeline{
		rate: float64(clockRate), epochs: epochs, scale: 1,
		clock: func(t time.Time) (time.Duration, time.Time) { return t.Sub(start), t.Round(0).UTC() },
	}
}

// Map returns the presentation time in ticks, the epoch, and the wall time (UTC, edge clock) of a unit with RTP
// timestamp rtp whose last packet arrived at arrival, a time with Go's monotonic reading.
func (t *Timeline) Map(rtp uint32, arrival time.Time) (pts int64, epoch uint32, wall time.Time) {
	mono, now := t.clock(arrival)
	rtp = t.still.move(rtp, mono, t)
	switch {
	case !t.started:
		t.open(rtp, mono, now)
	case t.epochs.Current() != t.epoch:
		t.open(rtp, mono, now)
	default:
		t.advance(rtp, mono, now)
	}
	pts = t.repair(mono)
	t.lastMono = mono
	return pts, t.epoch, t.wallOf(rtp, mono)
}

// open starts an epoch with the unit at hand as its origin.
func (t *Timeline) open(rtp uint32, mono time.Duration, now time.Time) {
	first := !t.started
	if !first {
		t.ptsBase = t.maxPTS + 1
	}
	t.started = true
	t.epoch = t.epochs.Current()
	t.lastRTP, t.raw, t.rawMax = rtp, 0, 0
	t.lastPTS, t.maxPTS = t.ptsBase-1, t.ptsBase-1
	t.mono0, t.wall0 = mono, now
	t.corr, t.corrAt, t.stalled = 0, 0, false
	t.bends[0], t.bent = bend{}, 1
	t.window = [2]leastDelay{{0, 0}, {0, math.MaxInt64}}
	t.lateSince, t.trail, t.trailEvery, t.learnt, t.earliest = 0, t.trail[:0], delayWindow, origin{}, math.MaxInt64
	if first && t.sr.ok {
		t.measure()
	}
}

// Resume prepares for a unit with RTP timestamp rtp that follows the one before although its sender began to count
// anew (RFC 3550 section 5.1: another SSRC, another random offset). Only the time between the arrivals tells how much
// media time passed; where that is little more than what passed between the units before, it is taken to be that.
func (t *Timeline) Resume(rtp uint32, arrival time.Time) {
	if !t.started {
		return
	}
	mono, _ := t.clock(arrival)
	rtp += t.still.added
	t.sr.ok = false // it spoke of the old timestamps
	elapsed := t.ticks(mono - t.lastMono)
	if off := int64(int32(rtp-t.lastRTP)) - elapsed; off < t.ticks(stepLimit) && off > -t.ticks(stepLimit) {
		return // the sender goes on as if nothing had changed
	}
	if t.spacing > 0 && !t.Reorder && 2*elapsed < 5*t.spacing {
		elapsed = t.spacing
	}
	t.lastRTP, t.raw = rtp-uint32(max(elapsed, 1)), t.rawMax
}

// ticks converts time to stamped ticks; media is the inverse.
func (t *Timeline) ticks(d time.Duration) int64 { return int64(d.Seconds() * t.rate / t.scale) }

func (t *Timeline) advance(rtp uint32, mono time.Duration, now time.Time) {
	t.nextRTP = rtp
	delta := int64(int32(rtp - t.lastRTP))
	raw := t.raw + delta
	elapsed := mono - t.mono0
	late := elapsed - t.at(raw) - t.corr
	jump := (mono - t.lastMono) - t.media(delta)
	stepped := late > stepLimit || late < -stepLimit
	clock := now.Sub(t.wall0) - elapsed
	if clock > clockStep || clock < -clockStep {
		stepped = true
	}
	// A stall of the sender or of the network makes one unit late; the ones behind it arrive in a burst and make up for
	// it. Only media time itself jumping, or lateness that stays, is a step.
	if stepped && (clock > clockStep || clock < -clockStep || t.isStep(late, jump, elapsed, raw)) {
		t.epochs.n.CompareAndSwap(t.epoch, t.epoch+1)
		t.open(rtp, mono, now)
		return
	}
	t.lastRTP, t.raw, t.rawMax, t.spacing = rtp, raw, max(t.rawMax, raw), delta
}

// isStep decides whether lateness beyond the limit is a step of the media clock; a slow drift also fixes the rate.
func (t *Timeline) isStep(late, jump, elapsed time.Duration, raw int64) bool {
	if late < -stepLimit && elapsed < settle && jump > -stepLimit {
		return false // old frames sent in a burst at the start: the settling slew handles it
	}
	if t.media(int64(int32(t.nextRTP-t.lastRTP))) < -stepLimit || jump < -stepLimit {
		return true // media time went back, or passed without time passing
	}
	if jump > stepLimit {
		// Time passed without media time passing: a stall if the next units make up for it, which the least delay tells.
		t.stalled = true
	}
	if late > 0 && t.least() < lateLimit && (t.lateSince == 0 || t.mono0+elapsed-t.lateSince < lateHold) {
		return false
	}
	if m := t.at(raw); m > trend && elapsed > trend && !t.stalled && t.drifts(elapsed, late+t.corr) {
		if ratio := float64(elapsed) / float64(m); ratio > 0.25 && ratio < 4 {
			t.scale *= ratio
		}
	}
	return true
}

// drifts reports whether lateness, before correction, has grown evenly over the epoch, as it does when the sender's
// clock runs at a wrong rate, rather than come at once.
func (t *Timeline) drifts(elapsed, late time.Duration) bool {
	for _, s := range t.trail {
		if s.from >= elapsed/2 {
			half := float64(s.min) / float64(late)
			return half > 0.25 && half < 0.75
		}
	}
	return false
}

// follow notes how the least delay goes.
func (t *Timeline) follow(mono time.Duration) {
	least := t.least()
	switch {
	case least <= stepLimit:
		t.lateSince = 0
	case t.lateSince == 0:
		t.lateSince = mono
	}
	at := mono - t.mono0
	if n := len(t.trail); n > 0 && at-t.trail[n-1].from < t.trailEvery {
		return
	}
	t.trail = append(t.trail, leastDelay{at, least + t.corr})
	if t.learn() {
		return
	}
	if at > settle {
		t.earliest = min(t.earliest, least+t.corr)
	}
	if len(t.trail) > 256 {
		for i := range 128 {
			t.trail[i] = t.trail[2*i]
		}
		t.trail, t.trailEvery = t.trail[:128], 2*t.trailEvery
	}
}

// learn takes the sender's rate from how the least delay went lately, if it went evenly; from here on media time then
// runs at that rate, in the same epoch.
func (t *Timeline) learn() bool {
	for _, n := range []int{ratePoints, fastPoints, slowPoints} {
		from := len(t.trail) - n
		if from < 0 || t.trail[from].from < settle {
			return false
		}
		slope, even := evenly(t.trail[from:])
		switch earliest := t.trail[len(t.trail)-1].min < t.earliest; {
		case !even:
			continue
		case slope < -fasterFrom && earliest, slope < 0 && earliest && n >= fastPoints:
		case slope > 0 && slope <= slowMost && n >= slowPoints:
		default:
			continue
		}
		t.learnt = origin{t.raw, t.trueTicks(t.raw)}
		t.scale /= 1 - slope
		t.trail, t.earliest = t.trail[:0], math.MaxInt64
		t.window[1] = leastDelay{0, math.MaxInt64} // it holds delays at the old rate
		return true
	}
	return false
}

// evenly returns how much delay grew a second from the first to the last point, and whether it did so all the time.
func evenly(points []leastDelay) (slope float64, even bool) {
	first, last := points[0], points[len(points)-1]
	grown, span := float64(last.min-first.min), float64(last.from-first.from)
	slope = grown / span
	if math.Abs(slope) <= MaxSlew || math.Abs(grown) < float64(rateLeast) {
		return slope, false
	}
	for _, p := range points[1 : len(points)-1] {
		if math.Abs(float64(p.min-first.min)/grown-float64(p.from-first.from)/span) > 0.2 {
			return slope, false
		}
	}
	return slope, true
}

// trueTicks converts ticks as stamped since the epoch's first unit.
func (t *Timeline) trueTicks(raw int64) float64 {
	return t.learnt.true + float64(raw-t.learnt.raw)*t.scale
}

// at returns the media time of a unit since the epoch's first.
func (t *Timeline) at(raw int64) time.Duration {
	return time.Duration(t.trueTicks(raw) / t.rate * float64(time.Second))
}

// media converts stamped ticks to time, at the measured rate.
func (t *Timeline) media(ticks int64) time.Duration {
	return time.Duration(float64(ticks) * t.scale / t.rate * float64(time.Second))
}

func (t *Timeline) least() time.Duration { return min(t.window[0].min, t.window[1].min) - t.corr }

// leastStep is the part of a second by which the times of two units differ at least: a player that counts in
// milliseconds still tells them apart, also while the mapping settles.
const leastStep = 500

// repair turns the raw timestamp into a presentation time that differs from those of other units. A unit whose
// timestamp repeats or goes back is placed behind the one before by the time of its arrival.
func (t *Timeline) repair(mono time.Duration) int64 {
	pts := t.ptsBase + int64(math.Round(t.trueTicks(t.raw)))
	least := int64(t.rate / leastStep)
	t.bad -= t.bad / 64
	switch {
	case t.maxPTS < t.ptsBase: // first of the epoch
	case t.Reorder:
		if free := t.recent.apart(pts, least); free != pts {
			pts = free
			t.bad += 1. / 64
		}
	default:
		step := pts - t.lastPTS
		if step < least {
			arrived := int64((mono - t.lastMono).Seconds() * t.rate)
			step = max(least, min(arrived, t.pace*3/4))
			pts = t.lastPTS + step
			if !t.Fields || t.spacing != 0 {
				t.bad += 1. / 64
			}
		}
		if t.pace == 0 {
			t.pace = step
		}
		t.pace += (step - t.pace) / 16
	}
	t.recent.note(pts)
	t.lastPTS = pts
	t.maxPTS = max(t.maxPTS, pts)
	return pts
}

func (t *Timeline) wallOf(rtp uint32, mono time.Duration) time.Time {
	if t.TrustSender && t.sr.ok {
		return t.sr.ntp.Add(t.media(int64(int32(rtp - t.sr.rtp))))
	}
	m := time.Duration(float64(t.lastPTS-t.ptsBase) / t.rate * float64(time.Second))
	t.correct(m, mono-t.mono0-m)
	t.follow(mono)
	return t.wall0.Add(m + t.corrFor(m))
}

// corrFor returns the correction at media time m. Of what is captured earlier than the newest correction it is that of
// then: pictures decoded later than shown keep their order.
func (t *Timeline) corrFor(m time.Duration) time.Duration {
	if m >= t.corrAt {
		return t.corr
	}
	later := bend{t.corrAt, t.corr}
	for i := t.bent - 1; i >= max(0, t.bent-reorderDepth); i-- {
		b := t.bends[i%reorderDepth]
		if m >= b.at && later.at > b.at {
			return b.corr + time.Duration(float64(later.corr-b.corr)*float64(m-b.at)/float64(later.at-b.at))
		}
		later = b
	}
	return later.corr
}

// correct moves the mapping towards the least delay of the last seconds, at a bounded rate.
func (t *Timeline) correct(m, delay time.Duration) {
	w := &t.window
	if m-w[0].from > delayWindow {
		w[1], w[0] = w[0], leastDelay{m, delay}
	}
	w[0].min = min(w[0].min, delay)
	dt := m - t.corrAt
	if dt <= 0 {
		return
	}
	t.corrAt = m
	slew := MaxSlew
	want := t.least()
	switch {
	case m < settle && want < 0:
		slew = settleSlew
	case want < -tooEarly:
		slew = earlySlew
	}
	limit := time.Duration(float64(dt) * slew)
	t.corr += min(max(want, -limit), limit)
	t.bends[t.bent%reorderDepth] = bend{m, t.corr}
	t.bent++
}

// SenderReport takes an RTCP sender report (RFC 3550 section 6.4.1): the sender's clock ntp at RTP timestamp rtp. One
// that comes before the first unit is kept for it.
func (t *Timeline) SenderReport(ntp time.Time, rtp uint32) {
	t.sr = senderReport{ok: true, ntp: ntp.UTC(), rtp: rtp + t.still.added}
	if t.started {
		t.measure()
	}
}

// measure compares the sender's clock of the last report with the edge's.
func (t *Timeline) measure() {
	if t.TrustSender {
		return
	}
	m := t.at(t.raw + int64(int32(t.sr.rtp-t.lastRTP)))
	t.offset = t.sr.ntp.Sub(t.wall0.Add(m + t.corr))
	t.offsetOK = true
}

// Offset returns the sender's clock minus the edge's as last measured; ok is false if it never was.
func (t *Timeline) Offset() (offset time.Duration, ok bool) { return t.offset, t.offsetOK }
