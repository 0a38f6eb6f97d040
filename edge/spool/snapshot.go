package spool

import (
	"sync"
	"time"

	"skein/edge/status"
	"skein/recorder/segment"
)

const (
	aliveEvery = 10 * time.Second
	rateWindow = 60 * time.Second // over which the speed of shipping is averaged
	activeFor  = 10 * time.Second // a camera records if its newest durable footage is younger
)

// Snapshot is the state of the spool, for people.
type Snapshot struct {
	Level         Level         `json:"level"`
	Bytes         int64         `json:"bytes"`
	MaxBytes      int64         `json:"max_bytes,omitempty"`
	Free          int64         `json:"free"`    // of the file system
	Inodes        float64       `json:"inodes"`  // share of the file system's inodes in use, 0 to 1
	Left          time.Duration `json:"left_ns"` // until footage must be dropped, -1: it does not grow
	Backlog       int           `json:"backlog"`
	BacklogBytes  int64         `json:"backlog_bytes"`
	OldestAge     time.Duration `json:"oldest_age_ns"`
	ETA           time.Duration `json:"eta_ns"` // until the backlog is shipped at the present rate, -1: never
	Dropped       uint64        `json:"dropped"`
	SetAside      int64         `json:"set_aside"` // corrupted files somebody should look at
	Gaps          int           `json:"gaps"`      // gaps the archive does not know of yet
	LastShipped   time.Time     `json:"last_shipped,omitzero"`
	LastShipError string        `json:"last_ship_error,omitempty"`
}

// Snapshot tells how the spool is.
func (s *Spool) Snapshot() Snapshot {
	n, bytes := s.queue.size()
	out := Snapshot{
		Level: s.Level(), Bytes: s.used.Load(), MaxBytes: s.cfg.MaxBytes, Free: s.free.Load(), Backlog: n,
		BacklogBytes: bytes, OldestAge: s.oldestAge(), Dropped: s.m.dropped.load(), SetAside: s.bad.Load(),
		Gaps: s.gapsWaiting(), Inodes: float64(s.inodes.Load()) / 1000, Left: time.Duration(s.left.Load()),
	}
	s.shipped.fill(&out)
	return out
}

func (s *Spool) oldestAge() time.Duration {
	ms, ok := s.queue.oldest()
	if !ok {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(ms)))
}

// Recording tells how the camera's recording is right now.
func (s *Spool) Recording(camera string) status.Recording {
	c := s.known(camera)
	if c == nil {
		return status.Recording{}
	}
	n, held := s.queue.of(c), s.queue.oldestOf(c, time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	r := status.Recording{
		Wanted: c.recording, LastWrite: c.lastWrite, Backlog: n, Detail: c.detail, Loss: c.lossNow(), Held: held,
	}
	r.Active = c.recording && time.Since(c.lastWrite) < activeFor && (r.Loss == nil || !c.loss.all)
	switch {
	case r.Detail != "" || r.Loss == nil:
	case r.Active:
		r.Detail = "there is no room left: the oldest footage goes before it was shipped"
	default:
		r.Detail = "nothing is kept: there is no room for footage until it is shipped"
	}
	for _, f := range c.closed {
		r.Held = earlier(r.Held, f.part.start)
	}
	if c.current != nil {
		r.Held = earlier(r.Held, c.current.part.start)
	}
	return r
}

// earlier returns the earlier of two times; a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// progress measures how fast the backlog goes down.
type progress struct {
	lastAlive time.Time // owned by makeRoom

	mu      sync.Mutex // guards the fields below
	last    time.Time
	lastErr string
	samples []sample // one a second or less, of the last rateWindow
}

type sample struct {
	at    time.Time
	bytes int64 // of the backlog
}

// tick notes the size of the backlog and returns when the last sign of life was written.
func (p *progress) tick(now time.Time, q *queue) time.Time {
	_, bytes := q.size()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.samples); n == 0 || now.Sub(p.samples[n-1].at) >= time.Second {
		p.samples = append(p.samples, sample{now, bytes})
	}
	for len(p.samples) > 2 && now.Sub(p.samples[0].at) > rateWindow {
		p.samples = p.samples[1:]
	}
	return p.lastAlive
}

// growth returns how fast the backlog grows, in bytes per second; 0 if it shrinks, or is not watched long enough.
func (p *progress) growth() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.samples)
	if n < 2 {
		return 0
	}
	a, b := p.samples[0], p.samples[n-1]
	if b.at.Sub(a.at) < rateWindow/2 || b.bytes <= a.bytes {
		return 0
	}
	return float64(b.bytes-a.bytes) / b.at.Sub(a.at).Seconds()
}

// fill estimates the time until the backlog is gone from how it changed lately.
func (p *progress) fill(out *Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out.LastShipped, out.LastShipError = p.last, p.lastErr
	if out.BacklogBytes == 0 {
		return
	}
	out.ETA = -1
	if n := len(p.samples); n > 1 {
		a, b := p.samples[0], p.samples[n-1]
		if less := a.bytes - b.bytes; less > 0 {
			out.ETA = time.Duration(float64(b.bytes) / float64(less) * float64(b.at.Sub(a.at)))
		}
	}
}

func (s *Spool) noteShipped(segment.Manifest) {
	s.shipped.mu.Lock()
	defer s.shipped.mu.Unlock()
	s.shipped.last, s.shipped.lastErr = time.Now().UTC(), ""
}

func (s *Spool) noteShipError(err error) {
	s.shipped.mu.Lock()
	defer s.shipped.mu.Unlock()
	s.shipped.lastErr = err.Error()
}
