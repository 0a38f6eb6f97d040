package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"skein/bench/order"
)

// viewer is a real WHEP viewer: it decrypts what it receives, puts it in order, asks again for what is missing, and
// reads the frame number and the time that simulated cameras put into every picture.
type viewer struct {
	pc     *webrtc.PeerConnection
	client *http.Client
	token  string
	offer  string

	mu       sync.Mutex // guards the fields below
	steps    steps
	came     chan struct{} // closed with the first whole key frame
	seen     tally
	last     uint64 // frame number
	unmarked uint64 // pictures without one since
	paces    bool   // count is on
}

// steps are the moments of a viewer's beginning; zero until they come.
type steps struct{ asked, answered, ice, connected, packet, picture time.Time }

// tally is what a viewer counted.
type tally struct {
	packets, frames int
	missing         uint64 // frame numbers that never came
	lost            int    // packets that were not there when the next one came, repaired or not
	delays          []time.Duration
}

// prepare makes a viewer with its offer; join connects it. The API and the client are shared by all viewers.
func prepare(api *webrtc.API, client *http.Client, token string) (*viewer, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	v := &viewer{pc: pc, client: client, token: token, came: make(chan struct{})}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		if s == webrtc.ICEConnectionStateConnected {
			v.note(&v.steps.ice)
		}
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			v.note(&v.steps.connected)
		}
	})
	if v.offer, err = offerOf(pc); err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	return v, nil
}

// watch prepares a viewer and connects it.
func watch(ctx context.Context, api *webrtc.API, client *http.Client, url, token string) (*viewer, error) {
	v, err := prepare(api, client, token)
	if err != nil {
		return nil, err
	}
	if err := v.join(ctx, url); err != nil {
		return nil, errors.Join(err, v.pc.Close())
	}
	return v, nil
}

func (v *viewer) note(at *time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.IsZero() {
		*at = time.Now()
	}
}

// offerOf returns an offer to receive one video, with all candidates.
func offerOf(pc *webrtc.PeerConnection) (string, error) {
	_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return "", err
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// join sends the offer and applies the answer.
func (v *viewer) join(ctx context.Context, url string) error {
	v.note(&v.steps.asked)
	answer, err := post(ctx, v.client, url, v.token, v.offer)
	if err != nil {
		return err
	}
	v.note(&v.steps.answered)
	return v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// post sends an offer to a WHEP endpoint and returns the answer.
func post(ctx context.Context, client *http.Client, url, token, offer string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(offer)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("POST %s: %s: %s", url, resp.Status, body)
	}
	return string(body), nil
}

// newClient returns a client that keeps as many connections as there are viewers, as their browsers would.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}, Timeout: 30 * time.Second}
}

// read takes packets until the track ends.
func (v *viewer) read(track *webrtc.TrackRemote) {
	in := order.Order{Take: v.picture, Ask: func(seqs []uint16) { v.nack(uint32(track.SSRC()), seqs) }}
	buf := make([]byte, 1600)
	var pkt rtp.Packet
	for {
		if in.Waiting() {
			_ = track.SetReadDeadline(time.Now().Add(order.AskAgain)) // fails on closed tracks only, as Read does below
		}
		n, _, err := track.Read(buf)
		now := time.Now()
		switch {
		case err == nil && pkt.Unmarshal(buf[:n]) == nil && len(pkt.Payload) > 0:
			v.packet(in.Push(&pkt, now), now)
		case err != nil && in.Waiting() && isTimeout(err):
			in.Missing(now)
		case err != nil:
			return
		}
		if !in.Waiting() {
			_ = track.SetReadDeadline(time.Time{})
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (v *viewer) packet(lost int, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.steps.packet.IsZero() {
		v.steps.packet = now
	}
	v.seen.packets++
	v.seen.lost += lost
}

// picture takes a whole picture.
func (v *viewer) picture(p order.Picture, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.Key && v.steps.picture.IsZero() {
		v.steps.picture = now
		close(v.came)
	}
	if v.paces {
		v.seen.frames++
	}
	if !p.Marked { // some servers leave the mark's NAL unit out except in key frames
		v.unmarked++
		return
	}
	if v.paces {
		if due := v.last + v.unmarked + 1; v.last != 0 && p.Mark.Frame > due {
			v.seen.missing += p.Mark.Frame - due
		}
		v.seen.delays = append(v.seen.delays, now.Sub(p.Mark.Wall))
	}
	v.last, v.unmarked = p.Mark.Frame, 0
}

// count begins or ends a measurement and returns what was counted before.
func (v *viewer) count(on bool) tally {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.seen
	v.seen, v.paces = tally{}, on
	return t
}

// begun returns the moments of the viewer's beginning.
func (v *viewer) begun() steps {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.steps
}

// nack asks for packets (RFC 4585 section 6.2.1).
func (v *viewer) nack(ssrc uint32, seqs []uint16) {
	_ = v.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
	}}) // fails on closed connections, whose tracks end anyway
}

// newAPI returns a WebRTC API whose receivers take H.264; tune may change its settings.
func newAPI(tune func(*webrtc.SettingEngine)) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	for i, profile := range []string{"42e01f", "4d001f", "640028"} {
		err := m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
				SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile,
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
			},
			PayloadType: webrtc.PayloadType(102 + i),
		}, webrtc.RTPCodecTypeVideo)
		if err != nil {
			return nil, err
		}
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetSRTPReplayProtectionWindow(1024) // as browsers; pion's 64 refuses most packets sent again
	tune(&s)
	feedback := &interceptor.Registry{}
	err := webrtc.ConfigureTWCCSenderWithOptions(m, feedback, twcc.WithLoggerFactory(s.LoggerFactory)) // as browsers
	if err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s),
		webrtc.WithInterceptorRegistry(feedback)), nil
}

// realAPI is the API of real viewers on one network interface, with sockets large enough for key frames.
func realAPI(device string) (*webrtc.API, error) {
	n, err := newRoomyNet()
	if err != nil {
		return nil, err
	}
	return newAPI(func(s *webrtc.SettingEngine) {
		s.SetNet(n)
		s.SetInterfaceFilter(func(name string) bool { return name == device })
	})
}
