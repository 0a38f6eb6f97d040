package relay_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
)

var (
	sps = []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x06, 0xd0, 0xa1, 0x35}
	pps = []byte{0x68, 0xce, 0x3c, 0x80}
)

// camera publishes made-up H.264 with known NAL units.
type camera struct {
	stream *stream.Stream
	desc   *media.Description
	size   int // bytes of a slice
	gop    int
	inBand bool // repeat the parameter sets before each key frame
	voice  byte // content of a sound packet with each picture, 0 for none

	mu    sync.Mutex
	epoch uint32
	shift int64 // added to PTS
	n     int   // units published
	sent  [][]byte
	at    []time.Time
}

func newCamera() *camera {
	return &camera{
		stream: stream.New(stream.Options{}), size: 9000, gop: 25, inBand: true,
		desc: &media.Description{Tracks: []media.Track{
			{Codec: media.H264, ClockRate: 90000, SPS: sps, PPS: pps, Width: 1280, Height: 720, FPS: 25},
		}},
	}
}

// publish publishes the next picture.
func (c *camera) publish() { c.publishAt(time.Now()) }

// publishAt publishes the next picture as if it came then.
func (c *camera) publishAt(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.n%c.gop == 0
	size := c.size
	var nalus [][]byte
	head := byte(0x41)
	if key {
		head, size = 0x65, size*4
		if c.inBand {
			nalus = append(nalus, sps, pps)
		}
	}
	slice := make([]byte, size)
	r := rand.New(rand.NewPCG(uint64(c.n), 1)) //nolint:gosec // test data
	for i := range slice {
		slice[i] = byte(r.Uint32())
	}
	slice[0] = head
	binary.BigEndian.PutUint32(slice[1:], uint32(c.n)) // which picture it is
	nalus = append(nalus, slice)
	c.stream.Publish(&media.AccessUnit{
		Desc: c.desc, Epoch: c.epoch, PTS: int64(c.n)*3600 + c.shift, Wall: now.UTC(), Arrival: now, Key: key, NALUs: nalus,
	})
	if c.voice != 0 {
		c.stream.Publish(&media.AccessUnit{
			Desc: c.desc, Track: 1, PTS: int64(c.n) * 320, Wall: now.UTC(), Arrival: now, NALUs: [][]byte{{c.voice}},
		})
	}
	c.n++
	c.sent, c.at = append(c.sent, slice), append(c.at, now)
}

// run publishes fps pictures a second until ctx ends.
func (c *camera) run(ctx context.Context, fps int) {
	t := time.NewTicker(time.Second / time.Duration(fps))
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.publish()
		case <-ctx.Done():
			return
		}
	}
}

func (c *camera) slice(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 || n >= len(c.sent) {
		return nil
	}
	return c.sent[n]
}

// cameras is a Streams of what the test has.
type cameras struct {
	mu    sync.Mutex
	byID  map[string]*camera
	inUse atomic.Int64
}

func (cs *cameras) Open(_ context.Context, id string, p media.Profile) (*stream.Stream, func(), error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id+"/"+string(p)]
	if c == nil {
		return nil, nil, fmt.Errorf("open %s/%s: %w", id, p, relay.ErrUnknownCamera)
	}
	cs.inUse.Add(1)
	return c.stream, func() { cs.inUse.Add(-1) }, nil
}

func logger(tb testing.TB) *slog.Logger {
	tb.Helper()
	if os.Getenv("SKEIN_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a relay of cams until the test ends.
func start(tb testing.TB, cfg relay.Config, cams map[string]*camera) (*relay.Relay, *cameras) {
	tb.Helper()
	r, cs := prepare(tb, cfg, cams)
	launch(tb, r, cs)
	return r, cs
}

// prepare makes a relay of cams that does not run yet.
func prepare(tb testing.TB, cfg relay.Config, cams map[string]*camera) (*relay.Relay, *cameras) {
	tb.Helper()
	if cfg.UDP == "" {
		cfg.UDP = "127.0.0.1:0"
	}
	cs := &cameras{byID: cams}
	r, err := relay.New(cfg, cs, logger(tb), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	return r, cs
}

// launch runs r until the test ends.
func launch(tb testing.TB, r *relay.Relay, cs *cameras) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			tb.Error(err)
		}
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
		if n := cs.inUse.Load(); n != 0 {
			tb.Errorf("%d streams are still open after Run", n)
		}
	})
	for !relay.Running(r) {
		runtime.Gosched()
	}
}

// everything may be seen by this viewer.
func everything(name string) relay.Viewer {
	return relay.Viewer{Name: name, Key: name, Allow: func(string) bool { return true }}
}

// received is one depacketised NAL unit.
type received struct {
	nalu []byte
	ts   uint32
	at   time.Time
	last bool // of its picture
}

