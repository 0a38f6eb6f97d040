package main

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"skein/bench/order"
)

// repairing is a WHEP viewer that asks for lost packets as browsers do, and may stop reading its socket.
type repairing struct {
	pc   *webrtc.PeerConnection
	conn *stallConn

	mu     sync.Mutex // guards the fields below
	frames []uint64
	delays []time.Duration // from sending to whole, if the camera stamps so
	lost   int
}

// stallConn is a socket whose reader can go away for good, with the socket left open.
type stallConn struct {
	net.PacketConn
	stalled chan struct{} // closed by stall
	closed  chan struct{}
	once    sync.Once
}

// ReadFrom implements net.PacketConn.
func (c *stallConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-c.stalled:
		<-c.closed
		return 0, nil, net.ErrClosed
	default:
		return c.PacketConn.ReadFrom(b)
	}
}

// Close implements net.PacketConn.
func (c *stallConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.PacketConn.Close()
}

// follow opens a camera's main stream on a socket of its own at the address.
func (n *node) follow(t testing.TB, camera, address string, receiveBuffer int) *repairing {
	t.Helper()
	udp, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := udp.(*net.UDPConn).SetReadBuffer(receiveBuffer); err != nil {
		t.Fatal(err)
	}
	v := &repairing{conn: &stallConn{PacketConn: udp, stalled: make(chan struct{}), closed: make(chan struct{})}}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: v.conn, Logger: quiet.NewLogger("viewer")})
	s := webrtc.SettingEngine{LoggerFactory: quiet}
	s.SetICEUDPMux(mux)
	s.SetIncludeLoopbackCandidate(true)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetSRTPReplayProtectionWindow(1024) // as browsers; pion's 64 refuses most packets sent again
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	v.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = v.conn.Close() // first: a stalled reader would hold up the rest
		_ = v.pc.Close()
		_ = mux.Close()
	})
	v.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	if err := (&viewer{pc: v.pc}).negotiate(n, "/v1/whep/"+camera+"?profile=main"); err != nil {
		t.Fatal(err)
	}
	return v
}

// stall makes the viewer stop reading its socket, for good.
func (v *repairing) stall() { close(v.conn.stalled) }

func (v *repairing) read(track *webrtc.TrackRemote) {
	in := order.Order{
		Take: func(p order.Picture, whole time.Time) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.frames = append(v.frames, p.Mark.Frame)
			v.delays = append(v.delays, whole.Sub(p.Mark.Wall))
		},
		Ask: func(seqs []uint16) {
			_ = v.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
				MediaSSRC: uint32(track.SSRC()), Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
			}})
		},
	}
	buf := make([]byte, 1600)
	var pkt rtp.Packet
	for {
		deadline := time.Time{}
		if in.Waiting() {
			deadline = time.Now().Add(order.AskAgain)
		}
		_ = track.SetReadDeadline(deadline)
		n, _, err := track.Read(buf)
		var late interface{ Timeout() bool }
		switch {
		case err == nil && pkt.Unmarshal(buf[:n]) == nil && len(pkt.Payload) > 0:
			lost := in.Push(&pkt, time.Now())
			v.mu.Lock()
			v.lost += lost
			v.mu.Unlock()
		case err != nil && in.Waiting() && errors.As(err, &late) && late.Timeout():
			in.Missing(time.Now())
		case err != nil:
			return
		}
	}
}

// forget starts the counting anew, keeping the newest frame's number.
func (v *repairing) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames, v.delays, v.lost = v.frames[max(0, len(v.frames)-1):], nil, 0
}

// seen returns what was counted.
func (v *repairing) seen() (frames []uint64, delays []time.Duration, lost int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.frames), slices.Sorted(slices.Values(v.delays)), v.lost
}

// metric reads one figure of the node's metrics.
func (n *node) metric(name string) (float64, error) {
	_, body, err := n.get("/metrics")
	if err != nil {
		return 0, err
	}
	for _, l := range lines(string(body)) {
		if v, ok := strings.CutPrefix(l, name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.New("no metric " + name)
}

// quantile returns the q-quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
