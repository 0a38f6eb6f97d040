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
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"skein/bench/order"
)

// repairing is a WHEP viewer that asks for lost packets as browsers do, and may stop reading its socket.
type repairing struct {
	viewer // for what it negotiates
	mux    *ice.UDPMuxDefault
	conn   *stallConn

	count  sync.Mutex // guards the fields below
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

// follow opens a camera's main stream on a socket of its own at the address, until the test ends.
func (n *node) follow(t testing.TB, camera, address string, receiveBuffer int) *repairing {
	t.Helper()
	v, err := n.join(camera, address, receiveBuffer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)
	return v
}

// join opens a camera's main stream on a socket of its own at the address.
func (n *node) join(camera, address string, receiveBuffer int) (*repairing, error) {
	v, err := newRepairing(address, receiveBuffer)
	if err != nil {
		return v, err
	}
	if err := v.negotiate(n, "/v1/whep/"+camera+"?profile=main"); err != nil {
		v.close()
		return v, err
	}
	return v, nil
}

// newRepairing returns a viewer with a socket of its own at the address that has not asked for anything yet.
func newRepairing(address string, receiveBuffer int) (v *repairing, err error) {
	v = &repairing{}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	udp, err := net.ListenPacket("udp4", address)
	if err != nil {
		return v, err
	}
	v.conn = &stallConn{PacketConn: udp, stalled: make(chan struct{}), closed: make(chan struct{})}
	if err := udp.(*net.UDPConn).SetReadBuffer(receiveBuffer); err != nil {
		return v, err
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	v.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: v.conn, Logger: quiet.NewLogger("viewer")})
	s := webrtc.SettingEngine{LoggerFactory: quiet}
	s.SetICEUDPMux(v.mux)
	s.SetIncludeLoopbackCandidate(true)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetSRTPReplayProtectionWindow(1024) // as browsers; pion's 64 refuses most packets sent again
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return v, err
	}
	feedback := &interceptor.Registry{}
	if err := webrtc.ConfigureTWCCSenderWithOptions(m, feedback, twcc.WithLoggerFactory(quiet)); err != nil {
		return v, err
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s),
		webrtc.WithInterceptorRegistry(feedback)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return v, err
	}
	v.viewer.pc = pc
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	return v, nil
}

// close ends the viewer: its peer is told, unless the viewer vanished.
func (v *repairing) close() {
	if v.conn != nil {
		select {
		case <-v.conn.stalled:
			_ = v.conn.Close() // a stalled reader would hold up the rest
		default:
		}
	}
	if v.viewer.pc != nil {
		_ = v.viewer.pc.Close()
	}
	if v.mux != nil {
		_ = v.mux.Close()
	}
	if v.conn != nil {
		_ = v.conn.Close()
	}
}

// vanish drops the viewer's socket without a word, as a laptop that is closed.
func (v *repairing) vanish() {
	_ = v.conn.Close()
	v.close()
}

// stall makes the viewer stop reading its socket, for good.
func (v *repairing) stall() { close(v.conn.stalled) }

func (v *repairing) read(track *webrtc.TrackRemote) {
	in := order.Order{
		Take: func(p order.Picture, whole time.Time) {
			v.count.Lock()
			defer v.count.Unlock()
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
			v.count.Lock()
			v.lost += lost
			v.count.Unlock()
		case err != nil && in.Waiting() && errors.As(err, &late) && late.Timeout():
			in.Missing(time.Now())
		case err != nil:
			return
		}
	}
}

// forget starts the counting anew, keeping the newest frame's number.
func (v *repairing) forget() {
	v.count.Lock()
	defer v.count.Unlock()
	v.frames, v.delays, v.lost = v.frames[max(0, len(v.frames)-1):], nil, 0
}

// seen returns what was counted.
func (v *repairing) seen() (frames []uint64, delays []time.Duration, lost int) {
	v.count.Lock()
	defer v.count.Unlock()
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
