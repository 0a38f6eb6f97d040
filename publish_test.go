package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	rtcmedia "github.com/pion/webrtc/v4/pkg/media"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
	"skein/gateway/footage"
)

// phone publishes pictures of the simulation by WHIP, as a phone or a body camera does.
type phone struct {
	t            testing.TB
	pc           *webrtc.PeerConnection
	video, audio *webrtc.TrackLocalStaticSample
	location     string
	turned       chan *sim.Source // capacity 1: its pictures from its first on
	stop         context.CancelFunc
	done         sync.WaitGroup
}

// send asks the node for something with the test's token.
func (n *node) send(method, path, kind, body string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, "http://"+n.http+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// publish starts a phone that publishes as the camera until the test ends or it leaves.
func (n *node) publish(t testing.TB, camera string) *phone {
	t.Helper()
	p := &phone{t: t, turned: make(chan *sim.Source, 1)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var se webrtc.SettingEngine
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	var err error
	p.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	must(err)
	t.Cleanup(func() {
		if p.stop != nil {
			p.stop()
		}
		p.done.Wait()
		_ = p.pc.GracefulClose()
	})
	add := func(mime string, rate uint32, channels uint16) *webrtc.TrackLocalStaticSample {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{
			MimeType: mime, ClockRate: rate, Channels: channels,
		}, mime, "phone")
		must(err)
		tr, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		must(err)
		go func() { // reading serves retransmission
			for {
				if _, _, err := tr.Sender().ReadRTCP(); err != nil {
					return
				}
			}
		}()
		return track
	}
	p.video, p.audio = add(webrtc.MimeTypeH264, 90000, 0), add(webrtc.MimeTypeOpus, 48000, 2)
	up := make(chan struct{})
	var once sync.Once
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(up) })
		}
	})
	offer, err := p.pc.CreateOffer(nil)
	must(err)
	gathered := webrtc.GatheringCompletePromise(p.pc)
	must(p.pc.SetLocalDescription(offer))
	<-gathered
	var answer string
	poll(t, "WHIP", 5*time.Second, func() error { // a gateway that just began says 503 for some milliseconds
		resp, body, err := n.send(http.MethodPost, "/v1/whip/"+camera, "application/sdp", p.pc.LocalDescription().SDP)
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("WHIP: %s: %s", resp.Status, body)
		}
		answer, p.location = body, resp.Header.Get("Location")
		return nil
	})
	must(p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	select {
	case <-up:
	case <-time.After(15 * time.Second):
		t.Fatal("the phone is not connected within 15 s")
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	src := drawn(t, camera, small(media.H264))
	p.done.Go(func() { p.send(ctx, src) })
	return p
}

// drawn returns pictures of the simulation from now on. To draw them takes a while, on a busy machine ten seconds.
func drawn(t testing.TB, camera string, v sim.Video) *sim.Source {
	t.Helper()
	src, err := sim.NewSource(sim.Camera{ID: camera, Video: v}, media.Main, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	src.Skip(time.Now().Add(200 * time.Millisecond))
	return src
}

// turn makes the phone's pictures portrait, as of one that is turned round.
func (p *phone) turn(camera string) {
	p.turned <- drawn(p.t, camera, sim.Video{Width: 640, Height: 1136, FPS: 25, GOP: 25, Bitrate: 800_000})
}

// send sends 25 pictures a second, each as it is drawn for its moment, with a sound.
func (p *phone) send(ctx context.Context, src *sim.Source) {
	var next *sim.Source
	var first sim.Unit // of next
	for {
		u := src.Next()
		if next != nil && u.Frame == first.Frame {
			u, src, next = first, next, nil
		}
		select {
		case <-time.After(time.Until(u.Wall)):
		case next = <-p.turned:
			first = next.Next()
			await(p.t, u.Wall)
		case <-ctx.Done():
			return
		}
		if p.video.WriteSample(rtcmedia.Sample{Data: annexB(u.NALUs), Duration: frameTime}) != nil ||
			p.audio.WriteSample(rtcmedia.Sample{Data: []byte{0xfc, 0xff, 0xfe}, Duration: frameTime}) != nil {
			return
		}
	}
}

// annexB makes a byte stream of a picture.
func annexB(nalus [][]byte) []byte {
	var b []byte
	for _, n := range nalus {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// TestPublish proves that a phone that publishes by WHIP is a camera like any other: seen live, in a snapshot, in the list
// of who watches, and recorded without a hole.
func TestPublish(t *testing.T) {
	beside(t, 1, 14*time.Second)
	tool(t, "ffmpeg")
	tool(t, "ffprobe")
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"cameras:\n  - {id: phone, name: P, unit: yf, main: push, record: main}\n"+
		"  - {id: wall, name: W, unit: yf, main: \"rtsp://127.0.0.1:1/\"}\nspool: {segment: 4s}\n")
	n.start(t)
	if resp, body, err := n.send(http.MethodPost, "/v1/whip/wall", "application/sdp", "v=0"); err != nil || resp.StatusCode != 400 {
		t.Errorf("an offer that is none: %v %s", err, body)
	}
	p := n.publish(t, "phone")
	n.awaitState(t, status.Live, 20*time.Second, "phone")
	began := time.Now()
	v := n.watch(t, "phone")
	seen := v.await(t, 200, 30*time.Second)
	n.snapshot(t, "phone")
	n.watched(t, "phone")
	v.leave(t, n)

	end := time.Now()
	c := n.fetch(t, "phone", began, end)
	if h := holes(numbers(c.frames)); len(h) > 0 || (c.duration-end.Sub(began)).Abs() > 4*frameTime {
		t.Errorf("clip of %v, want %v; holes %v", c.duration, end.Sub(began), h)
	}
	if !slices.Contains(c.tracks, "avc1") || !slices.Contains(c.tracks, "Opus") {
		t.Errorf("tracks %v", c.tracks)
	}
	probe(t, c.file)
	t.Logf("%d frames watched, clip of %v with %d frames and %v", len(seen), c.duration, len(c.frames), c.tracks)

	n.readBack(t, "phone", began.Add(2*time.Second), began.Add(6*time.Second))

	second, body, err := n.send(http.MethodPost, "/v1/whip/phone", "application/sdp", p.pc.LocalDescription().SDP)
	if err != nil || second.StatusCode != http.StatusCreated {
		t.Errorf("the same login again takes its own place: %v %s", err, body)
	} else if r, _, err := n.send(http.MethodDelete, second.Header.Get("Location"), "", ""); err != nil || r.StatusCode != 200 {
		t.Errorf("DELETE: %v", err)
	}
	if r, _, err := n.send(http.MethodDelete, p.location, "", ""); err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("DELETE of what was replaced: %v", err)
	}
	poll(t, "end of the publication", 10*time.Second, func() error {
		all, err := n.cameras()
		if err == nil && all["phone"].State == status.Live {
			err = fmt.Errorf("still %s", all["phone"].State)
		}
		return err
	})
}

// readBack proves that a replay on a wall gets every frame of a range, each at the time it was taken.
func (n *node) readBack(t testing.TB, camera string, from, to time.Time) {
	t.Helper()
	a := footage.Archive{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, body, err := n.get(r.URL.RequestURI())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		maps.Copy(w.Header(), resp.Header)
		_, _ = w.Write(body)
	})}
	units, err := a.Units(t.Context(), camera, from, to)
	if err != nil || len(units) < 100 || !units[0].Key {
		t.Errorf("read back %d frames: %v", len(units), err)
		return
	}
	var got []uint64
	var heard []time.Time
	pictures := 0
	for _, u := range units {
		if !u.IsVideo() {
			if tr := u.Desc.Tracks[u.Track]; tr.Codec != media.Opus {
				t.Errorf("sound in %v", tr.Codec)
			}
			heard = append(heard, u.Wall)
			continue
		}
		pictures++
		for _, nalu := range u.NALUs {
			if m, ok := sim.ParseSEI(nalu, media.H264); ok {
				got = append(got, m.Frame)
				if late := u.Wall.Sub(m.Wall); late < -frameTime || late > 10*frameTime {
					t.Errorf("frame %d of %v is filed at %v", m.Frame, m.Wall, u.Wall)
				}
			}
		}
	}
	if h := holes(got); len(h) > 0 || len(got) != pictures {
		t.Errorf("read back %d frames of %d pictures, holes %v", len(got), pictures, h)
	}
	const late = 10 * frameTime // the publisher may be held up by other tests
	if len(heard) < 90 || heard[0].After(from.Add(late)) || heard[len(heard)-1].Before(to.Add(-late)) {
		t.Errorf("read back %d sounds of %v, from %v after its beginning", len(heard), to.Sub(from), heard[0].Sub(from))
	}
}

