package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
)

// wallState is what the gateway says about a slot.
type wallState struct {
	Type, Camera, Profile, State, Reason string
	Sound                                string
	Slot, Kbps, FPS, Index, Total        int
	Skipped, Paused, Replay              bool
	Behind                               int64 `json:"behind_ms"`
	AgeMS                                int64 `json:"age_ms"`
	RTP                                  uint32
	Taken                                time.Time
}

// wallClient is a wall of pion.
type wallClient struct {
	t       testing.TB
	pc      *webrtc.PeerConnection
	channel *webrtc.DataChannel
	open    chan struct{}
	states  chan wallState
	packets []chan *rtp.Packet
	sound   chan *rtp.Packet
	session relay.Session

	reports  map[int]*atomic.Pointer[report] // newest by clock rate
	compared map[int]int
}

// report is what a sender report says: when what has the stamp was captured.
type report struct {
	taken time.Time
	stamp uint32
}

func newWall(tb testing.TB, r *relay.Relay, slots int, v relay.Viewer) *wallClient {
	tb.Helper()
	w := &wallClient{t: tb, open: make(chan struct{}), states: make(chan wallState, 4096), compared: map[int]int{}}
	w.reports = map[int]*atomic.Pointer[report]{8000: {}, 48000: {}, 90000: {}}
	m := &webrtc.MediaEngine{}
	must(tb, m.RegisterCodec(h264Codec, webrtc.RTPCodecTypeVideo))
	must(tb, m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}, PayloadType: 8,
	}, webrtc.RTPCodecTypeAudio))
	must(tb, m.RegisterCodec(opusCodec, webrtc.RTPCodecTypeAudio))
	var se webrtc.SettingEngine
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	var err error
	w.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(se),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})).NewPeerConnection(webrtc.Configuration{})
	must(tb, err)
	tb.Cleanup(func() { _ = w.pc.GracefulClose() })
	bySlot := map[*webrtc.RTPReceiver]int{}
	for i := range slots {
		tr, err := w.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		must(tb, err)
		bySlot[tr.Receiver()] = i
		w.packets = append(w.packets, make(chan *rtp.Packet, 1<<15))
	}
	w.sound = make(chan *rtp.Packet, 1024)
	_, err = w.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	must(tb, err)
	w.pc.OnTrack(func(track *webrtc.TrackRemote, rcv *webrtc.RTPReceiver) {
		go w.readReports(track, rcv)
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if track.Kind() == webrtc.RTPCodecTypeAudio {
				w.sound <- p
				continue
			}
			w.packets[bySlot[rcv]] <- p
		}
	})
	w.channel, err = w.pc.CreateDataChannel("wall", nil)
	must(tb, err)
	w.channel.OnOpen(func() { close(w.open) })
	w.channel.OnMessage(func(m webrtc.DataChannelMessage) {
		var s wallState
		if json.Unmarshal(m.Data, &s) == nil {
			w.states <- s
		}
	})
	offer, err := w.pc.CreateOffer(nil)
	must(tb, err)
	done := webrtc.GatheringCompletePromise(w.pc)
	must(tb, w.pc.SetLocalDescription(offer))
	<-done
	w.session, err = r.Wall(tb.Context(), relay.WallOffer{SDP: w.pc.LocalDescription().SDP, Viewer: v})
	must(tb, err)
	must(tb, w.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: w.session.SDP}))
	select {
	case <-w.open:
	case <-time.After(10 * time.Second):
		tb.Fatal("data channel did not open")
	}
	return w
}

// readReports keeps the newest sender report of a track.
func (w *wallClient) readReports(track *webrtc.TrackRemote, rcv *webrtc.RTPReceiver) {
	for {
		pkts, _, err := rcv.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range pkts {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(track.SSRC()) {
				const epoch = 2208988800
				taken := time.Unix(int64(sr.NTPTime>>32)-epoch, int64(sr.NTPTime&0xffffffff)*1e9>>32)
				w.reports[int(track.Codec().ClockRate)].Store(&report{taken: taken, stamp: sr.RTPTime})
			}
		}
	}
}

func (w *wallClient) tell(format string, args ...any) {
	w.t.Helper()
	must(w.t, w.channel.SendText(fmt.Sprintf(format, args...)))
}

// state waits for a state that want accepts.
func (w *wallClient) state(want func(wallState) bool) wallState {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	var last wallState
	for {
		select {
		case last = <-w.states:
			if want(last) {
				return last
			}
		case <-timeout:
			w.t.Fatalf("state did not come; last: %+v", last)
		}
	}
}

func is(slot int, camera, state string) func(wallState) bool {
	return func(s wallState) bool { return s.Slot == slot && s.Camera == camera && s.State == state }
}