// player is a plain pion client that receives one picture and perhaps sound.
type player struct {
	t       testing.TB
	pc      *webrtc.PeerConnection
	session relay.Session
	begun   time.Time
	nalus   chan received
	audio   chan *rtp.Packet
	raw     atomic.Uint64 // packets
	gaps    atomic.Uint64 // sequence numbers never seen in order
	drop    atomic.Pointer[func() bool]
	nack    bool
	asked   map[uint16]time.Time // owned by read
	ext     atomic.Uint32        // packets with the playout-delay extension
	deaf    atomic.Bool          // drop everything
	mute    atomic.Bool          // send nothing
	link    *narrow              // nil: straight to the relay
	giveUp  time.Duration        // how long it waits for packets to be sent again; 0: for good
	gaveUp  atomic.Bool          // it did, and asked for a key frame

	// of benchmarks
	light     bool // media is counted at the socket and goes no further
	measure   func(first, latency time.Duration)
	measuring *atomic.Bool
	counted   atomic.Uint64
	lost      atomic.Uint64
	seq       uint16
	seen      bool
	shown     bool
	published int64
}

// mostMissing packets are waited for by a player that gives up, as by browsers.
const mostMissing = 1000

// lossyConn drops incoming packets that look like media when told so.
type lossyConn struct {
	net.PacketConn
	p *player
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, a, err := c.PacketConn.ReadFrom(b)
		if err == nil && c.p.deaf.Load() {
			continue
		}
		if c.p.measuring != nil && err == nil && n > 12 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f > 95) {
			c.p.count(b)
			if c.p.light {
				continue
			}
		}
		if drop := c.p.drop.Load(); err == nil && n > 100 && b[0] >= 128 && b[0] < 192 && drop != nil && (*drop)() {
			continue
		}
		return n, a, err
	}
}

// WriteTo drops what a player that was killed would not have sent.
func (c *lossyConn) WriteTo(b []byte, a net.Addr) (int, error) {
	if c.p.mute.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, a)
}

// kill ends the player as its computer's power would.
func (p *player) kill() {
	p.deaf.Store(true)
	p.mute.Store(true)
}

type playerOptions struct {
	codecs []webrtc.RTPCodecParameters
	audio  bool
	opus   bool // beside audio
	nack   bool
	setup  func(*webrtc.SettingEngine)
}

var h264Codec = webrtc.RTPCodecParameters{
	RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
	},
	PayloadType: 102,
}

var opusCodec = webrtc.RTPCodecParameters{
	RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
	PayloadType:        111,
}

// newPlayer makes a client with an offer; play connects it.
func newPlayer(tb testing.TB, o playerOptions) *player {
	tb.Helper()
	p := &player{t: tb, nalus: make(chan received, 1<<14), audio: make(chan *rtp.Packet, 1024), nack: o.nack, asked: map[uint16]time.Time{}}
	m := &webrtc.MediaEngine{}
	if o.codecs == nil {
		o.codecs = []webrtc.RTPCodecParameters{h264Codec}
	}
	for _, c := range o.codecs {
		must(tb, m.RegisterCodec(c, webrtc.RTPCodecTypeVideo))
	}
	if o.audio {
		must(tb, m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}, PayloadType: 8,
		}, webrtc.RTPCodecTypeAudio))
		must(tb, m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}, PayloadType: 0,
		}, webrtc.RTPCodecTypeAudio))
	}
	if o.opus {
		must(tb, m.RegisterCodec(opusCodec, webrtc.RTPCodecTypeAudio))
	}
	must(tb, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{
		URI: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
	}, webrtc.RTPCodecTypeVideo))
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(tb, err)
	_ = conn.SetReadBuffer(4 << 20)
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: &lossyConn{conn, p}, Logger: quiet.NewLogger("test")})
	var se webrtc.SettingEngine
	se.LoggerFactory = quiet
	se.SetICEUDPMux(mux)
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetSRTPReplayProtectionWindow(1024) // as browsers; pion's 64 refuses most packets sent again
	if o.setup != nil {
		o.setup(&se)
	}
	p.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(se),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})).NewPeerConnection(webrtc.Configuration{})
	must(tb, err)
	tb.Cleanup(func() {
		_ = p.pc.GracefulClose()
		_ = mux.Close()
	})
	recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	_, err = p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, recvonly)
	must(tb, err)
	if o.audio {
		_, err = p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, recvonly)
		must(tb, err)
	}
	p.pc.OnTrack(func(track *webrtc.TrackRemote, r *webrtc.RTPReceiver) { p.read(track) })
	return p
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// offer returns the client's offer with candidates.
func (p *player) offer() string {
	p.t.Helper()
	o, err := p.pc.CreateOffer(nil)
	must(p.t, err)
	done := webrtc.GatheringCompletePromise(p.pc)
	must(p.t, p.pc.SetLocalDescription(o))
	<-done
	return p.pc.LocalDescription().SDP
}

// play connects the player to a camera.
func (p *player) play(r *relay.Relay, camera string) *player {
	p.t.Helper()
	offer := p.offer()
	p.begun = time.Now()
	s, err := r.Answer(p.t.Context(), relay.Offer{
		SDP: offer, Camera: camera, Profile: media.Main, Viewer: everything("tester"),
	})
	must(p.t, err)
	p.session = s
	if p.link != nil {
		s.SDP = p.link.through(s.SDP)
	}
	must(p.t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}))
	return p
}

