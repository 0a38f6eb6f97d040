package relay

import "time"

// catchUp sends at most limit packets from the history. It returns the bytes sent and whether there is more to do.
// scratch is space for packets.
func (s *slot) catchUp(b *batch, scratch []packet) (bytes int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseCatchUp || s.line == nil {
		return 0, false
	}
	p := s.session.path.Load()
	if p == nil {
		return 0, true
	}
	if len(s.still) > 0 {
		return s.sendStill(b, p, len(scratch))
	}
	n, head, ok := s.line.read(scratch, s.next)
	if !ok {
		s.stats.drops[dropFellBehind]++
		s.restart(s.line)
		return 0, s.phase == phaseCatchUp
	}
	for i := range scratch[:n] {
		if !s.admit(scratch[i].codec) {
			return bytes, false
		}
		if s.leads(scratch[i].leading, s.next, 1) {
			s.next++
			continue
		}
		if scratch[i].unit != s.unit { // before a unit, never within
			if !p.short() {
				return bytes, s.mayWait()
			}
			if s.haste > 0 && s.behind(scratch[i].ts) {
				return bytes, s.leap()
			}
		}
		s.emit(b, p, &scratch[i], s.next)
		s.next++
		bytes += scratch[i].size()
	}
	if s.next == head {
		s.phase = phaseLive
	}
	return bytes, s.phase == phaseCatchUp
}

// sendStill sends at most limit packets of a key unit that is shown alone; then the slot waits for the next. The caller
// holds s.mu.
func (s *slot) sendStill(b *batch, p *path, limit int) (bytes int, more bool) {
	if !s.admit(s.still[0].codec) {
		return 0, false
	}
	for range min(limit, len(s.still)) {
		g := &s.segments[s.current]
		s.emit(b, p, &s.still[0], g.index(s.out))
		bytes += s.still[0].size()
		s.still = s.still[1:]
	}
	if len(s.still) == 0 {
		s.phase = phaseWait
	}
	return bytes, s.phase == phaseCatchUp
}

// leads tells whether the n packets from the shared index on are to be left out, because they are of a picture that
// leads the group with which the slot began. The caller holds s.mu.
func (s *slot) leads(leading bool, index, n uint64) bool {
	return leading && s.fresh && s.segments[s.current].leaveOut(index, n)
}

// behind tells whether live pictures that are spread have got so late that the next key frame is worth more. The caller
// holds s.mu.
func (s *slot) behind(ts int64) bool {
	if time.Since(s.fetching) < queueMost { // the source may have sent many at once
		return false
	}
	m, ok := s.line.now()
	return ok && m.ts-ts > s.line.rate*int64(queueMost/time.Millisecond)/1000
}

// leap goes on with the newest group of pictures if it has begun already, with the next one otherwise. It reports
// whether there is something to send. The caller holds s.mu.
func (s *slot) leap() bool {
	haste := s.haste
	s.giveUp()
	if o, ok := s.line.opening(); ok && o.first > s.next {
		s.restart(s.line)
		s.haste = haste
	}
	return s.phase == phaseCatchUp
}

// mayWait tells whether catch-up that the viewer does not take fast enough may wait for it. What takes longer is no
// longer worth it: the next key frame is. The caller holds s.mu.
func (s *slot) mayWait() bool {
	if time.Since(s.fetching) < tcpPatience {
		return true
	}
	s.skip(dropOverflow)
	return false
}
