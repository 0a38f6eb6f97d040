package relay

import "time"

// pacer sends a session's catch-up, all slots in turn, at a bounded rate: a group of pictures at once would overflow
// the viewer's socket buffer, and those of many viewers that join at once the network. So would a live picture that is
// large: what follows it waits behind it in the history. It is owned by the session's goroutine.
type pacer struct {
	session *session
	rate    int // bytes per second at most; see learn
	sent    int // bytes since the path was judged last
	tokens  int
	last    time.Time
	timer   *time.Timer
	active  bool
	haste   int // bytes per second that live pictures need
	scratch [paceChunk]packet
}

// paceChunk is how many packets of one slot are sent before the next slot has its turn.
const paceChunk = 16

// paceLeast is what a path is given in any case, in bytes per second.
const paceLeast = 2 << 20

// learn takes what the path did in the last second: where much of what was spread got lost, the next goes slower.
func (p *pacer) learn(r reading) {
	switch {
	case p.sent < largeUnit || !r.heard:
	case r.loss >= lossHigh:
		p.rate = max(p.rate/2, min(paceLeast, p.rate))
	case r.loss <= lossLow:
		p.rate = min(p.rate*5/4, p.session.relay.cfg.CatchUpRate)
	}
	p.sent = 0
}

// wake begins sending; the first burst leaves at once.
func (p *pacer) wake() {
	if p.active {
		return
	}
	if now := time.Now(); now.Sub(p.last) > time.Second {
		p.tokens, p.last = paceBurst, now
	}
	p.active = true
	p.session.relay.catchingUp.Add(1)
	p.pending()
	p.send()
}

// due delivers when send is to be called, nil while there is nothing to send.
func (p *pacer) due() <-chan time.Time {
	if !p.active || p.timer == nil {
		return nil
	}
	return p.timer.C
}

func (p *pacer) stop() {
	p.rest()
	if p.timer != nil {
		p.timer.Stop()
	}
}

// rest notes that there is nothing to send.
func (p *pacer) rest() {
	if p.active {
		p.active = false
		p.session.relay.catchingUp.Add(-1)
	}
}

// share is this session's part of what all may send, in bytes per second. Live pictures do not wait for others'
// catch-up, and may take all that the path bears.
func (p *pacer) share() int {
	r := p.session.relay
	part := min(p.session.bears(mayTake, p.rate), r.cfg.CatchUpTotal/max(int(r.catchingUp.Load()), 1))
	if p.haste == 0 {
		return part
	}
	return max(part, min(p.haste, p.session.bears(mayHaste, p.rate)))
}

// send spends what the rate allows and arms the timer if there is more.
func (p *pacer) send() {
	now := time.Now()
	p.tokens = min(p.tokens+int(now.Sub(p.last).Seconds()*float64(p.share())), paceBurst)
	p.last = now
	out := p.session.relay.outlet
	b := out.get()
	more := true
	for more && p.tokens > 0 {
		more = false
		for _, sl := range p.session.slots {
			if p.tokens <= 0 {
				more = true
				break
			}
			bytes, again := sl.catchUp(b, p.scratch[:])
			p.tokens -= bytes
			p.sent += bytes
			more = more || (again && bytes > 0)
		}
	}
	b.flush()
	out.put(b)
	clear(p.scratch[:])
	if !p.pending() {
		p.rest()
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(paceEvery)
	} else {
		p.timer.Reset(paceEvery)
	}
}

// pending tells whether any slot still catches up, and notes what haste there is.
func (p *pacer) pending() bool {
	more := false
	p.haste = 0
	for _, sl := range p.session.slots {
		haste, catchesUp := sl.catchingUp()
		if catchesUp {
			more = true
			p.haste += haste
		}
	}
	return more
}

func (s *slot) catchingUp() (haste int, catchesUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.haste, s.phase == phaseCatchUp
}
