package edge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/recorder/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a pull that tests steer: it counts calls per camera and hands each to a func.
type script struct {
	mu    sync.Mutex
	calls map[string]int
	play  func(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error
}

func (s *script) pull(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error {
	s.mu.Lock()
	s.calls[cfg.URL]++
	s.mu.Unlock()
	return s.play(ctx, cfg, sink)
}

func (s *script) count(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[url]
}

func hold(ctx context.Context, _ rtsp.PullConfig, _ rtsp.Sink) error {
	<-ctx.Done()
	return ctx.Err()
}

func refuse(_ context.Context, cfg rtsp.PullConfig, _ rtsp.Sink) error {
	return &rtsp.Error{Camera: cfg.Camera, Op: "dial", Reason: status.ReasonRefused, Err: errors.New("refused")}
}

func newEdge(t *testing.T, cfg Config, deps Deps, play func(context.Context, rtsp.PullConfig, rtsp.Sink) error) (
	e *Edge, s *script, stop func(),
) {
	t.Helper()
	e, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	s = &script{calls: map[string]int{}, play: play}
	e.pull = s.pull
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return e, s, func() { cancel(); <-done }
}

func cam(id string) district.Camera {
	return district.Camera{ID: id, Name: id, Main: "rtsp://10.0.0.1/" + id}
}

func TestBackOffGrowsWithJitterAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, stop := newEdge(t, Config{RetryMin: time.Second, RetryMax: 8 * time.Second}, Deps{}, refuse)
		defer stop()
		e.Apply([]district.Camera{cam("a")})
		time.Sleep(5 * time.Minute)
		n := s.count("rtsp://10.0.0.1/a")
		// At most 12 s between attempts (8 s and half of it as jitter), on average about 8.
		if n < 25 || n > 60 {
			t.Errorf("%d attempts in five minutes", n)
		}
		st := e.Cameras()[0].Profiles["main"]
		if st.State != status.Offline || st.Reason != status.ReasonRefused || !st.Retry.After(time.Now().Add(-time.Second)) {
			t.Errorf("state %+v", st)
		}
	})
}

func TestRemovingOrEditingOneCameraDisturbsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, stop := newEdge(t, Config{}, Deps{}, hold)
		defer stop()
		a, b := cam("a"), cam("b")
		e.Apply([]district.Camera{a, b})
		synctest.Wait()
		before, _, err := e.Open(t.Context(), "a", media.Main)
		if err != nil {
			t.Fatal(err)
		}
		renamed := a
		renamed.Name = "another name"
		moved := b
		moved.Main = "rtsp://10.0.0.2/b"
		e.Apply([]district.Camera{renamed, moved, cam("c")})
		synctest.Wait()
		after, _, err := e.Open(t.Context(), "a", media.Main)
		if err != nil || after != before {
			t.Errorf("renaming a camera replaced its stream (%v)", err)
		}
		e.Apply([]district.Camera{renamed})
		synctest.Wait()
		if n := s.count(a.Main); n != 1 {
			t.Errorf("camera a was pulled %d times, want once", n)
		}
		if s.count(moved.Main) != 1 || s.count("rtsp://10.0.0.1/c") != 1 {
			t.Errorf("calls %v: the moved and the new camera must be pulled", s.calls)
		}
		if _, _, err := e.Open(t.Context(), "b", media.Main); !errors.Is(err, ErrUnknownCamera) {
			t.Errorf("removed camera: %v", err)
		}
	})
}

func TestReadersOfARemovedCameraAreToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, stop := newEdge(t, Config{}, Deps{}, hold)
		defer stop()
		e.Apply([]district.Camera{cam("a")})
		s, release, err := e.Open(t.Context(), "a", media.Main)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		r := s.Subscribe(stream.ReaderOptions{})
		e.Apply(nil)
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrRemoved) {
			t.Errorf("reader ended with %v, want ErrRemoved", err)
		}
	})
}

func TestDialLimitsHoldPerHostAndInTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		slow := func(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return refuse(ctx, cfg, sink)
		}
		e, _, stop := newEdge(t, Config{Dials: 5, DialsPerHost: 2}, Deps{}, slow)
		defer stop()
		var cams []district.Camera
		for i := range 40 {
			c := cam(fmt.Sprintf("c%d", i))
			c.Main = fmt.Sprintf("rtsp://10.0.0.%d/%d", i%10, i)
			cams = append(cams, c)
		}
		e.Apply(cams)
		time.Sleep(30 * time.Second)
		if m := most.Load(); m > 5 {
			t.Errorf("%d connection attempts at once, want at most 5", m)
		}
	})
}

