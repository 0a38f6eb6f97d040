package relay_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
)

// live runs c at fps pictures a second until the test ends.
func live(tb testing.TB, c *camera, fps int) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, fps)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
}

func TestViewerGetsEveryPictureByteForByte(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(*webrtc.SettingEngine){
		"AES-GCM": nil,
		"AES-CM and HMAC-SHA1": func(se *webrtc.SettingEngine) {
			se.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCamera()
			r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
			for range 12 {
				c.publish()
			}
			p := newPlayer(t, playerOptions{setup: setup}).play(r, "gate")
			live(t, c, 50)
			if first := p.follow(c, 100); first != 0 {
				t.Errorf("first picture is %d, want 0: the current group of pictures", first)
			}
			if p.gaps.Load() != 0 {
				t.Errorf("%d packets missing", p.gaps.Load())
			}
			if p.ext.Load() == 0 {
				t.Error("no packet carries the playout-delay extension")
			}
		})
	}
}

func TestManyViewersGetTheSameWithoutLoss(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	live(t, c, 25)
	var wg sync.WaitGroup
	for range 8 {
		p := newPlayer(t, playerOptions{}).play(r, "gate")
		wg.Go(func() {
			p.follow(c, 60)
			if n := p.gaps.Load(); n != 0 {
				t.Errorf("%d packets missing", n)
			}
		})
	}
	wg.Wait()
}

func TestCatchUpShowsThePictureAtOnce(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.gop = 1000 // no other key frame will come
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 50 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	_, first := p.slice()
	took := first.at.Sub(p.begun)
	t.Logf("first picture %v after the offer was posted", took)
	last := first
	for range 49 {
		_, last = p.slice()
	}
	if span := last.ts - first.ts; span > 49*180 {
		t.Errorf("50 pictures of catch-up span %d ticks, want at most two milliseconds each", span)
	}
	c.publish()
	if n, live := p.slice(); n != 50 || int32(live.ts-last.ts) <= 0 {
		t.Errorf("live picture %d at %d follows catch-up at %d", n, live.ts, last.ts)
	}
}

func TestParameterSetsAreAddedWhereTheCameraDoesNotRepeatThem(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.inBand = false
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	var types []byte
	for range 3 {
		select {
		case n := <-p.nalus:
			types = append(types, n.nalu[0]&0x1f)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
	if string(types) != "\x07\x08\x05" {
		t.Errorf("first NAL units are of types %v, want SPS, PPS, IDR", types)
	}
}

// lossPercent is the share of packets a lossy network drops in tests.
const lossPercent = 5

func TestLostPacketsAreSentAgain(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 20 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{nack: true})
	random := rand.New(rand.NewPCG(1, 2))                         //nolint:gosec // test data
	drop := func() bool { return random.IntN(100) < lossPercent } // called by one goroutine
	p.drop.Store(&drop)
	p.play(r, "gate")
	live(t, c, 50)
	p.follow(c, 20) // catch-up
	var late []time.Duration
	n, got := p.slice()
	for i := range 150 {
		c.mu.Lock()
		late = append(late, got.at.Sub(c.at[n]))
		c.mu.Unlock()
		next, r := p.slice()
		if next != n+1 || !bytes.Equal(r.nalu, c.slice(next)) {
			t.Fatalf("picture %d (%d) follows %d", next, i, n)
		}
		n, got = next, r
	}
	slices.Sort(late)
	t.Logf("pictures complete after %v (median), %v (p99)", late[len(late)/2], late[len(late)*99/100])
	s := r.Sessions()[0].Slots[0]
	if s.Resent == 0 || s.Nacked < s.Resent {
		t.Errorf("%d of %d packets sent again", s.Resent, s.Nacked)
	}
	t.Logf("%d packets sent again, drops %v", s.Resent, s.Drops)
}

func TestResendsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	live(t, c, 50)
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	p.follow(c, 5)
	ssrc := uint32(p.pc.GetReceivers()[0].Track().SSRC())
	for range 200 { // a viewer that asks for the same again and again
		var seqs []uint16
		for s := range uint16(60000) {
			if s%400 == 0 {
				seqs = append(seqs, s)
			}
		}
		must(t, p.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
			MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
		}}))
	}
	for range 50 {
		p.slice()
	}
	s := r.Sessions()[0].Slots[0]
	if s.Resent > 384+400*3 {
		t.Errorf("%d packets sent again: more than the budget", s.Resent)
	}
	if s.Drops["nack_too_old"]+s.Drops["nack_budget"] == 0 {
		t.Errorf("refused resends are not counted: %+v", s)
	}
}

func TestKeyFrameRequestIsAnsweredFromTheHistory(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.gop = 1 << 20
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 10 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	var last received
	for range 10 {
		_, last = p.slice()
	}
	must(t, p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{
		MediaSSRC: uint32(p.pc.GetReceivers()[0].Track().SSRC()),
	}}))
	for i := range 10 {
		n, again := p.slice()
		if n != i || int32(again.ts-last.ts) <= 0 {
			t.Fatalf("after the request picture %d at %d follows %d", n, again.ts, last.ts)
		}
		last = again
	}
	c.publish()
	if n, live := p.slice(); n != 10 || int32(live.ts-last.ts) <= 0 {
		t.Errorf("live picture %d at %d follows %d", n, live.ts, last.ts)
	}
}

