package edge

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/status"
	"skein/edge/stream"
)

// pullFunc is rtsp.Pull; tests script it.
type pullFunc func(ctx context.Context, cfg rtsp.PullConfig, sink rtsp.Sink) error

// source supervises one profile of one camera: it pulls once and fans out inside. The stream and its statistics outlive
// every connection.
type source struct {
	// static after construction
	cam     district.Camera
	profile media.Profile
	cfg     Config
	pull    pullFunc
	limit   *dialLimit
	log     *slog.Logger
	metrics *metrics
	stream  *stream.Stream
	epochs  *media.Epochs
	stats   *rtsp.Stats

	always bool          // pulled without viewers too
	wanted chan struct{} // capacity 1: the number of users changed
	gone   chan struct{} // closed when the source ends

	well bool // owned by run: the session that ended delivered for long enough to expect the camera back soon

	mu     sync.Mutex // guards the fields below
	users  int
	last   attempt
	active bool // a pull is under way
}

// attempt is how the last connection ended.
type attempt struct {
	n      uint64 // connections that ended so far
	reason status.Reason
	detail string
	at     time.Time
	since  time.Time // from when on no attempt brought pictures, in the same state
	next   time.Time // when the next attempt begins
	well   time.Time // end of the newest session that was well; zero: there was none
}

// open counts a user; release uncounts it once.
func (s *source) open() (release func()) {
	s.count(+1)
	return sync.OnceFunc(func() { s.count(-1) })
}

func (s *source) count(d int) {
	s.mu.Lock()
	s.users += d
	s.mu.Unlock()
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

func (s *source) used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.always || s.users > 0
}

// run supervises until ctx ends; then the stream is closed.
func (s *source) run(ctx context.Context) {
	defer func() { s.close(context.Cause(ctx)) }()
	if s.cam.URL(string(s.profile)) == district.Push {
		s.awaitPush(ctx)
		return
	}
	retry := newPace(s.cfg)
	for ctx.Err() == nil {
		if !s.awaitUse(ctx) {
			return
		}
		s.well = false
		err := s.playWhileUsed(ctx, retry.hurried(time.Now()))
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errUnused) {
			retry.reset()
			continue
		}
		now := time.Now()
		if s.well {
			retry.well(now)
		}
		pause := retry.pause(reasonOf(err), now)
		s.ended(err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// close ends the stream and whoever publishes into it. It is called once.
func (s *source) close(cause error) {
	close(s.gone)
	s.stream.Close(cause)
}

// awaitUse blocks while nobody wants the stream; false means that ctx ended.
func (s *source) awaitUse(ctx context.Context) bool {
	for !s.used() {
		select {
		case <-s.wanted:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// errUnused ends a pull that nobody wants any more.
var errUnused = errors.New("nobody looks")

// playWhileUsed runs playOnce and ends it when the stream has been unused for the linger time.
func (s *source) playWhileUsed(ctx context.Context, hurried bool) error {
	if s.always {
		return s.playOnce(ctx, hurried)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.lingering(done, func() { cancel(errUnused) }) })
	err := s.playOnce(ctx, hurried)
	close(done)
	wg.Wait()
	if errors.Is(context.Cause(ctx), errUnused) {
		return errUnused
	}
	return err
}

// lingering calls stop when there was no user for the linger time, unless done closes before.
func (s *source) lingering(done <-chan struct{}, stop func()) {
	timer := time.NewTimer(s.cfg.Linger)
	defer timer.Stop()
	for {
		if s.used() {
			timer.Stop()
		} else {
			timer.Reset(s.cfg.Linger)
		}
		select {
		case <-s.wanted:
		case <-timer.C:
			if !s.used() {
				stop()
				return
			}
		case <-done:
			return
		}
	}
}

// playOnce connects and publishes into the stream until something fails. It knows nothing of retries. hurried is for a
// camera expected back at any moment: an attempt that its host does not answer is given up early.
func (s *source) playOnce(ctx context.Context, hurried bool) error {
	url := s.cam.URL(string(s.profile))
	release, err := s.limit.acquire(ctx, url)
	if err != nil {
		return err
	}
	release = sync.OnceFunc(release)
	defer release()
	s.setActive(true)
	defer s.setActive(false)
	to := rtsp.Timeouts{
		Connect: s.cfg.ConnectTimeout, Silent: s.cfg.BytesTimeout, RTP: s.cfg.RTPTimeout, KeyFrame: s.cfg.KeyTimeout,
	}
	if hurried {
		to.Dial = min(promptDial, to.Connect)
	}
	sink := &firstUnit{sink: s.stream, then: release}
	err = s.pull(ctx, rtsp.PullConfig{
		Camera: s.cam.ID, URL: url, Transport: s.cam.Transport, Timeouts: to,
		TLS:        rtsp.TLS{CAFile: s.cam.CAFile, Fingerprint: s.cam.Fingerprint},
		IgnoreSSRC: s.cam.IgnoreSSRC, Epochs: s.epochs, Stats: s.stats, Logger: s.log,
	}, sink)
	s.well = sink.seen.Load() && s.stream.Last().Arrival.Sub(sink.at) >= wellAfter
	return err
}

// firstUnit gives the place in the dial limit back as soon as media flows.
type firstUnit struct {
	sink rtsp.Sink
	then func()
	seen atomic.Bool
	at   time.Time // when the first unit arrived
}

func (f *firstUnit) Publish(u *media.AccessUnit) {
	if !f.seen.Load() {
		f.at = u.Arrival
		f.seen.Store(true)
		f.then()
	}
	f.sink.Publish(u)
}

func (s *source) setActive(v bool) {
	s.mu.Lock()
	s.active = v
	s.mu.Unlock()
}

func reasonOf(err error) status.Reason {
	if err == nil {
		return status.ReasonClosed
	}
	return rtsp.ReasonOf(err)
}

// ended notes how a connection ended and logs it: each new reason once, repeats rarely.
func (s *source) ended(err error, pause time.Duration) {
	reason := reasonOf(err)
	detail := "the camera ended the session"
	if err != nil {
		detail = err.Error()
	}
	now := time.Now().UTC()
	s.mu.Lock()
	repeat := s.last.n > 0 && s.last.reason == reason
	since := now
	if s.last.n > 0 && down(s.last.reason) == down(reason) && !s.stats.Snapshot().LastKey.After(s.last.at) {
		since = s.last.since
	}
	well := s.last.well
	if s.well {
		well = now
	}
	s.last = attempt{
		n: s.last.n + 1, reason: reason, detail: detail, at: now, since: since, next: now.Add(pause), well: well,
	}
	n := s.last.n
	s.mu.Unlock()
	s.metrics.failures.WithLabelValues(string(reason)).Inc()
	if !repeat || n&(n-1) == 0 { // repeats: the 2nd, 4th, 8th ...
		s.log.Warn("camera stream ended", "reason", reason, "detail", detail, "retry_in", pause.Round(time.Millisecond),
			"attempts", n)
	}
}
