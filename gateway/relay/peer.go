package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"

	"skein/edge/media"
)

const (
	mimeVideo = "video/"
	mimeAudio = "audio/"
)

// transport is what all peer connections share while the relay runs.
type transport struct {
	udp  *ice.UDPMuxDefault
	tcp  *tcpTransport // nil without ICE-TCP
	cert webrtc.Certificate
	logs logFactory

	mu     sync.Mutex // guards the fields below
	net    *stdnet.Net
	netAge time.Time
}

// interfacesFor is how long a reading of the machine's network interfaces is good.
const interfacesFor = 10 * time.Second

// interfaces returns the machine's interfaces. pion would read them for every session.
func (t *transport) interfaces() (*stdnet.Net, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.net != nil && time.Since(t.netAge) < interfacesFor {
		return t.net, nil
	}
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("read network interfaces: %w", err)
	}
	t.net, t.netAge = n, time.Now()
	return n, nil
}

func newTransport(r *Relay) (*transport, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make DTLS key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}
	t := &transport{cert: *cert, logs: logFactory{r.log}}
	t.udp = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: r.conn, Logger: t.logs.NewLogger("mux")})
	if r.tcp != nil {
		t.tcp = newTCPTransport(r.tcp, tcpOfOne*r.cfg.MaxSessions, t.logs.NewLogger("tcpmux"))
	}
	return t, nil
}

func (t *transport) close() {
	_ = t.udp.Close()
	if t.tcp != nil {
		t.tcp.close()
	}
}

// settings returns pion's settings for one session.
func (r *Relay) settings(t *transport, s *session) (webrtc.SettingEngine, error) {
	var se webrtc.SettingEngine
	se.LoggerFactory = t.logs
	se.SetICEUDPMux(t.udp)
	local, _ := r.conn.LocalAddr().(*net.UDPAddr)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	if local != nil && local.IP.To4() == nil {
		networks = append(networks, webrtc.NetworkTypeUDP6)
	}
	if t.tcp != nil {
		se.SetICETCPMux(t.tcp.mux)
		networks = append(networks, webrtc.NetworkTypeTCP4)
	}
	se.SetNetworkTypes(networks)
	interfaces, err := t.interfaces()
	if err != nil {
		return se, err
	}
	se.SetNet(interfaces)
	se.SetIncludeLoopbackCandidate(true)
	se.DisableActiveTCP(true)
	// Viewers reach us; their .local names need not be resolved.
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetICETimeouts(r.cfg.SilentTimeout/2, r.cfg.SilentTimeout/2, min(keepalive, r.cfg.SilentTimeout/4))
	if len(r.cfg.PublicIPs) > 0 {
		if err := se.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: r.cfg.PublicIPs, AsCandidateType: webrtc.ICECandidateTypeHost,
			Mode: webrtc.ICEAddressRewriteReplace,
		}); err != nil {
			return se, fmt.Errorf("announce webrtc.public_ips: %w", err)
		}
	}
	if err := se.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return se, err
	}
	se.SetDTLSInsecureSkipHelloVerify(true) // ICE has proved the address already
	se.DisableMediaEngineCopy(true)
	s.keys.install(&se)
	se.SetICEBindingRequestHandler(s.checked)
	return se, nil
}

// codecs registers one payload type per codec we can send of those the client offered, for H.264 the best for sps. trim
// leaves these of the offer.
func (q request) codecs(sps []byte, trim *trimmer) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	trim.payloads = []string{}
	register := func(sections []section, kind webrtc.RTPCodecType, mime string, want ...media.Codec) error {
		if len(sections) == 0 {
			return nil
		}
		for _, w := range want {
			c, ok := sections[0].pick(w, sps)
			if !ok {
				continue
			}
			if err := m.RegisterCodec(parameters(c, mime), kind); err != nil {
				return fmt.Errorf("register codec %s: %w", w, err)
			}
			trim.payloads = append(trim.payloads, strconv.Itoa(int(c.payload)))
		}
		return nil
	}
	if err := register(q.video, webrtc.RTPCodecTypeVideo, mimeVideo, media.H264, media.H265); err != nil {
		return nil, err
	}
	if err := register(q.audio, webrtc.RTPCodecTypeAudio, mimeAudio, media.G711A, media.G711U, media.Opus); err != nil {
		return nil, err
	}
	for _, uri := range []string{playoutDelayURI, transportWideURI} {
		if len(q.video) == 0 || !slices.Contains(q.video[0].extensions, uri) {
			continue
		}
		ext := webrtc.RTPHeaderExtensionCapability{URI: uri}
		if err := m.RegisterHeaderExtension(ext, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, fmt.Errorf("register %s: %w", uri, err)
		}
	}
	return m, nil
}

// orderCodecs puts the source's codecs first in every section of the answer (RFC 3264 section 6.1: the order tells what
// the answerer prefers). pion would keep the order of the offer, and players that expect one codec take the first.
func (s *session) orderCodecs() error {
	for _, t := range s.pc.GetTransceivers() {
		sender := t.Sender()
		if sender == nil {
			continue
		}
		if _, ours := sender.Track().(*track); !ours {
			continue
		}
		codecs := sender.GetParameters().Codecs
		slices.SortStableFunc(codecs, func(a, b webrtc.RTPCodecParameters) int {
			return s.preference(b) - s.preference(a)
		})
		if err := t.SetCodecPreferences(codecs); err != nil {
			return fmt.Errorf("order the codecs of the answer: %w", err)
		}
	}
	return nil
}

