package relay

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what one person may begin, in pictures: a WHEP session is one, a wall as many as it has slots.
const (
	// maxPending is how many may belong to sessions that are not connected yet. A session costs most before that, and
	// whoever posts offers and never connects would fill memory; beyond, the person's oldest goes.
	maxPending = 1024
	// begunRate a second, begunBurst at once: a control room that comes up, and the processor's time of others.
	begunRate  = 256
	begunBurst = 2048
	// hogs have more sessions unconnected than this, and lose the oldest where all places are in use.
	hogs = 8
)

// places counts who has which sessions. Relay.mu guards it.
type places struct {
	most, each int // sessions of all, and of one person
	all        int
	people     map[string]*person // by Viewer.Name; those who ever had one: as many as there are accounts
	pending    []*session         // not connected yet, oldest first
}

// person is what one name has.
type person struct {
	sessions  int
	pending   int // of these, not connected yet
	pictures  int // of those
	beginning *rate.Limiter
}

func newPlaces(c Config) *places {
	return &places{most: c.MaxSessions, each: c.MaxPerViewer, people: map[string]*person{}}
}

func (p *places) person(name string) *person {
	o := p.people[name]
	if o == nil {
		o = &person{beginning: rate.NewLimiter(begunRate, begunBurst)}
		p.people[name] = o
	}
	return o
}

// hasty tells that a person offers more than it may, by what an offer has of video: it is not even read then.
func (p *places) hasty(name, offer string) bool {
	return !p.person(name).beginning.AllowN(time.Now(), max(strings.Count(offer, "\nm=video"), 1))
}

// take gives s its place, or tells why there is none. Those in evicted lose theirs for that and must be ended.
func (p *places) take(s *session) (evicted []*session, err *Error) {
	o := p.person(s.viewer.Name)
	var hog *session
	kept, light := p.kept()
	switch {
	case o.sessions >= p.each:
		return nil, fail(CodeTooMany, "you have %d live sessions open, as many as one person may have "+
			"(webrtc.max_sessions_per_person: %d); one whose player was killed ends after %s (webrtc.silent_timeout)",
			o.sessions, p.each, s.relay.cfg.SilentTimeout)
	case p.all >= p.most:
		if hog = p.hog(s.viewer.Name); hog == nil {
			return nil, fail(CodeTooMany, "all %d live sessions of this gateway are in use (webrtc.max_sessions: %d)",
				p.most, p.most)
		}
	case p.all >= p.most-kept && o.sessions >= light:
		return nil, fail(CodeTooMany, "the last %d of the %d live sessions of this gateway (webrtc.max_sessions) are kept "+
			"for people who have fewer than %d; you have %d", kept, p.most, light, o.sessions)
	}
	evict := func(s *session) {
		evicted = append(evicted, s)
		p.connected(s)
	}
	if hog != nil {
		evict(hog)
	}
	for o.pictures > 0 && o.pictures+s.pictures > maxPending {
		evict(p.oldest(s.viewer.Name))
	}
	p.all++
	o.sessions++
	o.pending++
	o.pictures += s.pictures
	p.pending = append(p.pending, s)
	return evicted, nil
}

// oldest returns a person's oldest session that is not connected, nil if there is none.
func (p *places) oldest(name string) *session {
	i := slices.IndexFunc(p.pending, func(s *session) bool { return s.viewer.Name == name })
	if i < 0 {
		return nil
	}
	return p.pending[i]
}

// kept is how many places are for people who have fewer sessions than light: one person with many, or two, must not
// keep out the duty officer who wants one.
func (p *places) kept() (kept, light int) {
	if p.most <= p.each {
		return 0, 0 // as configured: one person may have them all
	}
	return p.most / 4, max(hogs, p.each/8)
}

// hog returns the oldest unconnected session of whoever has the most of them, nil if nobody but asking has many.
func (p *places) hog(asking string) *session {
	most, name := hogs, asking
	for n, o := range p.people {
		if o.pending > most {
			most, name = o.pending, n
		}
	}
	if name == asking {
		return nil
	}
	return p.oldest(name)
}

// connected takes s out of those that are not connected yet, if it is one of them.
func (p *places) connected(s *session) {
	i := slices.Index(p.pending, s)
	if i < 0 {
		return
	}
	p.pending = slices.Delete(p.pending, i, i+1)
	o := p.person(s.viewer.Name)
	o.pending--
	o.pictures -= s.pictures
}

// giveBack ends what take began.
func (p *places) giveBack(s *session) {
	p.connected(s)
	p.all--
	p.person(s.viewer.Name).sessions--
}
