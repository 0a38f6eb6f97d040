package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	webrtcmedia "github.com/pion/webrtc/v4/pkg/media"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/stream"
	"skein/gateway/relay"
)

// desk is a Publishers: one camera, "phone", one publication at a time.
type desk struct {
	stream    *stream.Stream
	epochs    *media.Epochs
	withdrawn chan struct{}
	mu        sync.Mutex
	taken     bool
	ended     []error
}

func newDesk() *desk {
	return &desk{stream: stream.New(stream.Options{}), epochs: media.NewEpochs(0), withdrawn: make(chan struct{})}
}

func (d *desk) Accept(camera string, p media.Profile, tracks []relay.PublishedTrack) (relay.Receiver, error) {
	if camera != "phone" || p != media.Main {
		return nil, fmt.Errorf("accept %s: %w", camera, relay.ErrUnknownCamera)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.taken {
		return nil, fmt.Errorf("accept %s: %w", camera, relay.ErrBusy)
	}
	d.taken = true
	var list []rtsp.ReceiverTrack
	for _, t := range tracks {
		list = append(list, rtsp.ReceiverTrack{Codec: t.Codec, Payload: t.Payload, Channels: t.Channels})
	}
	return rtsp.NewReceiver(list, rtsp.Publication{
		Sink: d.stream, Epochs: d.epochs, Withdrawn: d.withdrawn, Done: func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.taken, d.ended = false, append(d.ended, err)
		},
	}, "webrtc")
}

func (d *desk) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

// leaky loses some of what it sends, each packet at most once: the relay waits for what is sent again, not for what is
// lost again.
type leaky struct {
	net.PacketConn
	lose func() bool
	mu   sync.Mutex       // guards lost
	lost map[[6]byte]bool // by sequence number and SSRC
}

func (l *leaky) WriteTo(b []byte, a net.Addr) (int, error) {
	if len(b) > 100 && b[0] >= 128 && b[0] < 192 && l.loses(b) {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, a)
}

// loses decides on one RTP packet.
func (l *leaky) loses(b []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var k [6]byte
	copy(k[copy(k[:], b[2:4]):], b[8:12])
	if l.lose == nil || l.lost[k] || !l.lose() {
		return false
	}
	l.lost[k] = true
	return true
}

// phone is a pion client that publishes.
type phone struct {
	t            testing.TB
	pc           *webrtc.PeerConnection
	video, audio *webrtc.TrackLocalStaticSample
	session      relay.Session
	up           chan struct{}
	asked        atomic.Int64 // key frames asked of it
}

func newPhone(tb testing.TB, lose func() bool) *phone {
	tb.Helper()
	p := &phone{t: tb, up: make(chan struct{})}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(tb, err)
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: &leaky{PacketConn: conn, lose: lose, lost: map[[6]byte]bool{}}, Logger: quiet.NewLogger("test")})
	var se webrtc.SettingEngine
	se.LoggerFactory = quiet
	se.SetICEUDPMux(mux)
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	p.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	must(tb, err)
	tb.Cleanup(func() {
		_ = p.pc.GracefulClose()
		_ = mux.Close()
	})
	add := func(mime string, rate uint32, channels uint16) *webrtc.TrackLocalStaticSample {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{
			MimeType: mime, ClockRate: rate, Channels: channels,
		}, mime, "phone")
		must(tb, err)
		tr, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		must(tb, err)
		go func() {
			for {
				pkts, _, err := tr.Sender().ReadRTCP()
				if err != nil {
					return
				}
				for _, pkt := range pkts {
					if _, ok := pkt.(*rtcp.PictureLossIndication); ok {
						p.asked.Add(1)
					}
				}
			}
		}()
		return track
	}
	p.video, p.audio = add(webrtc.MimeTypeH264, 90000, 0), add(webrtc.MimeTypeOpus, 48000, 2)
	var once sync.Once
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(p.up) })
		}
	})
	return p
}

func (p *phone) offer() string {
	p.t.Helper()
	o, err := p.pc.CreateOffer(nil)
	must(p.t, err)
	done := webrtc.GatheringCompletePromise(p.pc)
	must(p.t, p.pc.SetLocalDescription(o))
	<-done
	return p.pc.LocalDescription().SDP
}

// publish connects the phone.
func (p *phone) publish(r *relay.Relay, login string) {
	p.t.Helper()
	s, err := r.Publish(p.t.Context(), relay.PublishOffer{
		SDP: p.offer(), Camera: "phone", Profile: media.Main, Viewer: everything(login),
	})
	must(p.t, err)
	p.session = s
	must(p.t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}))
	select {
	case <-p.up:
	case <-time.After(10 * time.Second):
		p.t.Fatal("not connected within 10 s")
	}
}

