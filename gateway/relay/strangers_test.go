package relay_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/gateway/relay"
)

// chromiumWall is what Chromium 156 offers for a wall of so many tiles in every codec it has: 337 kB for 64.
func chromiumWall(tb testing.TB, tiles int) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/chromium-two-tiles.sdp")
	must(tb, err)
	parts := strings.Split(string(text), "\r\nm=") // session, two pictures, sound, data
	if len(parts) != 5 {
		tb.Fatalf("%d parts", len(parts))
	}
	offer, mids := "", ""
	section := func(part string) {
		mid := fmt.Sprint(strings.Count(mids, " "))
		mids += " " + mid
		before, after, _ := strings.Cut(part, "\r\na=mid:")
		_, after, _ = strings.Cut(after, "\r\n")
		offer += "\r\nm=" + before + "\r\na=mid:" + mid + "\r\n" + strings.TrimSuffix(after, "\r\n")
	}
	for range tiles {
		section(parts[1])
	}
	section(parts[3])
	section(parts[4])
	head := strings.Replace(parts[0], "a=group:BUNDLE 0 1 2 3", "a=group:BUNDLE"+mids, 1)
	return head + offer + "\r\n"
}

// TestAWallOfABrowserFits: the largest offer there is.
func TestAWallOfABrowserFits(t *testing.T) {
	t.Parallel()
	r, _ := start(t, relay.Config{}, nil)
	offer := chromiumWall(t, 64)
	if len(offer) < 300<<10 {
		t.Fatalf("the offer has %d bytes", len(offer))
	}
	s, err := r.Wall(t.Context(), relay.WallOffer{SDP: offer, Viewer: everything("duty")})
	must(t, err)
	if n := strings.Count(s.SDP, "\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\n"); n != 64 {
		t.Errorf("%d of 64 pictures are answered with H.264:\n%.3000s", n, s.SDP)
	}
	if !strings.Contains(s.SDP, "transport-wide-cc") || !strings.Contains(s.SDP, "\r\nm=application 9 ") ||
		!strings.Contains(s.SDP, "\r\na=rtcp-fb:102 nack pli\r\n") {
		t.Errorf("answer:\n%.3000s", s.SDP)
	}
	kept := relay.Kept(r, s.ID)
	t.Logf("offer %d bytes, kept %d, answer %d", len(offer), len(kept), len(s.SDP))
	if len(kept) > 64<<10 || strings.Contains(kept, "VP8") || strings.Contains(kept, ".local") {
		t.Errorf("%d bytes are kept:\n%.3000s", len(kept), kept)
	}
}

// TestAnOfferSendsChecksToFewAddresses: one of 4,000 candidates made the relay send 32,000 packets to whomever the
// viewer liked.
func TestAnOfferSendsChecksToFewAddresses(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{ConnectTimeout: 3 * time.Second}, map[string]*camera{"gate/main": c})
	sink, err := net.ListenPacket("udp4", "0.0.0.0:0") // all of 127.0.0.0/8
	must(t, err)
	defer sink.Close()
	var got atomic.Int64
	go func() {
		for b := make([]byte, 1500); ; got.Add(1) {
			if _, _, err := sink.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	port := sink.LocalAddr().(*net.UDPAddr).Port
	lines := func(from, to int) (out []string) {
		for i := from; i < to; i++ {
			out = append(out, fmt.Sprintf("candidate:%d 1 udp 2130706431 127.1.%d.%d %d typ host", i, i/250, 1+i%250, port))
		}
		return out
	}
	offer := without(newPlayer(t, playerOptions{}).offer(), "a=candidate:")
	post := func(candidates []string) (relay.Session, error) {
		sdp := strings.TrimSuffix(offer, "\r\n") + "\r\na=" + strings.Join(candidates, "\r\na=") + "\r\n"
		return r.Answer(t.Context(), relay.Offer{SDP: sdp, Camera: "gate", Profile: media.Main, Viewer: everything("x")})
	}
	var e *relay.Error
	if _, err := post(lines(0, 4000)); !errors.As(err, &e) || e.Code != relay.CodeBadOffer {
		t.Errorf("an offer of a quarter of a megabyte for one picture: %v", err)
	}
	s, err := post(lines(0, 800))
	must(t, err)
	for i := range 20 { // trickled ones count with them
		f := relay.Fragment{}
		for _, l := range lines(1000+60*i, 1060+60*i) {
			f.Candidates = append(f.Candidates, relay.Candidate{Mid: "0", Line: l})
		}
		if _, err := r.Candidate(t.Context(), relay.Patch{Session: s.ID, ETag: "*", Viewer: everything("x"), Fragment: f}); err != nil {
			break // the session has ended
		}
	}
	eventually(t, "the session ends", func() bool { return len(r.Sessions()) == 0 })
	t.Logf("%d packets", got.Load())
	if n := got.Load(); n == 0 || n > 25*9 {
		t.Errorf("the relay sent %d packets, want up to 9 to each of 20 addresses and a few that came by", n)
	}
}

// heap is what is in use, after collecting.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHalfOpenWallsAreBounded: 600 of one officer took 600 MB. It does not run beside others: it looks at the heap.
func TestHalfOpenWallsAreBounded(t *testing.T) {
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{ConnectTimeout: time.Minute}, map[string]*camera{"gate/main": c})
	offer := chromiumWall(t, 64)
	before := heap()
	begun, refused := 0, 0
	for range 600 {
		_, err := r.Wall(t.Context(), relay.WallOffer{SDP: strings.Clone(offer), Viewer: everything("officer")})
		var e *relay.Error
		switch {
		case err == nil:
			begun++
		case errors.As(err, &e) && e.Code == relay.CodeTooFast:
			refused++
		default:
			t.Fatal(err)
		}
	}
	eventually(t, "those that made way have ended", func() bool { return len(r.Sessions()) <= 16 })
	now := heap()
	t.Logf("%d walls begun, %d refused, %d open, heap %d MB more", begun, refused, len(r.Sessions()), (int64(now)-int64(before))>>20)
	if now > before+48<<20 {
		t.Errorf("the heap has grown from %d to %d MB", before>>20, now>>20)
	}
	live(t, c, 50)
	p := newPlayer(t, playerOptions{})
	p.play(r, "gate").slice() // others are not in their way
}

