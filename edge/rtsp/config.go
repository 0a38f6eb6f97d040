package rtsp

import (
	"context"
	"log/slog"
	"net"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// Sink takes access units from the one goroutine at a time that produces them. *stream.Stream is one.
type Sink interface {
	Publish(u *media.AccessUnit)
}

var _ Sink = (*stream.Stream)(nil)

// DialFunc opens the TCP connection; the caller hangs its dial limits and proxies here.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Transport values of PullConfig.
const (
	// TransportAuto is TCP, UDP only if the camera refuses TCP, and multicast only if it refuses both. Interleaved TCP
	// passes NAT and firewalls, loses nothing and is what nearly every camera does well, so a recorder wants it first.
	TransportAuto = "auto"
	// TransportTCP is interleaved TCP only.
	TransportTCP = "tcp"
	// TransportUDP is UDP only.
	TransportUDP = "udp"
	// TransportMulticast is UDP to a multicast group only, on the interface by which the camera is reached.
	TransportMulticast = "multicast"
	// TransportAutoUDP is UDP first, for clean links where the lowest delay matters; it goes on with TCP when the
	// camera refuses UDP or no packet arrives within Timeouts.UDP.
	TransportAutoUDP = "auto-udp"
)

// Timeouts of a pull; zero values take the defaults.
type Timeouts struct {
	Connect  time.Duration // from dialling to the answer to PLAY; default 10 s
	Dial     time.Duration // the TCP connection alone; default Connect
	UDP      time.Duration // first UDP packet, before falling back to TCP; default 3 s
	Silent   time.Duration // first liveness clock: no bytes at all; default 8 s
	RTP      time.Duration // second: no RTP of our session; default 10 s
	KeyFrame time.Duration // third: no decodable picture; default 30 s
	// FirstKey is how long pictures may come before the first key frame of a session, with which all begins: cameras that
	// save bits send one only every few minutes. Default 9 times KeyFrame.
	FirstKey time.Duration
	// Renew is how long pictures may come without another key frame before the session is begun anew, which makes any
	// camera send one: footage is cut at key frames, and never would be. Default 30 min.
	Renew time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&t.Connect, 10 * time.Second}, {&t.UDP, 3 * time.Second}, {&t.Silent, 8 * time.Second},
		{&t.RTP, 10 * time.Second}, {&t.KeyFrame, 30 * time.Second}, {&t.Renew, 30 * time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if t.Dial <= 0 {
		t.Dial = t.Connect
	}
	if t.FirstKey <= 0 {
		t.FirstKey = 9 * t.KeyFrame
	}
	return t
}

// PullConfig says what to pull and how.
type PullConfig struct {
	// Camera names the source in errors and logs.
	Camera string
	// URL is rtsp:// or rtsps://, with credentials if any. Characters that a URL would want escaped are taken as
	// they are when there is no doubt: cameras' passwords are typed by people.
	URL string
	// Transport is one of the Transport constants; empty is TransportAuto.
	Transport string
	Timeouts  Timeouts
	TLS       TLS
	// IgnoreSSRC takes RTP of any source. Set it for cameras that announce one SSRC in SETUP and send another.
	IgnoreSSRC bool
	// Dial opens the TCP connection; nil is a plain net.Dialer.
	Dial DialFunc
	// Epochs numbers the epochs; Pull opens a new one. Share it between the pulls of one source. Nil makes an own one.
	Epochs *media.Epochs
	// Stats is kept up to date while Pull runs, if not nil.
	Stats *Stats
	// Logger may be nil.
	Logger *slog.Logger
}

// PublishConfig says where to publish a stream.
type PublishConfig struct {
	// Camera names the stream in errors and logs.
	Camera string
	// URL is rtsp:// or rtsps:// with the path to publish, with credentials if any.
	URL string
	TLS TLS
	// Connect limits dialling, ANNOUNCE, SETUP and RECORD together; default 10 s.
	Connect time.Duration
	// Dial opens the TCP connection; nil is a plain net.Dialer.
	Dial DialFunc
	// Logger may be nil.
	Logger *slog.Logger
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
