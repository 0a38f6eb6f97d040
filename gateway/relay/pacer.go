package relay

import "time"

// pacer sends a session's catch-up, all slots in turn, at a bounded rate: a group of pictures at once would overflow
// the viewer's socket buffer, and those of many viewers that join at once the network. It is owned by the session's
// goroutine.
type pacer struct {
	session *session
	rate    int // bytes per second
	tokens  int
	last    time.Time
	timer   *time.Timer
	active  bool
	scratch [paceChunk]packet
}

// paceChunk is how many packets of one slot are sent before the next slot has its turn.
const paceChunk = 16

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

// share is this session's part of what all may send, in bytes per second.
func (p *pacer) share() int {
	r := p.session.relay
	return min(p.session.catchUpRate(p.rate), r.cfg.CatchUpTotal/max(int(r.catchingUp.Load()), 1))
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

// pending tells whether any slot still catches up.
func (p *pacer) pending() bool {
	for _, sl := range p.session.slots {
		if sl.catchingUp() {
			return true
		}
	}
	return false
}

func (s *slot) catchingUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseCatchUp
}
