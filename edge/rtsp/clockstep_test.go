package rtsp

import (
	"testing"
	"time"
	"unsafe"
)

// stepped returns t as the machine would have read it after its wall clock was set d further: the monotonic reading is
// the same.
func stepped(t time.Time, d time.Duration) time.Time {
	const secondsAt = 30 // package time: the wall seconds lie above 30 bits of nanoseconds
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(d/time.Second)) << secondsAt
	return t
}

// A boot without a clock, then NTP: the wall clock jumps while a camera plays. No session may end for that, and none
// that fell silent may go on for it.
func TestWallClockStepsDoNotTouchTheLivenessClocks(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour, -56 * 365 * 24 * time.Hour} {
		start := time.Now()
		if got := stepped(start, step).Round(0).Sub(start.Round(0)); got != step {
			t.Fatalf("the wall clock was set by %v, want %v", got, step)
		}
		c := clocks{start: start, video: true, to: Timeouts{}.withDefaults()}
		at := func(d time.Duration) time.Time { return start.Add(d) }
		var s Stats
		s.begin("tcp", start)
		s.read(1000, at(59*time.Second))
		s.note(&s.lastRTP, at(59*time.Second))
		s.note(&s.lastKey, at(58*time.Second))
		s.note(&s.lastFrame, at(59*time.Second))
		s.note(&s.lastWhole, at(59*time.Second))
		if err := c.check(&s, stepped(at(time.Minute), step)); err != nil {
			t.Errorf("clock set by %v between two packets: %v, want the session to go on", step, err)
		}
		s.read(1000, stepped(at(time.Minute), step))
		s.note(&s.lastRTP, stepped(at(time.Minute), step))
		if err := c.check(&s, stepped(at(time.Minute+time.Second), step)); err != nil {
			t.Errorf("clock set by %v a packet ago: %v, want the session to go on", step, err)
		}
		if err := c.check(&s, stepped(at(2*time.Minute), step)); err == nil {
			t.Errorf("clock set by %v, then silence for a minute: want an error", step)
		}
		snap := s.snapshot(stepped(at(2*time.Minute), step))
		if age := stepped(at(2*time.Minute), step).Sub(snap.LastRTP); age != time.Minute {
			t.Errorf("clock set by %v: the last packet is %v old, want 1m", step, age)
		}
		if shown := snap.LastRTP.Round(0).Sub(start.Round(0)); shown != time.Minute+step {
			t.Errorf("clock set by %v: the last packet is shown %v after the start, want %v", step, shown, time.Minute+step)
		}
	}
}
