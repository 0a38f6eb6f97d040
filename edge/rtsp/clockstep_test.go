package rtsp

import (
	"errors"
	"sync/atomic"
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

// A source that takes leave ends the session a second later, one that goes on after it does not: it may change its SSRC.
func TestByeEndsASessionAfterWhichNothingComes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		bye, rtp time.Duration // into the session
		want     error
	}{
		{"nothing after it", 10 * time.Second, 10 * time.Second, errBye},
		{"it goes on", 10 * time.Second, 10*time.Second + 40*time.Millisecond, nil},
		{"a moment ago", 10*time.Second + 500*time.Millisecond, 10 * time.Second, nil},
		{"of the session before", -time.Second, 10 * time.Second, nil},
	} {
		start := time.Now()
		s := &Stats{}
		s.note(&s.connected, start.Add(-time.Hour))
		for _, m := range []struct {
			moment *atomic.Int64
			at     time.Duration
		}{{&s.lastBye, c.bye}, {&s.lastRTP, c.rtp}, {&s.lastByte, c.rtp}, {&s.lastKey, c.rtp}} {
			s.note(m.moment, start.Add(m.at))
		}
		k := clocks{start: start, to: Timeouts{}.withDefaults()}
		if err := k.check(s, start.Add(11*time.Second+100*time.Millisecond)); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	bye := []byte{0x80, 201, 0, 1, 0, 0, 0, 9, 0x82, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8}
	if !saysBye(bye, 7) || !saysBye(bye, 8) || saysBye(bye, 9) || saysBye(bye[:12], 7) || saysBye(nil, 0) {
		t.Error("RTCP BYE is misread")
	}
}