// preference is 1 for a codec that the source sends, 0 for any other.
func (s *session) preference(p webrtc.RTPCodecParameters) int {
	_, name, _ := strings.Cut(p.MimeType, "/")
	for _, c := range s.prefer {
		if strings.EqualFold(name, c.String()) {
			return 1
		}
	}
	return 0
}

// feedbackKinds are the RTCP feedback messages we act on.
var feedbackKinds = []string{"nack", "nack pli", "ccm fir", "transport-cc"} //nolint:gochecknoglobals // constant

func parameters(c codecOffer, mime string) webrtc.RTPCodecParameters {
	p := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mime + c.name, ClockRate: uint32(c.rate), Channels: uint16(c.channels), SDPFmtpLine: c.fmtp,
		},
		PayloadType: webrtc.PayloadType(c.payload),
	}
	for _, f := range c.feedback {
		if mime == mimeVideo && slices.Contains(feedbackKinds, f) {
			kind, param, _ := strings.Cut(f, " ")
			p.RTCPFeedback = append(p.RTCPFeedback, webrtc.RTCPFeedback{Type: kind, Parameter: param})
		}
	}
	return p
}

// track makes a slot a pion track. Media does not pass through it: it only learns what was negotiated.
type track struct {
	slot   *slot
	id     string
	stream string // media stream; pictures of one stream are synchronised with its sound
}

func (t *track) ID() string       { return t.id }
func (t *track) RID() string      { return "" }
func (t *track) StreamID() string { return t.stream }

func (t *track) Kind() webrtc.RTPCodecType {
	if t.slot.video {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// Bind takes SSRC, payload types and extension ids.
func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.slot.ssrc = uint32(c.SSRC())
	for _, p := range c.CodecParameters() {
		_, name, _ := strings.Cut(p.MimeType, "/")
		for _, codec := range []media.Codec{media.H264, media.H265, media.G711A, media.G711U, media.Opus} {
			if strings.EqualFold(name, codec.String()) && t.slot.payload[codec] == 0 {
				t.slot.payload[codec] = uint8(p.PayloadType) | payloadKnown
			}
		}
	}
	t.slot.extend(c.HeaderExtensions())
	if len(c.CodecParameters()) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	return c.CodecParameters()[0], nil
}

// extend takes the ids of the header extensions the viewer knows. Sound goes without.
func (s *slot) extend(known []webrtc.RTPHeaderExtensionParameter) {
	id := map[string]uint8{}
	for _, e := range known {
		if e.ID > 0 && e.ID < 15 && s.video {
			id[e.URI] = uint8(e.ID)
		}
	}
	s.ext = makeExtensions(id[playoutDelayURI], id[transportWideURI])
	if s.ext.wideAt == 0 {
		return
	}
	s.wide = make([]uint16, wideKept)
	if s.session.band == nil {
		s.session.band = &bandwidth{flight: newFlight(len(s.session.slots))}
	}
}

// Unbind does nothing: the session ends its slots.
func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }

// newPeer returns a connection without interceptors: reports, retransmission and pacing are ours.
func (r *Relay) newPeer(t *transport, m *webrtc.MediaEngine, s *session) (*webrtc.PeerConnection, error) {
	se, err := r.settings(t, s)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(se),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{t.cert}})
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	return pc, nil
}

// follow keeps the session's path at the selected candidate pair.
func (s *session) follow(t *transport) {
	s.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		if p := t.pathOf(pair, s.relay.outlet); p != nil {
			s.path.Store(p)
			s.log.Debug("media path selected", "remote", p.String())
		}
	})
}

func (t *transport) pathOf(pair *webrtc.ICECandidatePair, out *outlet) *path {
	if pair == nil || pair.Remote == nil {
		return nil
	}
	ip, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return nil
	}
	addr := netip.AddrPortFrom(ip.Unmap(), pair.Remote.Port)
	if pair.Remote.Protocol == webrtc.ICEProtocolTCP {
		if conn := t.tcp.find(addr); conn != nil {
			return &path{stream: conn, addr: addr}
		}
		return nil
	}
	return out.path(addr)
}

func (p *path) String() string {
	if p.stream != nil {
		return "tcp " + p.addr.String()
	}
	return "udp " + p.addr.String()
}

// logFactory gives pion loggers that write to slog: its warnings are our debug, for they are mostly about the network.
type logFactory struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f logFactory) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{f.log.With("pion", scope)}
}

type pionLogger struct{ log *slog.Logger }

func (l pionLogger) put(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (pionLogger) Trace(string)               {}
func (pionLogger) Tracef(string, ...any)      {}
func (pionLogger) Debug(string)               {}
func (pionLogger) Debugf(string, ...any)      {}
func (l pionLogger) Info(m string)            { l.put("%s", m) }
func (l pionLogger) Infof(m string, a ...any) { l.put(m, a...) }
func (l pionLogger) Warn(m string)            { l.put("%s", m) }
func (l pionLogger) Warnf(m string, a ...any) { l.put(m, a...) }
func (l pionLogger) Error(m string)           { l.put("%s", m) }

func (l pionLogger) Errorf(m string, a ...any) { l.put(m, a...) }
