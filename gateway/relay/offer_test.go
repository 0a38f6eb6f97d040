package relay_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/gateway/relay"
)

// without returns the SDP less the lines that begin so.
func without(sdp, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// sectionOf returns the lines of the n-th section of an SDP.
func sectionOf(tb testing.TB, sdp string, n int) string {
	tb.Helper()
	parts := strings.Split(sdp, "\r\nm=")
	if len(parts) < n+2 {
		tb.Fatalf("no section %d in %s", n, sdp)
	}
	return "m=" + parts[n+1]
}

func TestAnswerSendsOnlyWhateverTheOfferWouldSend(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for offered, line := range map[string]string{
		"recvonly": "a=recvonly\r\n", "sendrecv": "a=sendrecv\r\n", "no direction": "",
	} {
		offer := strings.ReplaceAll(newPlayer(t, playerOptions{audio: true}).offer(), "a=recvonly\r\n", line)
		s, err := r.Answer(t.Context(), relay.Offer{SDP: offer, Camera: "gate", Profile: media.Main, Viewer: everything("x")})
		must(t, err)
		if strings.Count(s.SDP, "\r\na=sendonly\r\n") != 2 || strings.Contains(s.SDP, "a=sendrecv") {
			t.Errorf("%s is answered with\n%s", offered, s.SDP)
		}
	}
}

func TestAnswerPutsTheSourcesCodecFirst(t *testing.T) {
	t.Parallel()
	h265 := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH265, ClockRate: 90000}, PayloadType: 107,
	}
	avc, other := newCamera(), newCamera()
	avc.desc = &media.Description{Tracks: []media.Track{
		avc.desc.Tracks[0], {Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	hevc(other)
	avc.publish()
	other.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"avc/main": avc, "hevc/main": other})
	for name, c := range map[string]struct {
		camera  string
		offered []webrtc.RTPCodecParameters
		video   string
	}{
		"H.264, offered last": {"avc", []webrtc.RTPCodecParameters{h265, h264Codec}, "m=video 9 UDP/TLS/RTP/SAVPF 102 107\r\n"},
		"H.265, offered last": {"hevc", []webrtc.RTPCodecParameters{h264Codec, h265}, "m=video 9 UDP/TLS/RTP/SAVPF 107 102\r\n"},
	} {
		offer := newPlayer(t, playerOptions{codecs: c.offered, audio: true}).offer()
		offer = strings.Replace(offer, "SAVPF 8 0", "SAVPF 0 8", 1)
		s, err := r.Answer(t.Context(), relay.Offer{SDP: offer, Camera: c.camera, Profile: media.Main, Viewer: everything("x")})
		must(t, err)
		if got := sectionOf(t, s.SDP, 0); !strings.HasPrefix(got, c.video) {
			t.Errorf("%s: %s", name, got)
		}
		if got := sectionOf(t, s.SDP, 1); c.camera == "avc" && !strings.HasPrefix(got, "m=audio 9 UDP/TLS/RTP/SAVPF 8 0\r\n") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestOneSectionNeedsNoBundle(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	p := newPlayer(t, playerOptions{})
	offer := without(p.offer(), "a=group:BUNDLE")
	s, err := r.Answer(t.Context(), relay.Offer{SDP: offer, Camera: "gate", Profile: media.Main, Viewer: everything("x")})
	must(t, err)
	if strings.Contains(s.SDP, "a=group:") || !strings.Contains(s.SDP, "\r\nm=video 9 ") {
		t.Errorf("answer\n%s", s.SDP)
	}
	must(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}))
	live(t, c, 50)
	p.follow(c, 20)
	patched, err := r.Candidate(t.Context(), relay.Patch{
		Session: s.ID, ETag: "*", Viewer: everything("x"),
		Fragment: relay.Fragment{Ufrag: "abcd", Pwd: "0123456789abcdef0123456789"},
	})
	if err != nil || !patched.Restarted {
		t.Errorf("ICE restart without a bundle: %+v, %v", patched, err)
	}
}

func TestOfferThatCannotBeAnsweredSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	offer := newPlayer(t, playerOptions{audio: true}).offer()
	for lack, want := range map[string]string{
		"a=group:BUNDLE": "a=group:BUNDLE", "a=mid:": "a=mid", "a=ice-ufrag:": "a=ice-ufrag", "a=ice-pwd:": "a=ice-pwd",
		"a=fingerprint:": "a=fingerprint",
	} {
		_, err := r.Answer(t.Context(), relay.Offer{
			SDP: without(offer, lack), Camera: "gate", Profile: media.Main, Viewer: everything("x"),
		})
		var e *relay.Error
		if !errors.As(err, &e) || e.Code != relay.CodeBadOffer || !strings.Contains(e.Detail, want) {
			t.Errorf("without %s: %v", lack, err)
		}
	}
}
