package rtsp

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	writeTimeout = 5 * time.Second
	// never disables the library's own timeouts, which cannot tell why a camera is silent: ours do.
	never = 200 * 365 * 24 * time.Hour
	// udpBuffer holds a key frame that arrives in one burst; the kernel may grant less.
	udpBuffer = 2 << 20
	userAgent = "skein"
)

// session is one RTSP client connection.
type session struct {
	p       *puller
	proto   gortsplib.Protocol
	client  *gortsplib.Client
	framer  *framer
	in      *ingest
	chosen  []*selected
	skipped []string
	routes  routes
	packets datagrams

	ctx      context.Context //nolint:containedctx // the library calls back without one
	stop     context.CancelFunc
	expired  atomic.Bool
	shaking  atomic.Bool // in the TLS handshake
	deadline *time.Timer // of everything up to the answer to PLAY
	unhook   func() bool
}

// open starts a client; play does the talking. ctx ends both.
func (p *puller) open(ctx context.Context, proto gortsplib.Protocol) (*session, error) {
	s := &session{p: p, proto: proto, packets: datagrams{stats: p.stats}}
	s.ctx, s.stop = context.WithCancel(ctx)
	scheme := "rtsp"
	if p.target.secure {
		scheme = "rtsps"
	}
	s.client = &gortsplib.Client{
		Scheme: scheme, Host: p.target.addr, Protocol: &proto, UserAgent: userAgent,
		ReadTimeout: never, InitialUDPReadTimeout: never, WriteTimeout: writeTimeout,
		AnyPortEnable:     true, // cameras behind NAT; the SSRC filter keeps strangers out
		DialContext:       s.dial,
		DialTLSContext:    s.dialTLS,
		ListenPacket:      s.listenUDP,
		OnRequest:         s.onRequest,
		OnResponse:        s.onResponse,
		OnTransportSwitch: func(error) {},
		OnPacketsLost:     func(uint64) {},
		OnDecodeError:     func(error) { p.stats.malformed.Add(1) },
	}
	if err := s.client.Start(); err != nil {
		s.stop()
		return nil, step("dial", err)
	}
	s.unhook = context.AfterFunc(s.ctx, s.client.Close)
	s.deadline = time.AfterFunc(p.timeouts.Connect, func() {
		s.expired.Store(true)
		s.client.Close()
	})
	return s, nil
}

// close ends the session and waits for all its goroutines.
func (s *session) close() {
	if s.in != nil {
		s.in.close()
	}
	s.unhook()
	s.deadline.Stop()
	s.client.Close()
	s.packets.close()
	s.stop()
}

// fail attaches the step, and tells an expired deadline from what it caused.
func (s *session) fail(op string, err error) error {
	if err != nil && s.expired.Load() {
		err = errNoAnswer
		if s.shaking.Load() {
			err = &handshakeError{errNoAnswer}
		}
	}
	return step(op, err)
}

func (s *session) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := s.dialPlain(ctx, network, addr)
	if err != nil {
		return nil, &stepError{"dial", err}
	}
	s.framer = newFramer(conn, s.p.stats)
	return s.framer, nil
}

func (s *session) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := s.dialPlain(ctx, network, addr)
	if err != nil {
		return nil, &stepError{"dial", err}
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = s.p.target.host
	}
	s.shaking.Store(true)
	conn, err = s.p.cfg.TLS.handshake(ctx, conn, host)
	if err != nil {
		return nil, &stepError{"dial", err}
	}
	s.shaking.Store(false)
	s.framer = newFramer(conn, s.p.stats)
	return s.framer, nil
}

