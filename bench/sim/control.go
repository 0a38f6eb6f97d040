package sim

import (
	"sync/atomic"
	"time"
)

// Control makes one camera misbehave. It is safe for concurrent use and works at any time, also before Run.
type Control struct {
	server  *Server
	clock   *clock
	streams []*stream
	stall   atomic.Int64 // Unix ns until which nothing is sent
}

// Stop ends the camera's sessions and answers 404 to new ones, until Start.
func (c *Control) Stop() {
	for _, s := range c.streams {
		s.stop()
	}
}

// Start makes a stopped camera answer again. Frame numbers and RTP time go on as if it had never been away.
func (c *Control) Start() error {
	for _, s := range c.streams {
		if err := c.server.open(s); err != nil {
			return err
		}
	}
	return nil
}

// Drop leaves out the next n pictures of each of the camera's profiles that is being read: their numbers are missing,
// and what moved in them is wrong in the picture until the next key frame.
func (c *Control) Drop(n int) {
	for _, s := range c.streams {
		s.drop.Add(int64(n))
	}
}

// Stall sends nothing for a while, with all connections open: neither media nor reports. What was taken meanwhile is
// lost.
func (c *Control) Stall(d time.Duration) { c.stall.Store(c.server.cfg.Now().Add(d).UnixNano()) }

// StepClock moves the camera's wall clock, as an NTP client or a person does. RTP timestamps go on undisturbed; SEI,
// OSD and the next sender reports show the new time.
func (c *Control) StepClock(d time.Duration) { c.clock.step(d) }

// Readers returns how many sessions play any of the camera's profiles.
func (c *Control) Readers() int {
	n := 0
	for _, s := range c.streams {
		s.mu.Lock()
		n += len(s.readers)
		s.mu.Unlock()
	}
	return n
}

func (c *Control) muted(now time.Time) bool { return now.UnixNano() < c.stall.Load() }