func TestReconnectOfTheSourceKeepsTheViewer(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.gop = 5
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 5 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	var last received
	for range 5 {
		_, last = p.slice()
	}
	c.mu.Lock()
	c.epoch, c.shift = 1, -1_000_000 // another clock
	c.mu.Unlock()
	for i := range 10 {
		c.publish()
		n, next := p.slice()
		if step := int32(next.ts - last.ts); n != 5+i || step <= 0 || step > 90000 {
			t.Fatalf("picture %d is %d ticks after the one before", n, step)
		}
		last = next
	}
}

func TestBurstOfTheSourceDoesNotDelayTheViewer(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.gop = 200
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	_, first := p.slice()
	for range 100 { // four seconds of pictures within a moment
		c.publish()
	}
	last := first
	for i := range 100 {
		n, next := p.slice()
		if n != i+1 || int32(next.ts-last.ts) <= 0 {
			t.Fatalf("picture %d at %d follows %d", n, next.ts, last.ts)
		}
		last = next
	}
	// Both by the clock of their arrival at the relay: when the viewer gets the first depends on how long it took to connect.
	took := int64(c.at[100].Sub(c.at[0]).Seconds() * 90000)
	if span := int64(last.ts - first.ts); span > took+90000/3 {
		t.Errorf("timestamps of a burst run %d ms ahead of their arrival", (span-took)/90)
	}
}

func TestSessionEndsWhenTheCameraChangesToACodecNotOffered(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	p.slice()
	c.desc = &media.Description{Tracks: []media.Track{{Codec: media.H265, ClockRate: 90000}}}
	c.publish()
	eventually(t, "session ended", func() bool { return len(r.Sessions()) == 0 })
}

func TestOfferWithoutTheSourcesCodecIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	hevc := newCamera()
	hevc.desc = &media.Description{Tracks: []media.Track{{Codec: media.H265, ClockRate: 90000}}}
	hevc.publish()
	jpeg := newCamera()
	jpeg.desc = &media.Description{Tracks: []media.Track{{Codec: media.MJPEG, ClockRate: 90000}}}
	jpeg.publish()
	silent := &camera{stream: stream.New(stream.Options{})}
	r, _ := start(t, relay.Config{StartTimeout: 50 * time.Millisecond, MaxPerViewer: 2, MaxSessions: 3},
		map[string]*camera{"hevc/main": hevc, "jpeg/main": jpeg, "silent/main": silent})
	offer := newPlayer(t, playerOptions{}).offer()
	nobody := relay.Viewer{Name: "x", Key: "x"}
	for name, c := range map[string]struct {
		camera, sdp string
		viewer      relay.Viewer
		want        relay.Code
	}{
		"codec":       {"hevc", offer, everything("a"), relay.CodeNotOffered},
		"unsupported": {"jpeg", offer, everything("a"), relay.CodeUnsupported},
		"silent":      {"silent", offer, everything("a"), relay.CodeNoSignal},
		"unknown":     {"nowhere", offer, everything("a"), relay.CodeUnknownCamera},
		"forbidden":   {"hevc", offer, nobody, relay.CodeForbidden},
		"no SDP":      {"hevc", "hello", everything("a"), relay.CodeBadOffer},
		"no media":    {"hevc", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", everything("a"), relay.CodeBadOffer},
		"DTLS role":   {"hevc", strings.ReplaceAll(offer, "actpass", "passive"), everything("a"), relay.CodeBadOffer},
		"sends only":  {"hevc", strings.ReplaceAll(offer, "recvonly", "sendonly"), everything("a"), relay.CodeBadOffer},
	} {
		_, err := r.Answer(t.Context(), relay.Offer{SDP: c.sdp, Camera: c.camera, Profile: media.Main, Viewer: c.viewer})
		var e *relay.Error
		if !errors.As(err, &e) || e.Code != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestSessionsAreLimitedAndEndWithTheirLogin(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, cs := start(t, relay.Config{MaxPerViewer: 2, MaxSessions: 3}, map[string]*camera{"gate/main": c})
	as := func(v relay.Viewer) (relay.Session, relay.Code) {
		s, err := r.Answer(t.Context(), relay.Offer{
			SDP: newPlayer(t, playerOptions{}).offer(), Camera: "gate", Profile: media.Main, Viewer: v,
		})
		var e *relay.Error
		if errors.As(err, &e) {
			return s, e.Code
		}
		return s, ""
	}
	open := func(name string) (relay.Session, relay.Code) { return as(everything(name)) }
	first, _ := open("a")
	open("a")
	if _, code := open("a"); code != relay.CodeTooMany {
		t.Errorf("third session of a login: %q", code)
	}
	again := everything("a")
	again.Key = "another login"
	if _, code := as(again); code != relay.CodeTooMany {
		t.Errorf("third session of a user with two logins: %q", code)
	}
	open("b")
	if _, code := open("c"); code != relay.CodeTooMany {
		t.Errorf("fourth session of all: %q", code)
	}
	var e *relay.Error
	if err := r.End(t.Context(), first.ID, everything("b")); !errors.As(err, &e) || e.Code != relay.CodeUnknownSession {
		t.Errorf("ending another's session: %v", err)
	}
	if n := r.EndViewer("a"); n != 2 {
		t.Errorf("ended %d sessions, want 2", n)
	}
	eventually(t, "sessions of a are gone", func() bool { return len(r.Sessions()) == 1 })
	if cs.inUse.Load() != 1 {
		t.Errorf("%d streams open for one feed", cs.inUse.Load())
	}
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestViewerThatNeverConnectsIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, cs := start(t, relay.Config{ConnectTimeout: 50 * time.Millisecond}, map[string]*camera{"gate/main": c})
	_, err := r.Answer(t.Context(), relay.Offer{
		SDP: newPlayer(t, playerOptions{}).offer(), Camera: "gate", Profile: media.Main, Viewer: everything("a"),
	})
	must(t, err)
	eventually(t, "session closed", func() bool { return len(r.Sessions()) == 0 && cs.inUse.Load() == 0 })
}

func TestViewerThatLeavesIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, cs := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	p.slice()
	must(t, p.pc.GracefulClose())
	eventually(t, "session closed", func() bool { return len(r.Sessions()) == 0 && cs.inUse.Load() == 0 })
}

func TestSessionEndsWithItsCamera(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, cs := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	p.slice()
	c.stream.Close(nil)
	eventually(t, "session closed", func() bool { return len(r.Sessions()) == 0 && cs.inUse.Load() == 0 })
}

func TestStalledViewerCostsOthersNothing(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{SilentTimeout: time.Second}, map[string]*camera{"gate/main": c})
	c.publish()
	live(t, c, 50)
	stalled := newPlayer(t, playerOptions{}).play(r, "gate")
	stalled.slice()
	good := newPlayer(t, playerOptions{}).play(r, "gate")
	good.slice()
	stalled.deaf.Store(true) // reads nothing any more, not even ICE
	good.drain()
	begin := time.Now()
	n, _ := good.slice()
	for i := range 100 {
		if m, _ := good.slice(); m != n+i+1 {
			t.Fatalf("picture %d follows %d", m, n+i)
		}
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("100 pictures at 50 a second took %v beside a stalled viewer", took)
	}
	eventually(t, "stalled viewer closed", func() bool { return len(r.Sessions()) == 1 })
}

