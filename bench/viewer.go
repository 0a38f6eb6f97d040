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

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"skein/bench/sim"
	"skein/edge/media"
)

// viewer is a real WHEP viewer: it decrypts and depacketises what it receives and reads the frame number and the
// capture time that simulated cameras put into every picture.
type viewer struct {
	pc    *webrtc.PeerConnection
	token string

	mu      sync.Mutex // guards the fields below
	asked   time.Time
	first   time.Duration // from the offer to the first whole picture, 0: none yet
	frames  int
	missing uint64
	last    uint64
	packets int
	delays  []time.Duration
	counted bool
}

// watch opens url; the API is shared by all viewers.
func watch(ctx context.Context, api *webrtc.API, url, token string) (*viewer, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	v := &viewer{pc: pc, token: token, asked: time.Now()}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	if err := v.negotiate(ctx, url); err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	return v, nil
}

func (v *viewer) negotiate(ctx context.Context, url string) error {
	_, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return err
	}
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(v.pc.LocalDescription().SDP)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/sdp")
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %s: %s", url, resp.Status, body)
	}
	return v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
}

// read depacketises until the track ends.
func (v *viewer) read(track *webrtc.TrackRemote) {
	var d codecs.H264Packet
	d.IsAVC = false
	buf := make([]byte, 1600)
	var pkt rtp.Packet
	var picture []byte
	for {
		n, _, err := track.Read(buf)
		if err != nil {
			return
		}
		if pkt.Unmarshal(buf[:n]) != nil {
			continue
		}
		nal, err := d.Unmarshal(pkt.Payload)
		if err != nil {
			continue
		}
		picture = append(picture, nal...)
		v.mu.Lock()
		v.packets++
		v.mu.Unlock()
		if pkt.Marker {
			v.picture(picture)
			picture = picture[:0]
		}
	}
}

func (v *viewer) picture(annexB []byte) {
	now := time.Now()
	var mark sim.Mark
	found := false
	for nal := range bytes.SplitSeq(annexB[:min(len(annexB), 600)], []byte{0, 0, 0, 1}) {
		if m, ok := sim.ParseSEI(nal, media.H264); ok {
			mark, found = m, true
			break
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.first == 0 {
		v.first = now.Sub(v.asked)
	}
	if !v.counted || !found {
		v.last = mark.Frame
		return
	}
	v.frames++
	if v.last != 0 && mark.Frame > v.last+1 {
		v.missing += mark.Frame - v.last - 1
	}
	v.last = mark.Frame
	v.delays = append(v.delays, now.Sub(mark.Wall))
}

// count starts or ends the measurement.
func (v *viewer) count(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counted = on
}

// newAPI returns a WebRTC API whose receivers take H.264 and have sockets large enough for key frames.
func newAPI() (*webrtc.API, error) {
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
	n, err := newRoomyNet()
	if err != nil {
		return nil, err
	}
	s := webrtc.SettingEngine{}
	s.SetNet(n)
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)), nil
}