// send sends pictures of the simulation and a sound with each until ctx ends.
func (p *phone) send(ctx context.Context, fps int) {
	src, err := sim.NewSource(sim.Camera{ID: "phone", Video: sim.Video{Width: 640, Height: 360, FPS: fps, GOP: fps, Bitrate: 800_000}},
		media.Main, time.Now())
	if err != nil {
		p.t.Error(err)
		return
	}
	tick := time.NewTicker(time.Second / time.Duration(fps))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var b []byte
		for _, n := range src.Next().NALUs {
			b = append(append(b, 0, 0, 0, 1), n...)
		}
		d := time.Second / time.Duration(fps)
		if p.video.WriteSample(webrtcmedia.Sample{Data: b, Duration: d}) != nil ||
			p.audio.WriteSample(webrtcmedia.Sample{Data: []byte{0xfc, 0xff, 0xfe}, Duration: d}) != nil {
			return
		}
	}
}

// sending makes the phone send until the test ends.
func (p *phone) sending(fps int) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.send(ctx, fps)
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// withDesk runs a relay whose camera "phone" is what is published.
func withDesk(tb testing.TB, cfg relay.Config) (*relay.Relay, *desk) {
	tb.Helper()
	d := newDesk()
	r, cs := prepare(tb, cfg, map[string]*camera{"phone/main": {stream: d.stream}})
	r.Use(relay.Parts{Publishers: d})
	launch(tb, r, cs)
	return r, d
}

// A phone's pictures, with one packet in 20 lost on the way, reach the camera's stream whole and a viewer, sound included.
func TestPublishedPicturesAreSeen(t *testing.T) {
	t.Parallel()
	r, d := withDesk(t, relay.Config{})
	lossy := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // test data
	var mu sync.Mutex
	var lost atomic.Int64
	p := newPhone(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		if lossy.IntN(20) == 0 {
			lost.Add(1)
			return true
		}
		return false
	})
	p.publish(r, "li")
	reader := d.stream.Subscribe(stream.ReaderOptions{Name: "test", Queue: 4096})
	defer reader.Close()
	p.sending(20)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var pictures, sounds, keys int
	last := int64(-1)
	for pictures < 100 {
		u, err := reader.Next(ctx)
		if err != nil {
			t.Fatalf("after %d pictures: %v", pictures, err)
		}
		if !u.IsVideo() {
			sounds++
			continue
		}
		m, ok := mark(u)
		if !ok {
			t.Fatalf("picture %d without its mark: %d NAL units", pictures, len(u.NALUs))
		}
		if last >= 0 && int64(m.Frame) != last+1 {
			t.Errorf("frame %d follows %d", m.Frame, last)
		}
		last = int64(m.Frame)
		if u.Key {
			keys++
		}
		pictures++
	}
	desc := d.stream.Description()
	if desc.Tracks[0].Width != 640 || desc.Tracks[1].Codec != media.Opus || sounds < 60 || keys < 4 {
		t.Errorf("%+v, %d sounds, %d key frames", desc.Tracks, sounds, keys)
	}
	if p.asked.Load() < 2 || lost.Load() == 0 {
		t.Errorf("%d key frames asked for in 5 s, %d packets lost", p.asked.Load(), lost.Load())
	}
	v := newPlayer(t, playerOptions{nack: true}).play(r, "phone")
	for n := 0; n < 20; {
		rec := <-v.nalus
		if typ := rec.nalu[0] & 0x1f; typ == 1 || typ == 5 {
			n++
		}
	}
	must(t, r.End(t.Context(), p.session.ID, everything("li")))
	within(t, "publication ended", func() bool { return !d.busy() })
	t.Logf("%d packets lost on the way, %d key frames asked for", lost.Load(), p.asked.Load())
}

func TestWhoMayPublish(t *testing.T) {
	t.Parallel()
	r, d := withDesk(t, relay.Config{})
	offer := newPhone(t, nil).offer()
	code := func(camera string, v relay.Viewer, sdp string) relay.Code {
		_, err := r.Publish(t.Context(), relay.PublishOffer{SDP: sdp, Camera: camera, Profile: media.Main, Viewer: v})
		var e *relay.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", camera, err)
		}
		return e.Code
	}
	if c := code("other", everything("li"), offer); c != relay.CodeUnknownCamera {
		t.Error(c)
	}
	if c := code("phone", relay.Viewer{Name: "x", Key: "x"}, offer); c != relay.CodeForbidden {
		t.Error(c)
	}
	viewer := newPlayer(t, playerOptions{})
	if c := code("phone", everything("li"), viewer.offer()); c != relay.CodeBadOffer {
		t.Error(c)
	}
	if c := code("phone", everything("li"), "nonsense"); c != relay.CodeBadOffer {
		t.Error(c)
	}
	if c := code("phone", everything("li"), strings.NewReplacer(" 111", " 102", ":111 ", ":102 ").Replace(offer)); //
	c != relay.CodeBadOffer {
		t.Errorf("one payload type for picture and sound: %v", c)
	}
	if d.busy() {
		t.Fatal("a refused offer holds the camera")
	}
	first := newPhone(t, nil)
	first.publish(r, "li")
	_, err := r.Publish(t.Context(), relay.PublishOffer{
		SDP: offer, Camera: "phone", Profile: media.Main, Viewer: everything("wang"),
	})
	var busy *relay.Error
	if !errors.As(err, &busy) || busy.Code != relay.CodeBusy || !strings.Contains(busy.Detail, "already, by li since") {
		t.Errorf("another login takes the camera: %v", err)
	}
	second := newPhone(t, nil) // the same person again, on another network
	second.publish(r, "li")
	if !d.busy() {
		t.Error("nobody publishes")
	}
	within(t, "one session", func() bool { return len(r.Sessions()) == 1 })
	if s := r.Sessions()[0]; s.ID != second.session.ID || s.Publishes != "phone" {
		t.Errorf("%+v", s)
	}
	var allowed atomic.Bool
	allowed.Store(true)
	must(t, r.End(t.Context(), second.session.ID, everything("li")))
	within(t, "free again", func() bool { return !d.busy() })
	third := newPhone(t, nil)
	s, err := r.Publish(t.Context(), relay.PublishOffer{
		SDP: third.offer(), Camera: "phone", Profile: media.Main,
		Viewer: relay.Viewer{Name: "li", Key: "li", Allow: func(string) bool { return allowed.Load() }},
	})
	must(t, err)
	must(t, third.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}))
	<-third.up
	allowed.Store(false)
	within(t, "end of what is no longer permitted", func() bool { return !d.busy() })
}