// read depacketises a track in sequence order; missing packets are asked for again if the player does NACK.
func (p *player) read(track *webrtc.TrackRemote) {
	var d depacketizer
	var next uint16
	started := false
	held := map[uint16]*rtp.Packet{}
	whole, broken := time.Now(), false
	for {
		pkt, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		p.raw.Add(1)
		if pkt.Extension {
			p.ext.Add(1)
		}
		if p.measure != nil {
			p.timing(pkt.Payload, pkt.Marker)
			continue
		}
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			p.audio <- pkt
			continue
		}
		if !started {
			started, next = true, pkt.SequenceNumber
		}
		if int16(pkt.SequenceNumber-next) < 0 {
			continue
		}
		held[pkt.SequenceNumber] = pkt
		if held[next] != nil {
			whole = time.Now()
		} else {
			p.missing(uint32(track.SSRC()), next, pkt.SequenceNumber, held)
		}
		// As browsers, which wait neither for long nor for many: go on from the next key frame.
		if p.giveUp > 0 && (time.Since(whole) > p.giveUp || pkt.SequenceNumber-next > mostMissing) {
			p.gaveUp.Store(true)
			_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
			whole, broken, d, next = time.Now(), true, depacketizer{}, pkt.SequenceNumber
			held = map[uint16]*rtp.Packet{next: pkt}
		}
		if !p.nack && held[next] == nil {
			p.gaps.Add(uint64(pkt.SequenceNumber - next))
			next = pkt.SequenceNumber
			d = depacketizer{}
		}
		for ; held[next] != nil; next++ {
			if broken = broken && !beginsKey(held[next].Payload); broken {
				delete(held, next)
				continue
			}
			nalus := d.push(held[next].Payload)
			for i, n := range nalus {
				p.nalus <- received{n, held[next].Timestamp, time.Now(), held[next].Marker && i == len(nalus)-1}
			}
			delete(held, next)
		}
	}
}

// beginsKey tells whether a key frame begins with this packet: with a sequence parameter set.
func beginsKey(b []byte) bool {
	return len(b) > 3 && (b[0]&0x1f == 7 || b[0]&0x1f == 24 && b[3]&0x1f == 7)
}

// missing asks for what is missing, each packet again only after a round trip, as browsers do.
func (p *player) missing(ssrc uint32, from, to uint16, held map[uint16]*rtp.Packet) {
	if !p.nack {
		return
	}
	now := time.Now()
	var seqs []uint16
	for s := from; s != to; s++ {
		if held[s] == nil && now.Sub(p.asked[s]) > 20*time.Millisecond {
			seqs = append(seqs, s)
			p.asked[s] = now
		}
	}
	if len(seqs) == 0 {
		return
	}
	_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
	}})
}

// drain forgets what was received so far.
func (p *player) drain() {
	for {
		select {
		case <-p.nalus:
		default:
			return
		}
	}
}

// slice waits for the next slice and returns its picture's number and itself.
func (p *player) slice() (int, received) {
	p.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case r := <-p.nalus:
			if t := r.nalu[0] & 0x1f; t == 1 || t == 5 {
				return int(binary.BigEndian.Uint32(r.nalu[1:])), r
			}
		case <-timeout:
			p.t.Fatalf("no picture within 10 s (%d packets, state %v)", p.raw.Load(), p.pc.ConnectionState())
		}
	}
}

// follow takes n slices and checks that they are the camera's, in order and without a hole.
func (p *player) follow(c *camera, n int) (first int) {
	p.t.Helper()
	first = -1
	last := -1
	for range n {
		i, r := p.slice()
		if first < 0 {
			first = i
			if r.nalu[0]&0x1f != 5 {
				p.t.Fatalf("first picture %d is no IDR", i)
			}
		} else if i != last+1 {
			p.t.Fatalf("picture %d follows %d", i, last)
		}
		if !bytes.Equal(r.nalu, c.slice(i)) {
			p.t.Fatalf("picture %d differs from what was published", i)
		}
		last = i
	}
	return first
}

// depacketizer undoes RFC 6184 for packets in order.
type depacketizer struct{ fu []byte }

func (d *depacketizer) push(b []byte) (out [][]byte) {
	if len(b) == 0 {
		return nil
	}
	switch b[0] & 0x1f {
	case 24:
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			out = append(out, b[2:2+n])
			b = b[2+n:]
		}
	case 28:
		if b[1]&0x80 != 0 {
			d.fu = []byte{b[0]&0xe0 | b[1]&0x1f}
		}
		if d.fu == nil {
			return nil
		}
		d.fu = append(d.fu, b[2:]...)
		if b[1]&0x40 != 0 {
			out, d.fu = [][]byte{d.fu}, nil
		}
	default:
		out = [][]byte{b}
	}
	return out
}