func TestPlaceInTheDialLimitIsGivenBackWhenMediaFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := func(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error {
			sink.Publish(&media.AccessUnit{Desc: h264, Key: true, NALUs: [][]byte{{1}}})
			return hold(ctx, cfg, sink)
		}
		e, s, stop := newEdge(t, Config{Dials: 1, DialsPerHost: 1}, Deps{}, flow)
		defer stop()
		e.Apply([]district.Camera{cam("a"), cam("b"), cam("c")})
		synctest.Wait()
		for _, id := range []string{"a", "b", "c"} {
			if s.count("rtsp://10.0.0.1/"+id) != 1 {
				t.Errorf("camera %s was not pulled: the first keeps the only place", id)
			}
		}
	})
}

var h264 = &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000}}}

func TestOnDemandProfileIsPulledOnlyWhileUsedAndALittleLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulling atomic.Int32
		e, s, stop := newEdge(t, Config{Linger: 10 * time.Second}, Deps{},
			func(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error {
				pulling.Add(1)
				defer pulling.Add(-1)
				return hold(ctx, cfg, sink)
			})
		defer stop()
		c := cam("a")
		c.OnDemand = true
		e.Apply([]district.Camera{c})
		expect := func(when string, n int32) {
			t.Helper()
			synctest.Wait()
			if got := pulling.Load(); got != n {
				t.Errorf("%s: %d pulls, want %d", when, got, n)
			}
		}
		expect("nobody looks", 0)
		_, first, _ := e.Open(t.Context(), "a", media.Main)
		_, second, _ := e.Open(t.Context(), "a", media.Main)
		expect("two look", 1)
		first()
		first()
		time.Sleep(time.Minute)
		expect("one left", 1)
		second()
		time.Sleep(9 * time.Second)
		expect("within the linger time", 1)
		_, third, _ := e.Open(t.Context(), "a", media.Main)
		time.Sleep(time.Minute)
		expect("somebody came back in time", 1)
		if s.count(c.Main) != 1 {
			t.Errorf("pulled %d times, want once", s.count(c.Main))
		}
		third()
		time.Sleep(11 * time.Second)
		expect("after the linger time", 0)
	})
}

// recorderScript fails its first recordings.
type recorderScript struct{ n atomic.Int32 }

func (r *recorderScript) Record(ctx context.Context, _ string, _ *stream.Stream) error {
	if r.n.Add(1) < 3 {
		return errors.New("disk trouble")
	}
	<-ctx.Done()
	return nil
}

func (r *recorderScript) Recording(string) status.Recording { return status.Recording{Active: true} }

func TestRecordingIsBegunAgainWhateverEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorderScript{}
		e, _, stop := newEdge(t, Config{}, Deps{Spool: rec}, hold)
		defer stop()
		c := cam("a")
		c.Record = district.RecordMain
		e.Apply([]district.Camera{c, cam("b")})
		time.Sleep(10 * time.Second)
		if n := rec.n.Load(); n != 3 {
			t.Errorf("recording was begun %d times, want 3", n)
		}
		st := e.Cameras()
		if !st[0].Recording.Wanted || !st[0].Recording.Active || st[1].Recording.Wanted {
			t.Errorf("recording states %+v %+v", st[0].Recording, st[1].Recording)
		}
	})
}

