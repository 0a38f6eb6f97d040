// Package rtsptest is a scripted RTSP camera for tests: a good one over TCP and UDP with several codecs, and every kind
// of bad one. It speaks from its own small state machine, so that it can also say what no library would.
package rtsptest

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/auth"

	"skein/edge/media"
)

// Fault is what is wrong with the camera.
type Fault int

// The faults.
const (
	None            Fault = iota
	HTTPServer            // an HTTP server answers
	RandomBytes           // random bytes come for each request
	NoAnswer              // the connection opens, nothing is ever said
	NotFound              // DESCRIBE answers 404
	SilentAfterPlay       // PLAY is accepted, then nothing comes
	ForeignRTP            // PLAY is accepted, then only RTP of another session comes
	NoKeyFrames           // pictures come, but never a key frame
	NoTCP                 // SETUP refuses interleaved TCP with 461
	NoUDP                 // SETUP refuses UDP with 461
	DeafUDP               // SETUP accepts UDP, but no packet arrives, as behind a firewall
	MulticastOnly         // SETUP refuses all but multicast with 461
)

// Options of a camera. The zero value is a good H.264 camera without a password.
type Options struct {
	Fault Fault
	// Video is H264 by default; Audio is none by default.
	Video, Audio media.Codec
	// OnlyAudio offers no picture.
	OnlyAudio bool
	// FPS of the picture, 25 by default. The clip repeats; every 25th picture is a key frame.
	FPS int
	// Film is shown in place of the built-in clip, if not nil. It repeats too.
	Film *Film
	// Padding adds a supplemental NAL unit of so many bytes to each picture (H.264 and H.265), which also numbers it.
	Padding int
	// Bulk makes the last slice of each picture longer by so many bytes, which mean nothing (H.264 and H.265).
	Bulk int
	// User and Password are asked for if User is not empty.
	User, Password string
	// Auth lists the methods offered; default digest with MD5.
	Auth []auth.VerifyMethod
	// TLS makes it an rtsps camera.
	TLS *tls.Config

	// Disconnect closes the connection after so many pictures, if not zero.
	Disconnect int
	// Stamp changes the RTP timestamp of picture n (from 0), given the right one: jumps, repetitions, steps back.
	Stamp func(n int, ts uint32) uint32
	// Lose reports whether RTP packet n (from 0, all tracks) is lost on the way.
	Lose func(n int) bool
	// Cut returns how many bytes are missing at the end of interleaved frame n (from 0, all tracks).
	Cut func(n int) int
	// Away is when the camera delivers nothing.
	Away Away
	// NewSSRC makes the picture another source after every so many pictures, if not zero.
	NewSSRC int
	// Rate is how fast the camera's clock runs; 0 is right. The pictures come at the right pace.
	Rate float64

	HideSSRC      bool // say no SSRC in SETUP
	LyingSSRC     bool // say another SSRC in SETUP than the packets carry
	EarlyRTP      bool // RTP of another session comes before PLAY
	Junk          bool // stray bytes stand between the interleaved frames
	Metadata      bool // the SDP has an ONVIF metadata track, a back channel and an unreadable track
	BadSDP        bool // the SDP's parameter sets are those of another stream
	NoParameters  bool // parameter sets are in the SDP only
	MarkEachNALU  bool // the marker is on each NAL unit's last packet, not only the picture's
	MarkAll       bool // the marker is on every packet
	ClockOffsetMS int  // the sender reports' clock is ahead by so much
}

// Camera is a running camera.
type Camera struct {
	o      Options
	ln     net.Listener
	wg     sync.WaitGroup
	done   chan struct{}
	once   sync.Once
	frames atomic.Int64
	plays  atomic.Int64

	began time.Time

	mu    sync.Mutex // guards the fields below
	conns map[net.Conn]struct{}
	sent  []Sent
}

// Start runs a camera on a free port of 127.0.0.1 until the test ends.
func Start(tb testing.TB, o Options) *Camera {
	tb.Helper()
	c, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// New runs a camera on a free port of 127.0.0.1 until Close.
func New(o Options) (*Camera, error) {
	o = o.withDefaults()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test server
	if err != nil {
		return nil, fmt.Errorf("start camera: %w", err)
	}
	c := &Camera{o: o, ln: ln, done: make(chan struct{}), began: time.Now(), conns: map[net.Conn]struct{}{}}
	if o.TLS != nil {
		c.ln = tls.NewListener(ln, o.TLS)
	}
	c.wg.Go(c.accept)
	if o.Away.Every > 0 && !o.Away.Silent {
		c.wg.Go(c.reboots)
	}
	return c, nil
}

func (o Options) withDefaults() Options {
	if o.Film != nil {
		o.Video = o.Film.Codec
	}
	if o.Video == 0 && !o.OnlyAudio {
		o.Video = media.H264
	}
	if o.FPS == 0 {
		o.FPS = 25
	}
	if len(o.Auth) == 0 {
		o.Auth = []auth.VerifyMethod{auth.VerifyMethodDigestMD5}
	}
	return o
}

// URL returns the camera's address with its credentials, properly escaped.
func (c *Camera) URL() string {
	u := url.URL{Scheme: "rtsp", Host: c.Addr(), Path: "/stream"}
	if c.o.TLS != nil {
		u.Scheme = "rtsps"
	}
	if c.o.User != "" {
		u.User = url.UserPassword(c.o.User, c.o.Password)
	}
	return u.String()
}

// Addr returns host:port.
func (c *Camera) Addr() string { return c.ln.Addr().String() }

// Frames returns how many pictures were sent, over all sessions.
func (c *Camera) Frames() int { return int(c.frames.Load()) }

// Plays returns how many PLAY requests were accepted.
func (c *Camera) Plays() int { return int(c.plays.Load()) }

// Close stops the camera and all its sessions. It may be called twice.
func (c *Camera) Close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.ln.Close()
		c.mu.Lock()
		for conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
	})
	c.wg.Wait()
}

// Hangup closes all connections, as a camera that reboots does; new ones are accepted.
func (c *Camera) Hangup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (c *Camera) accept() {
	for {
		conn, err := c.ln.Accept()
		if err != nil {
			return
		}
		if !c.o.Away.Silent && c.left() > 0 {
			_ = conn.Close()
			continue
		}
		c.mu.Lock()
		c.conns[conn] = struct{}{}
		c.mu.Unlock()
		c.wg.Go(func() {
			defer func() {
				_ = conn.Close()
				c.mu.Lock()
				delete(c.conns, conn)
				c.mu.Unlock()
			}()
			c.serve(conn)
		})
	}
}

// serve speaks with one client.
func (c *Camera) serve(conn net.Conn) {
	switch c.o.Fault {
	case NoAnswer, HTTPServer, RandomBytes:
		buf := make([]byte, 4096)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			var answer []byte
			switch c.o.Fault {
			case HTTPServer:
				answer = []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			case RandomBytes:
				rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // bytes for a test
				answer = make([]byte, 512)
				for i := range answer {
					answer[i] = byte(rnd.Uint32())
				}
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
	newSession(c, conn).run()
}
