package edge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
)

// comesAndGoes is a camera of 25 pictures a second that is away for a part of each period, from its beginning on. It
// counts the pictures that went to somebody.
type comesAndGoes struct {
	began        time.Time
	period, away time.Duration
	reason       status.Reason
	mu           sync.Mutex
	back         []time.Duration // how long after its return it was dialled
}

func (c *comesAndGoes) phase() time.Duration { return time.Since(c.began) % c.period }

func (c *comesAndGoes) play(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error {
	if c.phase() < c.away {
		return &rtsp.Error{Camera: cfg.Camera, Op: "dial", Reason: c.reason, Err: errors.New("away")}
	}
	if time.Since(c.began) > c.period {
		c.mu.Lock()
		c.back = append(c.back, c.phase()-c.away)
		c.mu.Unlock()
	}
	for c.phase() >= c.away {
		select {
		case <-time.After(40 * time.Millisecond):
			sink.Publish(&media.AccessUnit{Desc: h264, Key: true, NALUs: [][]byte{{1}}, Arrival: time.Now()})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return &rtsp.Error{Camera: cfg.Camera, Op: "receive", Reason: status.ReasonClosed, Err: errors.New("gone")}
}

// A camera that was well and goes away for a moment is dialled again until it is back, and then at once.
func TestShortAbsenceCostsLessThanASecond(t *testing.T) {
	for _, away := range []time.Duration{300 * time.Millisecond, 8 * time.Second, 40 * time.Second, 80 * time.Second} {
		for _, reason := range []status.Reason{
			status.ReasonRefused, status.ReasonUnreachable, status.ReasonTimeout, status.ReasonNotFound,
		} {
			synctest.Test(t, func(t *testing.T) {
				c := &comesAndGoes{began: time.Now().Add(-away), period: away + 17*time.Second, away: away, reason: reason}
				e, s, stop := newEdge(t, Config{}, Deps{}, c.play)
				defer stop()
				e.Apply([]district.Camera{cam("a")})
				time.Sleep(20 * c.period)
				c.mu.Lock()
				defer c.mu.Unlock()
				if len(c.back) < 19 {
					t.Fatalf("away for %v: back %d times in 20 periods", away, len(c.back))
				}
				if worst := slices.Max(c.back); worst > time.Second {
					t.Errorf("away for %v (%s): dialled %v after its return, want within 1 s", away, reason, worst)
				}
				if n := s.count("rtsp://10.0.0.1/a"); n > 20*(3+int(away/(200*time.Millisecond))) {
					t.Errorf("away for %v: %d attempts", away, n)
				}
			})
		}
	}
}

// One that stays away is dialled with growing pauses in the end, and so is one that says no or never was well.
func TestPromptAttemptsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		reason    status.Reason
		well      time.Duration
		min, most int // attempts in ten minutes
	}{
		"stays away":     {status.ReasonRefused, 20 * time.Second, 90 * 2, 90*4 + 60},
		"wrong password": {status.ReasonAuth, 20 * time.Second, 10, 60},
		"was never well": {status.ReasonRefused, 2 * time.Second, 10, 60},
	} {
		synctest.Test(t, func(t *testing.T) {
			cam := comesAndGoes{began: time.Now(), period: time.Hour, reason: c.reason}
			cam.began = cam.began.Add(-time.Hour + c.well)
			cam.away = time.Hour - c.well
			e, s, stop := newEdge(t, Config{}, Deps{}, cam.play)
			defer stop()
			e.Apply([]district.Camera{{ID: "a", Main: "rtsp://10.0.0.1/a"}})
			time.Sleep(10 * time.Minute)
			if n := s.count("rtsp://10.0.0.1/a"); n < c.min || n > c.most {
				t.Errorf("%s: %d attempts in ten minutes, want %d to %d", name, n, c.min, c.most)
			}
		})
	}
}

// A line that loses packets is told beside the state, which stays what it is.
func TestLossIsShownBesideTheState(t *testing.T) {
	cam := rtsptest.Start(t, rtsptest.Options{Padding: 3000, Lose: func(n int) bool { return n > 30 && n%20 == 0 }})
	e, err := New(Config{}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	e.Apply([]district.Camera{{ID: "a", Main: cam.URL(), Transport: rtsp.TransportUDP}})
	deadline := time.Now().Add(20 * time.Second)
	for {
		p := e.Cameras()[0].Profiles["main"]
		if p.State == status.Live && p.Reason == status.ReasonCameraLoss && p.LossPercent > 0.2 && p.Damaged > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%+v", p)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// In its first seconds an absence is a picture that stands still, with the reason; then the camera is offline.
func TestShortAbsenceIsNotOffline(t *testing.T) {
	now := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		ago    time.Duration // the last picture
		reason status.Reason
		well   bool
		want   status.State
	}{
		{"refused a moment after it was well", 4 * time.Second, status.ReasonRefused, true, status.Frozen},
		{"silent for a moment", 6 * time.Second, status.ReasonSilent, true, status.Frozen},
		{"away for longer", 11 * time.Second, status.ReasonRefused, true, status.Offline},
		{"it says no", 4 * time.Second, status.ReasonAuth, true, status.Offline},
		{"it was never well", 4 * time.Second, status.ReasonRefused, false, status.Offline},
	} {
		last := attempt{n: 2, reason: tc.reason, at: now.Add(-3 * time.Second)}
		if tc.well {
			last.well = now.Add(-tc.ago)
		}
		st := rtsp.Snapshot{Connected: now.Add(-time.Hour), LastKey: now.Add(-tc.ago), LastFrame: now.Add(-tc.ago)}
		if state, reason, _ := judge(st, last, true, true, now); state != tc.want || reason != tc.reason {
			t.Errorf("%s: %s %s, want %s %s", tc.name, state, reason, tc.want, tc.reason)
		}
	}
}
