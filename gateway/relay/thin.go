package relay

import (
	"cmp"
	"slices"
	"time"
)

// thin makes tiles show key frames only, the smallest first and of equal ones the last of the wall, until what is sent
// fits what arrives: where no main stream is left to turn down, some tiles are slide shows so that the others move. The
// largest is never thinned. It returns how many were.
func (w *wall) thin(r reading) int {
	sent := 0.0
	var can []*tile
	area := map[*tile]int{}
	saves := map[*tile]float64{}
	for _, t := range w.tiles {
		t.mu.Lock()
		switch {
		case !t.active || t.feed == nil:
		case t.thin:
			sent += t.feed.video.costs().keys
		default:
			c := t.feed.video.costs()
			sent += c.all
			if t.feed.key.variant != theReplay {
				can = append(can, t)
				area[t], saves[t] = t.want.Width*t.want.Height, c.all-c.keys
			}
		}
		t.mu.Unlock()
	}
	slices.SortFunc(can, func(a, b *tile) int {
		return cmp.Or(cmp.Compare(area[a], area[b]), cmp.Compare(b.slot.index, a.slot.index))
	})
	thinned := 0
	for _, t := range can[:max(len(can)-1, 0)] {
		if thinned > 0 && sent <= fill*float64(r.kbps) {
			break
		}
		if t.setThin(true) {
			sent -= saves[t]
			thinned++
		}
	}
	w.session.relay.metrics.lowered.Add(float64(thinned))
	return thinned
}

// fatten lets half of the thinned tiles move again, the largest first. It reports whether there were any.
func (w *wall) fatten() bool {
	var thin []*tile
	area := map[*tile]int{}
	for _, t := range w.tiles {
		t.mu.Lock()
		if t.thin {
			thin = append(thin, t)
			area[t] = t.want.Width * t.want.Height
		}
		t.mu.Unlock()
	}
	slices.SortFunc(thin, func(a, b *tile) int {
		return cmp.Or(cmp.Compare(area[b], area[a]), cmp.Compare(a.slot.index, b.slot.index))
	})
	thin = thin[:(len(thin)+1)/2]
	for _, t := range thin {
		t.setThin(false)
	}
	w.session.relay.metrics.raised.Add(float64(len(thin)))
	return len(thin) > 0
}

// setThin makes the tile show key frames only, or all. It reports whether that is new to it.
func (t *tile) setThin(thin bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.thin == thin || thin && !t.active {
		return false
	}
	t.thin = thin
	t.slot.setThin(thin)
	return true
}

func (s *slot) setThin(thin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thin = thin
}

// relieve drops pictures of a path whose queue is d long up to the next key frames: of the smaller half of what moves,
// and of the rest only if that does not help in the time it takes to show, or if the queue is very long.
func (s *session) relieve(d time.Duration, now time.Time) {
	until := s.relief.Load()
	most := d >= 2*queueMost
	if !most && now.UnixNano() < until || !s.relief.CompareAndSwap(until, now.Add(d).UnixNano()) {
		return
	}
	var moving []*slot
	for _, sl := range s.slots {
		if sl.video && sl.moves() {
			moving = append(moving, sl)
		}
	}
	slices.SortFunc(moving, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(a.area.Load(), b.area.Load()), cmp.Compare(b.index, a.index))
	})
	if !most {
		moving = moving[:(len(moving)+1)/2]
	}
	for _, sl := range moving {
		sl.shed()
	}
}

func (s *slot) moves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseLive
}
