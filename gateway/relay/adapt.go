package relay

import (
	"cmp"
	"slices"
	"time"

	"skein/edge/media"
)

const (
	// fill is the part of what arrives on an overloaded path that is sent from then on.
	fill = 0.8
	// shedShown is how long a tile says that pictures were dropped.
	shedShown = 5 * time.Second
	// mostCatchUp is how long a group of pictures may take to a viewer whose path is known to be slow.
	mostCatchUp = time.Second
	// mayTake, mayHaste and mayRepeat are the parts of a path's capacity that catch-up, live pictures that are spread and
	// resends may use.
	mayTake   = 0.8
	mayHaste  = 0.9
	mayRepeat = 0.25
)

// Loss at which a viewer is asked to wait for packets that are sent again, and how long a path must be without before
// it is asked not to.
const (
	roughLoss     = 0.01
	smoothLoss    = 0.002
	roughSeconds  = 2
	smoothSeconds = 30
)

// roughDelay is the playout delay asked for on lossy paths.
func roughDelay() uint32 {
	return playoutValue([2]time.Duration{60 * time.Millisecond, 200 * time.Millisecond})
}

// playoutValue encodes minimum and maximum delay in 12 bits each, in units of 10 ms.
func playoutValue(d [2]time.Duration) uint32 {
	low, high := d[0]/(10*time.Millisecond), d[1]/(10*time.Millisecond)
	return uint32(low)<<12 | uint32(high)
}

// measure returns what the path did since the last call. Without transport-wide feedback the receiver reports tell of
// lost packets.
func (s *session) measure(over time.Duration) reading {
	var r reading
	if s.band != nil {
		r = s.band.read(over)
		if r.heard {
			s.relay.metrics.queue.Observe(r.queue.Seconds())
		}
		if r.capacity > 0 {
			s.relay.metrics.capacity.Observe(float64(r.capacity))
		}
	}
	if !r.heard {
		for _, sl := range s.slots {
			r.loss = max(r.loss, float64(sl.totals().lost)/256)
		}
	}
	s.newest.Store(&r)
	return r
}

// adapt makes what is sent fit the path.
func (s *session) adapt(r reading, now time.Time) {
	s.cushion(r)
	switch s.governor.judge(r, now) {
	case overloaded:
		lowered := 0
		if s.wall != nil {
			if lowered = s.wall.lower(r); lowered == 0 {
				lowered = s.wall.thin(r)
			}
		}
		s.log.Debug("path overloaded", "queue_ms", r.queue.Milliseconds(), "loss", r.loss, "arriving_kbps", r.kbps,
			"lowered", lowered)
	case roomy:
		if s.wall != nil && (s.wall.fatten() || s.wall.raise()) {
			s.governor.raised = now
		}
	case fine:
	}
}

// cushion chooses the playout delay, unless the configuration does.
func (s *session) cushion(r reading) {
	if s.relay.cfg.PlayoutDelay != [2]time.Duration{} {
		return
	}
	switch {
	case r.loss >= roughLoss:
		s.rough, s.smooth = s.rough+1, 0
	case r.loss <= smoothLoss:
		s.rough, s.smooth = 0, s.smooth+1
	default:
		s.rough, s.smooth = 0, 0
	}
	switch {
	case s.rough >= roughSeconds:
		s.delay.Store(roughDelay())
	case s.smooth >= smoothSeconds:
		s.delay.Store(0)
	}
}

// lag is how late packets come through because they queue on the path.
func (s *session) lag() time.Duration {
	if r := s.newest.Load(); r != nil {
		return r.queue
	}
	return 0
}

// lateness is how long packets queued, as a report told.
type lateness struct {
	queue time.Duration
	at    time.Time
}

// queued takes what a report tells. Pictures that would come too late are not sent: what is live goes on with its next
// key frame.
func (s *session) queued(d time.Duration, now time.Time) {
	s.late.Store(&lateness{d, now})
	if d < queueMost {
		return
	}
	s.relieve(d, now)
}

