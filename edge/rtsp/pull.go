package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"skein/edge/media"
)

// Pull connects, plays and publishes into sink until ctx ends or something fails. It never retries, apart from the
// other transports when Transport allows it. When it returns, nothing it started runs any more and sink is left alone.
// The error is ctx's, or an *Error.
func Pull(ctx context.Context, cfg PullConfig, sink Sink) error {
	t, err := parseURL(cfg.URL)
	if err != nil {
		return &Error{Camera: cfg.Camera, Op: "url", Reason: classify(err), Err: err}
	}
	order, err := transports(cfg.Transport, t.secure)
	if err != nil {
		return &Error{Camera: cfg.Camera, Op: "url", Remote: t.addr, Reason: classify(err), Err: err}
	}
	p := &puller{cfg: cfg, target: t, timeouts: cfg.Timeouts.withDefaults(), log: orDiscard(cfg.Logger), stats: cfg.Stats}
	if p.stats == nil {
		p.stats = &Stats{}
	}
	if p.epochs = cfg.Epochs; p.epochs == nil {
		p.epochs = media.NewEpochs(0)
	}
	p.epochs.Next()
	for i, proto := range order {
		err = p.once(ctx, proto, sink)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i+1 == len(order) || !wantsOtherTransport(err) {
			break
		}
		p.log.Info("trying another RTSP transport", "camera", cfg.Camera, "refused", label(proto), "cause", t.clean(err))
	}
	return p.failure(err)
}

// puller is one call of Pull.
type puller struct {
	cfg      PullConfig
	target   target
	timeouts Timeouts
	epochs   *media.Epochs
	stats    *Stats
	log      *slog.Logger
}

// stepError remembers what was being done when err happened.
type stepError struct {
	op  string
	err error
}

func (e *stepError) Error() string { return e.op + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

func step(op string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{op, err}
}

func (p *puller) failure(err error) error {
	return failure(p.cfg.Camera, p.target, err)
}

// failure builds the error people see.
func failure(camera string, t target, err error) error {
	op := "receive"
	var s *stepError
	for errors.As(err, &s) { // the innermost step is the one that failed
		op, err = s.op, s.err
	}
	return &Error{Camera: camera, Op: op, Remote: t.addr, Reason: classify(err), Err: t.clean(err)}
}

// transports returns the protocols to try, in order.
func transports(name string, secure bool) ([]gortsplib.Protocol, error) {
	const tcp, udp, multicast = gortsplib.ProtocolTCP, gortsplib.ProtocolUDP, gortsplib.ProtocolUDPMulticast
	switch name {
	case "", TransportAuto:
		if secure {
			return []gortsplib.Protocol{tcp}, nil // UDP would need SRTP, which few cameras have
		}
		return []gortsplib.Protocol{tcp, udp, multicast}, nil
	case TransportTCP:
		return []gortsplib.Protocol{tcp}, nil
	case TransportUDP:
		return []gortsplib.Protocol{udp}, nil
	case TransportAutoUDP:
		return []gortsplib.Protocol{udp, tcp, multicast}, nil
	case TransportMulticast:
		return []gortsplib.Protocol{multicast}, nil
	}
	return nil, fmt.Errorf("transport %q: want auto, tcp, udp, multicast or auto-udp", name)
}

func label(p gortsplib.Protocol) string {
	switch p {
	case gortsplib.ProtocolTCP:
		return TransportTCP
	case gortsplib.ProtocolUDPMulticast:
		return TransportMulticast
	}
	return TransportUDP
}

// wantsOtherTransport reports whether err speaks against the transport rather than against the camera.
func wantsOtherTransport(err error) bool {
	var (
		code liberrors.ErrClientBadStatusCode
		tcp  liberrors.ErrClientServerRequestedTCP
		udp  liberrors.ErrClientServerRequestedUDP
		port liberrors.ErrClientServerPortsNotProvided
		ids  liberrors.ErrClientTransportHeaderNoInterleavedIDs
		way  liberrors.ErrClientTransportHeaderInvalidDelivery
	)
	return errors.Is(err, errNoUDP) || errors.As(err, &way) || errors.As(err, &tcp) || errors.As(err, &udp) ||
		errors.As(err, &port) || errors.As(err, &ids) ||
		(errors.As(err, &code) && code.Code == base.StatusUnsupportedTransport)
}

// once is one connection over one transport, a straight line.
func (p *puller) once(ctx context.Context, proto gortsplib.Protocol, sink Sink) error {
	s, err := p.open(ctx, proto)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.play(sink); err != nil {
		return err
	}
	p.log.Info("RTSP session plays", "camera", p.cfg.Camera, "remote", p.target.addr, "transport", label(proto),
		"tracks", len(s.in.tracks), "skipped", s.skipped)
	return s.watch(ctx)
}

// watch waits for the end, and minds the three liveness clocks.
func (s *session) watch(ctx context.Context) error {
	p := s.p
	to := p.timeouts
	ended := make(chan error, 1)
	go func() { ended <- s.client.Wait() }()
	every := min(to.Silent, to.RTP, to.KeyFrame, to.UDP) / 8
	tick := time.NewTicker(min(max(every, 10*time.Millisecond), 500*time.Millisecond))
	defer tick.Stop()
	defer func() { // Wait returns once the client is closed
		s.client.Close()
		<-ended
	}()
	c := clocks{start: time.Now(), video: s.in.hasVideo(), to: to}
	switch s.proto {
	case gortsplib.ProtocolUDP:
		c.none = errNoUDP
	case gortsplib.ProtocolUDPMulticast:
		c.none = errNoMulticast
	}
	var r rates
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			ended <- err
			return step("receive", err)
		case now := <-tick.C:
			r.sample(p.stats, now)
			if err := c.check(p.stats, now); err != nil {
				return step("receive", err)
			}
		}
	}
}