func (s *session) dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.p.timeouts.Dial)
	defer cancel()
	if s.p.cfg.Dial != nil {
		return s.p.cfg.Dial(ctx, network, addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func (s *session) listenUDP(network, address string) (net.PacketConn, error) {
	pc, err := (&net.ListenConfig{}).ListenPacket(s.ctx, network, address)
	if err != nil {
		return nil, err
	}
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		_ = pc.Close()
		return nil, fmt.Errorf("listen %s: not a UDP socket", address)
	}
	_ = udp.SetReadBuffer(udpBuffer)
	local, ok := udp.LocalAddr().(*net.UDPAddr)
	if !ok {
		_ = pc.Close()
		return nil, fmt.Errorf("listen %s: no UDP address", address)
	}
	return &udpSocket{udp, &s.packets, local.Port}, nil
}

// onRequest opens the gate for interleaved frames as PLAY leaves, and notes the ports that SETUP offers.
func (s *session) onRequest(r *base.Request) {
	var th headers.Transport
	if r.Method == base.Setup && th.Unmarshal(r.Header["Transport"]) == nil {
		s.packets.ask(th)
	}
	if r.Method == base.Play && s.framer != nil {
		s.framer.route(&s.routes)
	}
}

// onResponse takes unreadable parts out of an SDP before the library parses it.
func (s *session) onResponse(r *base.Response) {
	if len(r.Body) > 0 {
		r.Body = sanitizeSDP(r.Body)
	}
}

// play goes from DESCRIBE to the answer to PLAY.
func (s *session) play(sink Sink) error {
	desc, _, err := s.client.Describe(s.p.target.url)
	if err != nil {
		return s.fail("describe", err)
	}
	if s.chosen, s.skipped = choose(desc); len(s.chosen) == 0 {
		return step("describe", fmt.Errorf("%w: the camera offers %v", errUnsupported, s.skipped))
	}
	s.in = newIngest(s.chosen, sink, s.p.stats, ingestOptions{epochs: s.p.epochs, ignoreSSRC: s.p.cfg.IgnoreSSRC})
	for i, c := range s.chosen {
		res, err := s.client.Setup(desc.BaseURL, c.medi, 0, 0)
		if err != nil {
			return s.fail("setup", err)
		}
		if err := s.wire(s.in.tracks[i], c, res); err != nil {
			return step("setup", err)
		}
	}
	s.p.stats.begin(label(s.proto), time.Now()) // before the first picture, which may come before the answer is read
	if _, err := s.client.Play(nil); err != nil {
		return s.fail("play", err)
	}
	if !s.deadline.Stop() {
		return step("play", errNoAnswer)
	}
	return nil
}

// wire leads the packets of one media to its track.
func (s *session) wire(t *track, c *selected, res *base.Response) error {
	var th headers.Transport
	direct := th.Unmarshal(res.Header["Transport"]) == nil && th.Profile == headers.TransportProfileAVP
	if th.SSRC != nil {
		t.announce(*th.SSRC)
	}
	switch {
	case !direct: // SRTP: the library holds the keys
	case s.proto == gortsplib.ProtocolUDP:
		t.unordered = true
		s.packets.route(s.sender(th), t)
		return nil
	case s.proto == gortsplib.ProtocolUDPMulticast:
		t.unordered = true
		return s.packets.join(s.framer, s.sender(th), th, t)
	case th.InterleavedIDs != nil && th.InterleavedIDs[0] >= 0 && th.InterleavedIDs[1] < len(s.routes):
		s.routes[th.InterleavedIDs[0]] = t.rtp
		s.routes[th.InterleavedIDs[1]] = t.rtcp
		return nil
	}
	if s.proto == gortsplib.ProtocolTCP {
		s.framer.passThrough()
	}
	s.client.OnPacketRTP(c.medi, c.forma, pionRTP(t))
	s.client.OnPacketRTCP(c.medi, pionRTCP(t))
	return nil
}

// sender returns the address from which the camera's datagrams come: the server's, if it names no other.
func (s *session) sender(th headers.Transport) net.IP {
	if th.Source2 != nil {
		if ip := net.ParseIP(*th.Source2); ip != nil {
			return ip
		}
	}
	if a, ok := s.framer.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP
	}
	return nil
}

func pionRTP(t *track) func(*rtp.Packet) {
	return func(p *rtp.Packet) {
		t.packet(fromPion(p), time.Now())
	}
}

func pionRTCP(t *track) func(rtcp.Packet) {
	return func(p rtcp.Packet) {
		if sr, ok := p.(*rtcp.SenderReport); ok && sr.NTPTime>>32 != 0 {
			t.report(senderReport{ssrc: sr.SSRC, ntp: decodeNTP(sr.NTPTime), rtp: sr.RTPTime})
		}
	}
}