// A large automatic tile whose main stream is silent when it begins shows the sub stream, says why, and turns to the main
// stream when that has pictures.
func TestAutoTileTurnsToMainWhenThatComes(t *testing.T) {
	t.Parallel()
	cams := running(t, "late")
	main := newCamera()
	main.size = 3000
	cams["late/main"] = main
	r, cs := start(t, relay.Config{StartTimeout: 300 * time.Millisecond}, cams)
	w := newWall(t, r, 1, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"late","profile":"auto","width":1920,"height":1080}`)
	if s := w.state(is(0, "late", "live")); s.Profile != "sub" || s.Reason != "no-signal" {
		t.Errorf("%+v, want sub because main is silent", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { main.run(ctx, 25) })
	defer wg.Wait()
	defer cancel()
	if s := w.state(func(s wallState) bool { return s.Profile == "main" && s.State == "live" }); s.Reason != "" {
		t.Errorf("%+v, want main for no reason", s)
	}
	within(t, "the sub stream is let go", func() bool { return cs.inUse.Load() == 1 })
}

// slotReader depacketises one slot and checks that sequence numbers have no hole and timestamps never go back.
type slotReader struct {
	d       depacketizer
	started bool
	seq     uint16
	ts      uint32
	ssrc    uint32
}

// slices returns the camera size markers of the slices in the next n packets of slot i.
func (w *wallClient) until(i int, s *slotReader, done func(slice []byte) bool) {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case p := <-w.packets[i]:
			if s.started && (p.SequenceNumber != s.seq+1 || int32(p.Timestamp-s.ts) < 0 || p.SSRC != s.ssrc) {
				w.t.Fatalf("slot %d: packet %d/%d/%x follows %d/%d/%x", i, p.SequenceNumber, p.Timestamp, p.SSRC,
					s.seq, s.ts, s.ssrc)
			}
			s.started, s.seq, s.ts, s.ssrc = true, p.SequenceNumber, p.Timestamp, p.SSRC
			for _, n := range s.d.push(p.Payload) {
				if t := n[0] & 0x1f; (t == 1 || t == 5) && done(n) {
					return
				}
			}
		case <-timeout:
			w.t.Fatalf("slot %d: expected picture did not come", i)
		}
	}
}

func sizedCamera(size int) *camera {
	c := newCamera()
	c.size = size
	return c
}

func TestWallSwitchesCamerasWithoutRenegotiation(t *testing.T) {
	t.Parallel()
	a, b, big := sizedCamera(700), sizedCamera(900), sizedCamera(8000)
	r, cs := start(t, relay.Config{}, map[string]*camera{"a/sub": a, "b/sub": b, "b/main": big})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []*camera{a, b, big} {
		c.publish()
		go c.run(ctx, 50)
	}
	w := newWall(t, r, 4, everything("duty"))
	var s0, s1 slotReader
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"auto","width":320,"height":180}`)
	w.tell(`{"type":"show","slot":1,"camera":"b","profile":"auto","width":320,"height":180}`)
	w.state(is(0, "a", "live"))
	first := func(size int) func([]byte) bool {
		return func(n []byte) bool {
			if n[0]&0x1f == 5 {
				return len(n) == 4*size
			}
			return false
		}
	}
	w.until(0, &s0, first(700))
	w.until(1, &s1, first(900))

	asked := time.Now()
	w.tell(`{"type":"show","slot":0,"camera":"b","profile":"auto","width":320,"height":180}`)
	w.until(0, &s0, first(900))
	t.Logf("slot shows its new camera after %v", time.Since(asked))

	w.tell(`{"type":"show","slot":0,"camera":"b","profile":"auto","width":1920,"height":1080}`)
	w.until(0, &s0, first(8000))
	if st := w.state(func(s wallState) bool { return s.Slot == 0 && s.Profile == "main" && s.State == "live" }); st.Camera != "b" {
		t.Errorf("main shown of camera %q", st.Camera)
	}
	w.until(1, &s1, func(n []byte) bool { return n[0]&0x1f == 5 }) // goes on undisturbed

	w.tell(`{"type":"hide","slot":0}`)
	w.tell(`{"type":"hide","slot":1}`)
	for deadline := time.Now().Add(5 * time.Second); cs.inUse.Load() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("hidden slots still hold %d streams", cs.inUse.Load())
		}
	}
}