// clocks are the three liveness clocks of a playing session.
type clocks struct {
	start time.Time
	none  error // over UDP: why not a single packet may have arrived
	video bool
	to    Timeouts
}

// pictures minds the third clock. How far apart key frames are is the camera's business: what was begun with one can be
// decoded for as long as whole pictures come. frame, whole and key are the ages of the newest picture, of the newest
// without a loss, and of the newest key frame; begun tells whether the session, which has been playing for so long, had
// one.
func (c *clocks) pictures(frame, whole, key time.Duration, begun bool, playing time.Duration) error {
	switch {
	case frame > c.to.KeyFrame:
		return errNoKeyFrame
	case !begun && playing > c.to.FirstKey:
		return errNoFirstKey
	case begun && whole > c.to.KeyFrame && key > c.to.KeyFrame:
		return errNoKeyFrame
	case begun && key > c.to.Renew:
		return errRenew
	}
	return nil
}

// byePatience is how long there may be nothing after a source said that it leaves: one that only changes its SSRC says
// so too.
const byePatience = time.Second

// check returns the reason of the first clock that ran out: the earlier in the chain, the closer to the cause.
func (c *clocks) check(s *Stats, now time.Time) error {
	playing := now.Sub(c.start)
	since := func(moment *atomic.Int64) time.Duration {
		if age, ok := s.age(moment, now); ok {
			return min(age, playing)
		}
		return playing
	}
	if c.none != nil && since(&s.lastRTP) == playing && since(&s.lastByte) > c.to.UDP {
		return c.none
	}
	if bye := since(&s.lastBye); bye < playing && bye > byePatience && since(&s.lastRTP) >= bye {
		return errBye
	}
	if since(&s.lastByte) > c.to.Silent {
		return errSilent
	}
	if since(&s.lastRTP) > c.to.RTP {
		return errNoRTP
	}
	if c.video {
		key, begun := s.age(&s.lastKey, now)
		connected, ok := s.age(&s.connected, now)
		begun = begun && (!ok || key <= connected) // the first may have come before the clocks began to run
		return c.pictures(since(&s.lastFrame), since(&s.lastWhole), min(key, max(playing, connected)), begun, playing)
	}
	return nil
}
