package rtsp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"

	"skein/edge/media"
	"skein/edge/stream"
)

const (
	// sendQueue holds the packets of a history and of a slow moment; a power of two.
	sendQueue = 16384
	// reportEvery is how often a sender report renews the mapping of RTP time to wall time.
	reportEvery = 2 * time.Second
	// reportError is how wrong that mapping may become before it is renewed at once.
	reportError = 250 * time.Microsecond
)

// Publish announces s at cfg.URL and records it there, the current group of pictures first, until ctx ends, the stream
// closes, or something fails. It announces anew when the set of tracks changes; new parameter sets go in-band. The wall
// time of the units goes along in RTCP sender reports, one before the first packet of each epoch.
// When it returns, nothing it started runs any more. The error is ctx's, the stream's, or an *Error.
func Publish(ctx context.Context, cfg PublishConfig, s *stream.Stream) error {
	t, err := parseURL(cfg.URL)
	if err != nil {
		return &Error{Camera: cfg.Camera, Op: "url", Reason: classify(err), Err: err}
	}
	if cfg.Connect <= 0 {
		cfg.Connect = 10 * time.Second
	}
	r := s.Subscribe(stream.ReaderOptions{Name: "publish " + cfg.Camera, History: true, Still: true})
	defer r.Close()
	u, err := r.Next(ctx)
	for err == nil {
		p := &publisher{cfg: cfg, target: t, log: orDiscard(cfg.Logger)}
		u, err = p.session(ctx, r, u)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var step *stepError
	if errors.As(err, &step) {
		return failure(cfg.Camera, t, err)
	}
	return err // the stream ended
}

// publisher is one announced session.
type publisher struct {
	cfg    PublishConfig
	target target
	log    *slog.Logger

	client *gortsplib.Client
	tracks []*senderTrack
	desc   *media.Description

	skipping bool // the link was too slow: wait for the next key frame
	cut      bool // went on with the newest key frame: what leads its group cannot be decoded
	dropped  int
}

// senderTrack adds to a packetizer what its sender reports need.
type senderTrack struct {
	*packetizer
	ssrc         uint32
	sent, octets uint32
	reported     time.Time // wall time of the last report
	reportedTS   uint32    // and its timestamp
}

// session publishes from u on. It returns the unit that needs a new announcement, or the error that ended it.
func (p *publisher) session(ctx context.Context, r *stream.Reader, u *media.AccessUnit) (*media.AccessUnit, error) {
	p.desc = u.Desc
	if err := p.announce(ctx); err != nil {
		return nil, err
	}
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := p.client.Wait()
		cancel()
		ended <- err
	}()
	next, err := p.send(sctx, r, u)
	lost := sctx.Err() != nil && ctx.Err() == nil // the connection ended by itself
	p.client.Close()
	if cause := <-ended; lost {
		return nil, step("send", cause)
	}
	return next, err
}

