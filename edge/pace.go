package edge

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"skein/edge/status"
)

// A camera that was well and goes away is most often back soon: it rebooted, changed its settings, or a switch did.
const (
	wellAfter  = 5 * time.Second        // a session that delivered for so long was well
	promptFor  = 90 * time.Second       // after the end of one the camera is dialled in short intervals
	promptMax  = 500 * time.Millisecond // on average, between two of these attempts
	promptDial = time.Second            // what the TCP connection may take then: a host that is off does not answer
	absentFor  = 10 * time.Second       // a shorter absence is shown as a picture that stands still
)

// pace decides how long to wait before a camera is dialled again: shortly after a session that was well, otherwise with
// exponential back-off. All pauses are jittered. The dial limits hold besides.
type pace struct {
	slow   *backoff.ExponentialBackOff
	base   time.Duration // of the short pauses
	prompt time.Time     // until when the pauses are short
	first  bool          // the session that was well ended just now
}

func newPace(c Config) *pace {
	p := &pace{slow: backoff.NewExponentialBackOff(), base: min(promptMax, c.RetryMin)}
	p.slow.InitialInterval, p.slow.MaxInterval, p.slow.RandomizationFactor = c.RetryMin, c.RetryMax, 0.5
	return p
}

// well notes that a session which was well ended now.
func (p *pace) well(now time.Time) {
	p.prompt, p.first = now.Add(promptFor), true
	p.slow.Reset()
}

// reset forgets what was before.
func (p *pace) reset() {
	p.prompt = time.Time{}
	p.slow.Reset()
}

// hurried reports whether the camera is expected back at any moment.
func (p *pace) hurried(now time.Time) bool { return now.Before(p.prompt) }

// pause returns how long to wait after an attempt that ended for the reason.
func (p *pace) pause(r status.Reason, now time.Time) time.Duration {
	if !p.hurried(now) || deliberate(r) {
		return p.slow.NextBackOff()
	}
	base := p.base
	if p.first {
		p.first = false
		base /= 5
	}
	return base/2 + rand.N(base) //nolint:gosec // jitter
}

// deliberate reports whether a camera that failed for the reason said no, rather than being away. It is not asked
// again and again: cameras lock accounts after a few wrong passwords.
func deliberate(r status.Reason) bool {
	switch r {
	case status.ReasonAuth, status.ReasonTLS, status.ReasonUnsupportedCodec, status.ReasonNotRTSP, status.ReasonGarbage:
		return true
	}
	return false
}