// TestHalfOpenSessionsOfOnePersonLeaveRoom: two tokens took all 1,024 places with sessions that never connected.
func TestHalfOpenSessionsOfOnePersonLeaveRoom(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{MaxSessions: 60, MaxPerViewer: 40}, map[string]*camera{"gate/main": c})
	offer := newPlayer(t, playerOptions{}).offer()
	count := func(name string, n int) (got int) {
		for range n {
			_, err := r.Answer(t.Context(), relay.Offer{SDP: offer, Camera: "gate", Profile: media.Main, Viewer: everything(name)})
			if err == nil {
				got++
			}
		}
		return got
	}
	if a, b := count("officer", 100), count("investigator", 100); a != 40 || b != 8 {
		t.Errorf("%d and %d sessions of two people, want 40 and 8: the last quarter is for others", a, b)
	}
	for i := range 20 {
		if n := count(fmt.Sprint("operator ", i), 1); n != 1 {
			t.Errorf("operator %d is refused", i)
		}
	}
}

// TestSecondDataChannelEndsTheSession: 25,000 channels took 1.7 GB.
func TestSecondDataChannelEndsTheSession(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	live(t, c, 50)
	w := newWall(t, r, 1, everything("wall"))
	p := newPlayer(t, playerOptions{})
	_, err := p.pc.CreateDataChannel("the player's own", nil) // players of others open one
	must(t, err)
	p.play(r, "gate").slice()
	for name, pc := range map[string]*webrtc.PeerConnection{"wall": w.pc, "player": p.pc} {
		for i := range 500 {
			_, _ = pc.CreateDataChannel(fmt.Sprint(name, i), nil) // it may be closed already
		}
	}
	eventually(t, "both sessions end", func() bool { return len(r.Sessions()) == 0 })
}

// TestPlacesOfKilledClientsComeBack after the silent timeout, and not before the limit's error has told its key.
func TestPlacesOfKilledClientsComeBack(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	live(t, c, 50)
	r, _ := start(t, relay.Config{MaxPerViewer: 1, SilentTimeout: 5 * time.Second}, map[string]*camera{"gate/main": c})
	killed := newPlayer(t, playerOptions{})
	killed.play(r, "gate").slice()
	again := func() error {
		_, err := r.Answer(t.Context(), relay.Offer{
			SDP: newPlayer(t, playerOptions{}).offer(), Camera: "gate", Profile: media.Main, Viewer: everything("tester"),
		})
		return err
	}
	err := again()
	var e *relay.Error
	if !errors.As(err, &e) || e.Code != relay.CodeTooMany || !strings.Contains(e.Detail, "webrtc.max_sessions_per_person: 1") ||
		!strings.Contains(e.Detail, "5s (webrtc.silent_timeout)") {
		t.Errorf("the second session of one: %v", err)
	}
	killed.kill()
	eventually(t, "the place is free", func() bool { return again() == nil })
}

// TestICERestartsAreFew: each makes the relay gather and check anew.
func TestICERestartsAreFew(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	s, err := r.Answer(t.Context(), relay.Offer{
		SDP: newPlayer(t, playerOptions{}).offer(), Camera: "gate", Profile: media.Main, Viewer: everything("x"),
	})
	must(t, err)
	done := 0
	for i := range 50 {
		_, err = r.Candidate(t.Context(), relay.Patch{
			Session: s.ID, ETag: "*", Viewer: everything("x"),
			Fragment: relay.Fragment{Ufrag: fmt.Sprintf("abc%d", i), Pwd: "0123456789abcdef0123456789"},
		})
		if err != nil {
			break
		}
		done++
	}
	var e *relay.Error
	if !errors.As(err, &e) || e.Code != relay.CodeTooFast || done < 5 {
		t.Errorf("after %d restarts: %v", done, err)
	}
}