// A phone that is silent for long, such as one whose camera app is in the background, keeps its place; one that changes
// its network restarts ICE and goes on without a picture missing; one whose camera is withdrawn is told so.
func TestPhoneComesAndGoes(t *testing.T) {
	t.Parallel()
	const silent = 4 * time.Second
	r, d := withDesk(t, relay.Config{SilentTimeout: silent})
	p := newPhone(t, nil)
	p.publish(r, "li")
	time.Sleep(silent + time.Second) // pion's timers cannot be made to run faster
	reader := d.stream.Subscribe(stream.ReaderOptions{Name: "test", Queue: 4096})
	defer reader.Close()
	p.sending(20)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := int64(-1)
	follow := func(pictures int) {
		t.Helper()
		for n := 0; n < pictures; {
			u, err := reader.Next(ctx)
			if err != nil {
				t.Fatalf("after picture %d: %v", last, err)
			}
			if m, ok := mark(u); ok && u.IsVideo() {
				if last >= 0 && int64(m.Frame) != last+1 {
					t.Errorf("frame %d follows %d", m.Frame, last)
				}
				last = int64(m.Frame)
				n++
			}
		}
	}
	follow(20)
	o, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	must(t, err)
	done := webrtc.GatheringCompletePromise(p.pc)
	must(t, p.pc.SetLocalDescription(o))
	<-done
	res, err := r.Candidate(t.Context(), relay.Patch{
		Session: p.session.ID, ETag: "*", Viewer: everything("li"),
		Fragment: relay.FragmentOf(p.pc.LocalDescription().SDP),
	})
	must(t, err)
	must(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{
		Type: webrtc.SDPTypeAnswer, SDP: relay.RewriteICE(p.session.SDP, res.Fragment),
	}))
	follow(60)
	if n := len(r.Sessions()); n != 1 || r.Sessions()[0].ID != p.session.ID {
		t.Errorf("%d sessions", n)
	}
	close(d.withdrawn)
	within(t, "end of the publication", func() bool { return !d.busy() })
}

// within waits until done.
func within(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within 10 s", what)
		}
	}
}

// mark finds what the simulation wrote into a picture.
func mark(u *media.AccessUnit) (sim.Mark, bool) {
	for _, n := range u.NALUs {
		if m, ok := sim.ParseSEI(n, media.H264); ok {
			return m, true
		}
	}
	return sim.Mark{}, false
}

// However many viewers come without a group of pictures to begin with, their publisher sends hardly more key frames.
func TestViewersDoNotExhaustAPublisher(t *testing.T) {
	t.Parallel()
	r, _ := withDesk(t, relay.Config{CatchUpBytes: 1}) // no group of pictures is small enough
	p := newPhone(t, func() bool { return false })
	p.publish(r, "li")
	p.sending(20)
	within(t, "first key frame asked for", func() bool { return p.asked.Load() > 0 })
	p.asked.Store(0)
	began := time.Now()
	const viewers = 16
	for range viewers {
		v := newPlayer(t, playerOptions{}).play(r, "phone")
		within(t, "connected", func() bool { return v.raw.Load() > 0 || v.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
		<-time.After(200 * time.Millisecond)
		must(t, v.pc.GracefulClose())
	}
	took := time.Since(began)
	asked, most := p.asked.Load(), int64(took/(2*time.Second))+3
	t.Logf("%d viewers in %v, %d key frames asked for", viewers, took, asked)
	if asked > most || asked == 0 {
		t.Errorf("%d key frames asked for in %v, want at most %d", asked, took, most)
	}
}