func TestWallTellsWhatItCannotShow(t *testing.T) {
	t.Parallel()
	hevc := newCamera()
	hevc.desc = &media.Description{Tracks: []media.Track{{Codec: media.H265, ClockRate: 90000}}}
	small := sizedCamera(500)
	silent := &camera{stream: stream.New(stream.Options{})}
	r, _ := start(t, relay.Config{StartTimeout: 200 * time.Millisecond}, map[string]*camera{
		"new/main": hevc, "new/sub": small, "mute/sub": silent, "only/main": hevc, "dead/main": silent,
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []*camera{hevc, small} {
		c.publish()
		go c.run(ctx, 25)
	}
	v := everything("duty")
	v.Allow = func(c string) bool { return c != "secret" }
	w := newWall(t, r, 2, v)
	w.tell(`{"type":"show","slot":0,"camera":"secret"}`)
	if s := w.state(is(0, "secret", "not_permitted")); s.Reason != "not-permitted" {
		t.Errorf("reason %q", s.Reason)
	}
	w.tell(`{"type":"show","slot":0,"camera":"nowhere"}`)
	if s := w.state(is(0, "nowhere", "offline")); s.Reason != "unknown-camera" {
		t.Errorf("reason %q", s.Reason)
	}
	w.tell(`{"type":"show","slot":0,"camera":"mute","profile":"sub"}`)
	if s := w.state(is(0, "mute", "no_signal")); s.Reason != "no-signal" {
		t.Errorf("reason %q", s.Reason)
	}
	w.tell(`{"type":"show","slot":0,"camera":"dead","profile":"auto","width":320,"height":180}`)
	if s := w.state(is(0, "dead", "no_signal")); s.Reason != "no-signal" {
		t.Errorf("a dead camera without a sub stream: reason %q", s.Reason)
	}
	w.tell(`{"type":"show","slot":0,"camera":"only","profile":"main"}`)
	if s := w.state(is(0, "only", "offline")); s.Reason != "codec-not-offered" {
		t.Errorf("reason %q", s.Reason)
	}
	w.tell(`{"type":"show","slot":0,"camera":"new","profile":"auto","width":1920,"height":1080}`)
	if s := w.state(is(0, "new", "live")); s.Reason != "codec-not-offered" || s.Profile != "sub" {
		t.Errorf("H.265 main must fall back to sub and say why, got %+v", s)
	}
	w.tell(`nonsense`)
	if s := w.state(func(s wallState) bool { return s.Type == "error" }); s.Reason != "bad-message" {
		t.Errorf("reason %q", s.Reason)
	}
}

func TestWallReportsACameraThatDies(t *testing.T) {
	t.Parallel()
	a, b := sizedCamera(700), sizedCamera(700)
	r, _ := start(t, relay.Config{}, map[string]*camera{"a/sub": a, "b/sub": b})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dying, kill := context.WithCancel(t.Context())
	a.publish()
	b.publish()
	go a.run(dying, 25)
	go b.run(ctx, 25)
	w := newWall(t, r, 2, everything("duty"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.tell(`{"type":"show","slot":1,"camera":"b","profile":"sub"}`)
	w.state(func(s wallState) bool { return is(1, "b", "live")(s) && s.FPS > 10 && s.Kbps > 10 })
	kill()
	if s := w.state(is(0, "a", "delayed")); s.Reason != "camera-silent" {
		t.Errorf("reason %q", s.Reason)
	}
	w.state(is(1, "b", "live"))
	a.stream.Close(nil)
	w.state(is(0, "a", "offline"))
	w.state(is(1, "b", "live"))
}

func TestWallPlaysTheSoundOfTheTileListenedTo(t *testing.T) {
	t.Parallel()
	cams := map[string]*camera{}
	for i, id := range []string{"a", "b"} {
		c := sizedCamera(500)
		c.desc = &media.Description{Tracks: []media.Track{
			c.desc.Tracks[0], {Codec: media.G711A, ClockRate: 8000, Channels: 1},
		}}
		c.voice = byte('a' + i)
		c.publish()
		live(t, c, 25)
		cams[id+"/sub"] = c
	}
	r, _ := start(t, relay.Config{}, cams)
	w := newWall(t, r, 2, everything("duty"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.tell(`{"type":"show","slot":1,"camera":"b","profile":"sub"}`)
	w.state(is(0, "a", "live"))
	w.state(is(1, "b", "live"))
	var seq uint16
	started := false
	hears := func(voice byte) {
		t.Helper()
		timeout := time.After(10 * time.Second)
		for {
			select {
			case p := <-w.sound:
				if started && p.SequenceNumber != seq+1 {
					t.Fatalf("sound packet %d follows %d", p.SequenceNumber, seq)
				}
				started, seq = true, p.SequenceNumber
				if p.Payload[0] == voice {
					return
				}
			case <-timeout:
				t.Fatalf("no sound of %c", voice)
			}
		}
	}
	w.tell(`{"type":"listen","slot":1}`)
	hears('b')
	w.tell(`{"type":"listen","slot":0}`)
	hears('a')
	w.tell(`{"type":"show","slot":0,"camera":"b","profile":"sub"}`)
	hears('b')
}
