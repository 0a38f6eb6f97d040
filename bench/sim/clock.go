package sim

import (
	"sync/atomic"
	"time"
)

// clock is a camera's idea of time, derived from the true one. The oscillator drives media time, which never jumps;
// the wall clock is media time plus an offset that a test (or a camera's NTP client) may step. Safe for concurrent use.
type clock struct {
	start  time.Time // where true and media time agree
	ppm    float64
	offset atomic.Int64 // wall minus media time, ns
}

func newClock(start time.Time, ppm float64, offset time.Duration) *clock {
	c := &clock{start: start, ppm: ppm}
	c.offset.Store(int64(offset))
	return c
}

// media returns the camera's media time at a true time.
func (c *clock) media(t time.Time) time.Time {
	return t.Add(time.Duration(float64(t.Sub(c.start)) * c.ppm / 1e6))
}

// truth is the inverse of media.
func (c *clock) truth(m time.Time) time.Time {
	d := m.Sub(c.start)
	return m.Add(time.Duration(float64(d)/(1+c.ppm/1e6)) - d)
}

// wall returns what the camera's wall clock shows at a media time.
func (c *clock) wall(m time.Time) time.Time { return m.Add(time.Duration(c.offset.Load())) }

func (c *clock) step(d time.Duration) { c.offset.Add(int64(d)) }
