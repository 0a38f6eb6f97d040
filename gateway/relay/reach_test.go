package relay_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/gateway/relay"
)

func TestViewerBehindATCPOnlyNetwork(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{TCP: "127.0.0.1:0"}, map[string]*camera{"gate/main": c})
	for range 5 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{setup: func(se *webrtc.SettingEngine) {
		se.SetICEUDPMux(nil)
		se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}}).play(r, "gate")
	live(t, c, 50)
	if first := p.follow(c, 60); first != 0 {
		t.Errorf("first picture is %d, want 0", first)
	}
	if remote := r.Sessions()[0].Remote; !strings.HasPrefix(remote, "tcp ") {
		t.Errorf("media goes to %q, want TCP", remote)
	}
}

// Behind a one-to-one NAT the address announced is not that of the socket.
func TestTCPViewerOfAnAnnouncedAddress(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{TCP: "127.0.0.1:0", PublicIPs: []string{"203.0.113.9"}}, map[string]*camera{"gate/main": c})
	c.publish()
	p := overTCP(t, newNarrow(t, r.TCPAddr(), 0)).play(r, "gate")
	live(t, c, 50)
	p.follow(c, 30)
}

func TestSocketOfBothFamiliesServesIPv4(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":0", "0.0.0.0:0"} {
		c := newCamera()
		r, _ := start(t, relay.Config{UDP: listen}, map[string]*camera{"gate/main": c})
		c.publish()
		p := newPlayer(t, playerOptions{}).play(r, "gate")
		live(t, c, 50)
		p.follow(c, 30)
	}
}

func TestPublicAddressIsAnnounced(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{PublicIPs: []string{"203.0.113.9"}}, map[string]*camera{"gate/main": c})
	s, err := r.Answer(t.Context(), relay.Offer{
		SDP: newPlayer(t, playerOptions{}).offer(), Camera: "gate", Profile: media.Main, Viewer: everything("a"),
	})
	must(t, err)
	if !strings.Contains(s.SDP, " 203.0.113.9 ") || strings.Contains(s.SDP, " 127.0.0.1 ") {
		t.Errorf("answer announces other candidates:\n%s", s.SDP)
	}
}

func TestWithdrawnPermissionEndsTheSession(t *testing.T) {
	t.Parallel()
	c := newCamera()
	c.publish()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c, "gate/sub": c})
	var allowed atomic.Bool
	allowed.Store(true)
	v := relay.Viewer{Name: "a", Key: "a", Allow: func(string) bool { return allowed.Load() }}
	p := newPlayer(t, playerOptions{})
	s, err := r.Answer(t.Context(), relay.Offer{SDP: p.offer(), Camera: "gate", Profile: media.Main, Viewer: v})
	must(t, err)
	must(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}))
	p.slice()
	w := newWall(t, r, 1, v)
	w.tell(`{"type":"show","slot":0,"camera":"gate","profile":"sub"}`)
	w.state(is(0, "gate", "live"))
	allowed.Store(false)
	w.state(is(0, "gate", "not_permitted"))
	eventually(t, "WHEP session ended", func() bool { return len(r.Sessions()) == 1 })
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]relay.Config{
		"webrtc.udp is empty":   {},
		"webrtc.udp":            {UDP: "8189"},
		"webrtc.tcp":            {UDP: ":0", TCP: "nonsense"},
		"webrtc.public_ips":     {UDP: ":0", PublicIPs: []string{"example.com"}},
		"webrtc.payload_size":   {UDP: ":0", PayloadSize: 9000},
		"webrtc.playout_delay":  {UDP: ":0", PlayoutDelay: [2]time.Duration{2, 1}},
		"listen webrtc.udp 192": {UDP: "192.0.2.1:1"},
	} {
		if _, err := relay.New(c, nil, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	r, err := relay.New(relay.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0"}, nil, nil, nil)
	must(t, err)
	if r.TCPAddr().(*net.TCPAddr).Port == 0 || r.Addr().(*net.UDPAddr).Port == 0 { //nolint:forcetypeassert // by Listen
		t.Error("no ports")
	}
	must(t, r.Close())
}