func TestSoundPassesThrough(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.desc = &media.Description{Tracks: []media.Track{
		c.desc.Tracks[0], {Codec: media.G711U, ClockRate: 8000, Channels: 1},
	}}
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	p := newPlayer(t, playerOptions{audio: true}).play(r, "gate")
	p.slice()
	for i := range 20 {
		now := time.Now()
		c.stream.Publish(&media.AccessUnit{
			Desc: c.desc, Track: 1, PTS: int64(i) * 160, Wall: now, Arrival: now, NALUs: [][]byte{{byte(i), 2, 3}},
		})
		select {
		case a := <-p.audio:
			if a.PayloadType != 0 || a.Payload[0] != byte(i) {
				t.Fatalf("audio packet %d has type %d and payload %v", i, a.PayloadType, a.Payload)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no sound")
		}
	}
}

func TestICERestartAndTrickle(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	c.publish()
	live(t, c, 50)
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	p.slice()
	patch := relay.Patch{Session: p.session.ID, ETag: "old", Viewer: everything("tester"), Fragment: relay.Fragment{
		Candidates: []relay.Candidate{{Mid: "0", Line: "candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host"}},
	}}
	var e *relay.Error
	if _, err := r.Candidate(t.Context(), patch); !errors.As(err, &e) || e.Code != relay.CodeStale {
		t.Errorf("stale entity tag: %v", err)
	}
	patch.ETag = p.session.ETag
	if _, err := r.Candidate(t.Context(), patch); err != nil {
		t.Errorf("trickle: %v", err)
	}

	o, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	must(t, err)
	done := webrtc.GatheringCompletePromise(p.pc)
	must(t, p.pc.SetLocalDescription(o))
	<-done
	mine := relay.FragmentOf(p.pc.LocalDescription().SDP)
	res, err := r.Candidate(t.Context(), relay.Patch{
		Session: p.session.ID, ETag: "*", Viewer: everything("tester"), Fragment: mine,
	})
	must(t, err)
	if !res.Restarted || res.ETag == p.session.ETag || res.Fragment.Ufrag == "" || len(res.Fragment.Candidates) == 0 {
		t.Fatalf("restart answered %+v", res)
	}
	must(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{
		Type: webrtc.SDPTypeAnswer, SDP: relay.RewriteICE(p.session.SDP, res.Fragment),
	}))
	p.drain()
	n, _ := p.slice()
	for i := range 50 {
		if m, _ := p.slice(); m != n+i+1 {
			t.Fatalf("picture %d follows %d after the restart", m, n+i)
		}
	}
}