func TestStatesComeFromTheDataPlane(t *testing.T) {
	t0 := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	playing := rtsp.Snapshot{Connected: at(0), LastKey: at(58), LastFrame: at(59)}
	cases := []struct {
		name   string
		st     rtsp.Snapshot
		last   attempt
		active bool
		idle   bool
		state  status.State
		reason status.Reason
	}{
		{name: "first attempt", active: true, state: status.Connecting},
		{name: "pictures arrive", st: playing, active: true, state: status.Live},
		{
			name: "pictures stopped, connection stands", active: true, state: status.Frozen, reason: status.ReasonSilent,
			st: rtsp.Snapshot{Connected: at(0), LastKey: at(40), LastFrame: at(41)},
		},
		{
			name: "RTP but never a key frame", active: true, state: status.NoSignal, reason: status.ReasonNoKeyFrame,
			st: rtsp.Snapshot{Connected: at(50), LastRTP: at(60)},
		},
		{
			name: "refused", last: attempt{n: 1, reason: status.ReasonRefused, at: at(30)},
			state: status.Offline, reason: status.ReasonRefused,
		},
		{
			name: "silence after PLAY, trying again", st: rtsp.Snapshot{Connected: at(20)}, active: true,
			last: attempt{n: 3, reason: status.ReasonSilent, at: at(30)}, state: status.NoSignal, reason: status.ReasonSilent,
		},
		{
			name: "back again after a failure", st: playing, active: true,
			last: attempt{n: 3, reason: status.ReasonRefused, at: at(-5)}, state: status.Live,
		},
		{
			name: "pictures arrive, the first key frame is not there yet, after a failure", active: true,
			st:    rtsp.Snapshot{Connected: at(20), LastFrame: at(60)},
			last:  attempt{n: 1, reason: status.ReasonRefused, at: at(-5)},
			state: status.NoSignal, reason: status.ReasonNoKeyFrame,
		},
		{
			name: "key frame two minutes ago, pictures arrive", active: true, state: status.Live,
			st: rtsp.Snapshot{Connected: at(-100), LastKey: at(-60), LastFrame: at(60)},
		},
		{
			name: "sound arrives, and no picture is offered", active: true, state: status.SoundOnly,
			st: rtsp.Snapshot{Connected: at(0), LastRTP: at(59), Audio: "PCMA"},
		},
		{
			name: "sound stopped", active: true, state: status.NoSignal, reason: status.ReasonSilent,
			st: rtsp.Snapshot{Connected: at(0), LastRTP: at(50), Audio: "PCMA"},
		},
		{name: "on demand, nobody looks", idle: true, state: status.Connecting},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			state, reason, _ := judge(tc.st, tc.last, tc.active, !tc.idle, at(60))
			if state != tc.state || reason != tc.reason {
				t.Errorf("%s %s, want %s %s", state, reason, tc.state, tc.reason)
			}
		})
	}
}

func TestGapCauseFollowsTheLastFailure(t *testing.T) {
	cases := map[status.Reason]segment.Cause{
		status.ReasonTimeout: segment.CauseNetwork, status.ReasonUnreachable: segment.CauseNetwork,
		status.ReasonRefused: segment.CauseCameraOff, status.ReasonAuth: segment.CauseCameraOff,
		status.ReasonSilent: segment.CauseCameraOff,
	}
	for reason, want := range cases {
		s := &source{last: attempt{n: 1, reason: reason}}
		c := &camera{
			cam: district.Camera{Record: district.RecordMain}, spool: &recorderScript{},
			sources: map[media.Profile]*source{media.Main: s},
		}
		if got := c.gapCause(); got != want {
			t.Errorf("%s: cause %s, want %s", reason, got, want)
		}
	}
}

// The hole that a change of a camera's configuration leaves is known to be that, until an attempt under the new one fails.
func TestGapCauseOfAChangedConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, stop := newEdge(t, Config{}, Deps{Spool: &recorderScript{}}, hold)
		defer stop()
		a := cam("a")
		a.Record = district.RecordMain
		e.Apply([]district.Camera{a})
		synctest.Wait()
		if got := e.GapCause("a"); got != segment.CauseUnknown {
			t.Errorf("at the start: %s", got)
		}
		a.Main = "rtsp://10.0.0.2/a"
		e.Apply([]district.Camera{a})
		synctest.Wait()
		if got := e.GapCause("a"); got != segment.CauseConfig {
			t.Errorf("edited: %s", got)
		}
		e.Apply(nil)
		e.Apply([]district.Camera{a})
		synctest.Wait()
		if got := e.GapCause("a"); got != segment.CauseConfig {
			t.Errorf("removed and back: %s", got)
		}
		s := e.cameras["a"].sources[media.Main]
		s.mu.Lock()
		s.last = attempt{n: 1, reason: status.ReasonTimeout}
		s.mu.Unlock()
		if got := e.GapCause("a"); got != segment.CauseNetwork {
			t.Errorf("the new address does not answer: %s", got)
		}
	})
}