// snapshot proves that the camera's snapshot is a fresh picture.
func (n *node) snapshot(t testing.TB, camera string) {
	t.Helper()
	resp, body, err := n.get("/v1/snapshots/" + camera + ".jpg")
	if err != nil {
		t.Error(err)
		return
	}
	img, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil || img.Bounds().Dx() != 640 || img.Bounds().Dy() != 360 {
		t.Errorf("snapshot: %v", err)
	}
	age, err := time.ParseDuration(resp.Header.Get("Skein-Age-Ms") + "ms")
	if err != nil || age > 3*time.Second {
		t.Errorf("the snapshot is %v old: %v", age, err)
	}
	t.Logf("snapshot: %d bytes, %v old", len(body), age)
}

// watched proves that operators see who watches the camera.
func (n *node) watched(t testing.TB, camera string) {
	t.Helper()
	_, body, err := n.get("/v1/live/sessions")
	if err != nil {
		t.Error(err)
		return
	}
	var list struct {
		Sessions []struct {
			Viewer string
			Slots  []struct {
				Camera  string
				Packets uint64
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Error(err)
	}
	for _, s := range list.Sessions {
		for _, sl := range s.Slots {
			if s.Viewer == "bench" && sl.Camera == camera && sl.Packets > 0 {
				return
			}
		}
	}
	t.Errorf("nobody watches %s: %s", camera, body)
}