// tooLate tells whether the path's queue is so long that even a key frame is not worth its place. A queue that nothing
// is added to becomes shorter by itself.
func (s *session) tooLate() bool {
	l := s.late.Load()
	return l != nil && l.queue-time.Since(l.at) >= queueMost
}

// capacity is what the path is known to bear, in kbit/s; 0 if no limit shows.
func (s *session) capacity() uint32 {
	if s.band == nil {
		return 0
	}
	return s.band.capacity.Load()
}

// catchUpTooSlow tells whether so many bytes would take too long on a path that is known to be slow: the next key frame
// comes sooner.
func (s *session) catchUpTooSlow(bytes int) bool {
	kbps := s.capacity()
	return kbps != 0 && float64(bytes)*8/1000 > float64(kbps)*mostCatchUp.Seconds()
}

// bears is that part of what the path is known to bear, in bytes per second; most if no limit shows.
func (s *session) bears(part float64, most int) int {
	if kbps := s.capacity(); kbps != 0 {
		return min(most, int(float64(kbps)*part*1000/8))
	}
	return most
}

// resendRate is how many packets a second may be sent again. On a path that drops what it cannot bear, more of them
// would only push out what is new.
func (s *session) resendRate() float64 {
	if kbps := s.capacity(); kbps != 0 {
		perSecond := float64(kbps) * mayRepeat * 1000 / 8 / float64(s.relay.cfg.PayloadSize)
		return min(resendRate, perSecond)
	}
	return resendRate
}

// shed drops what a live slot would send up to the next key frame, so that the path can drain, and gives up what got
// lost so far.
func (s *slot) shed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.video && s.phase == phaseLive {
		s.giveUp()
	}
}

// giveUp skips to the next key frame because of the path. The caller holds s.mu.
func (s *slot) giveUp() {
	s.given, s.shedAt = s.out, time.Now()
	s.skip(dropLinkSlow)
}

// shedding tells whether pictures were dropped lately because the path is overloaded.
func (s *slot) shedding(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.shedAt.IsZero() && now.Sub(s.shedAt) < shedShown
}

// lower turns automatic tiles from main to sub, the smallest first, until what is sent fits what arrives. It returns
// how many there were.
func (w *wall) lower(r reading) int {
	sent := 0
	var can []*tile
	area := map[*tile]int{}
	for _, t := range w.tiles {
		t.mu.Lock()
		sent += t.told.Kbps
		if t.active && t.want.Profile == auto && !t.lowered && t.feed != nil && t.feed.key.variant == asItComes &&
			t.feed.key.profile == media.Main {
			can = append(can, t)
			area[t] = t.want.Width * t.want.Height
		}
		t.mu.Unlock()
	}
	slices.SortStableFunc(can, func(a, b *tile) int { return cmp.Compare(area[a], area[b]) })
	lowered := 0
	for _, t := range can {
		if lowered > 0 && float64(sent) <= fill*float64(r.kbps) {
			break
		}
		kbps, ok := t.lower()
		if !ok {
			continue
		}
		sent -= kbps
		lowered++
	}
	w.session.relay.metrics.lowered.Add(float64(lowered))
	return lowered
}

// lower turns the tile from main to sub, unless it was emptied meanwhile. It returns what the tile got so far.
func (t *tile) lower() (kbps int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return 0, false
	}
	t.lowered = true
	t.change()
	return t.told.Kbps, true
}

// raise turns the largest lowered tile back to main. It reports whether there was one.
func (w *wall) raise() bool {
	var best *tile
	most := 0
	for _, t := range w.tiles {
		t.mu.Lock()
		area := t.want.Width * t.want.Height
		if t.active && t.lowered && t.want.worthMain() && area > most {
			best, most = t, area
		}
		t.mu.Unlock()
	}
	if best == nil {
		return false
	}
	best.mu.Lock()
	defer best.mu.Unlock()
	best.lowered = false
	if best.active {
		best.change()
	}
	w.session.relay.metrics.raised.Inc()
	return true
}