// announce connects and goes as far as RECORD.
func (p *publisher) announce(ctx context.Context) error {
	desc, tracks, err := sessionOf(p.desc)
	if err != nil {
		return step("announce", err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Connect)
	defer cancel()
	proto := gortsplib.ProtocolTCP
	c := &gortsplib.Client{
		Protocol: &proto, UserAgent: userAgent, WriteQueueSize: sendQueue,
		ReadTimeout: p.cfg.Connect, WriteTimeout: 2 * writeTimeout, DisableRTCPSenderReports: true,
		DialContext: func(dctx context.Context, network, addr string) (net.Conn, error) {
			return p.dial(dctx, network, addr, false)
		},
		DialTLSContext: func(dctx context.Context, network, addr string) (net.Conn, error) {
			return p.dial(dctx, network, addr, true)
		},
		OnTransportSwitch: func(error) {}, OnPacketsLost: func(uint64) {}, OnDecodeError: func(error) {},
	}
	c.Scheme, c.Host = p.target.url.Scheme, p.target.addr
	if err := c.Start(); err != nil {
		return step("announce", err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	_, err = c.Announce(p.target.url, desc)
	if err == nil {
		if err = c.SetupAll(p.target.url, desc.Medias); err == nil {
			_, err = c.Record()
		}
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errNoAnswer
		}
		return step("announce", err)
	}
	p.client = c
	stats := c.Stats()
	for _, t := range tracks {
		ssrc := stats.Session.Medias[t.medi].Formats[t.forma].LocalSSRC
		p.tracks = append(p.tracks, &senderTrack{packetizer: t, ssrc: ssrc})
	}
	p.log.Info("RTSP publication started", "camera", p.cfg.Camera, "to", p.target.redacted(), "tracks", len(tracks))
	return nil
}

func (p *publisher) dial(ctx context.Context, network, addr string, secure bool) (net.Conn, error) {
	dial := p.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err == nil && secure {
		conn, err = p.cfg.TLS.handshake(ctx, conn, p.target.host)
	}
	if err != nil {
		return nil, &stepError{"dial", err}
	}
	return conn, nil
}

// send writes units until one needs a new announcement.
func (p *publisher) send(ctx context.Context, r *stream.Reader, u *media.AccessUnit) (*media.AccessUnit, error) {
	for {
		if !sameLayout(p.desc, u.Desc) {
			return u, nil
		}
		p.desc = u.Desc
		if err := p.unit(u); err != nil {
			return nil, err
		}
		var err error
		if u, err = r.Next(ctx); err != nil {
			return nil, err
		}
	}
}

// unit writes one unit, or drops it while the link is behind.
func (p *publisher) unit(u *media.AccessUnit) error {
	video := p.desc.Video() >= 0
	if p.skipping {
		if video && !u.Key {
			p.dropped++
			return nil
		}
		p.skipping, p.cut = false, true
		p.log.Warn("RTSP publication was behind", "camera", p.cfg.Camera, "dropped_units", p.dropped)
		p.dropped = 0
	} else if u.Key {
		p.cut = false
	}
	if p.cut && u.Leading {
		p.dropped++
		return nil
	}
	t := p.tracks[u.Track]
	pkts, ts, epoch, err := t.packetizer.packets(u)
	if err != nil {
		p.log.Debug("unit not sent", "camera", p.cfg.Camera, "err", err)
		return nil
	}
	if epoch || t.needsReport(u.Wall, ts) {
		t.reported, t.reportedTS = u.Wall, ts
		if err := p.client.WritePacketRTCP(t.medi, &rtcp.SenderReport{
			SSRC: t.ssrc, NTPTime: ntp.Encode(u.Wall), RTPTime: ts, PacketCount: t.sent, OctetCount: t.octets,
		}); err != nil {
			return p.behind(err)
		}
	}
	for _, pkt := range pkts {
		if err := p.client.WritePacketRTPWithNTP(t.medi, pkt, u.Wall); err != nil {
			return p.behind(err)
		}
		t.sent++
		t.octets += uint32(len(pkt.Payload))
	}
	return nil
}

// needsReport reports whether a receiver that extrapolates the last report would miss the wall time by too much: the
// edge corrects its mapping all the time, most at the start of an epoch.
func (t *senderTrack) needsReport(wall time.Time, ts uint32) bool {
	age := wall.Sub(t.reported)
	ticks := int64(int32(ts - t.reportedTS))
	guess := time.Duration(ticks) * time.Second / time.Duration(t.track.ClockRate)
	return age > reportEvery || age < -reportEvery || (age-guess).Abs() > reportError
}

// behind turns a full queue into skipping; anything else ends the session.
func (p *publisher) behind(err error) error {
	var full liberrors.ErrClientWriteQueueFull
	if errors.As(err, &full) {
		p.skipping, p.dropped = true, p.dropped+1
		return nil
	}
	return step("send", err)
}
