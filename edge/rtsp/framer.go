package rtsp

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of what a camera may send between two frames.
const (
	framerBuffer   = 4 + 65535 + 4096 // the largest interleaved frame and something behind it
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 1 << 20
)

// frameFunc takes one interleaved frame's payload, valid during the call only.
type frameFunc func(payload []byte, arrival time.Time)

// routes says who gets the interleaved frames (RFC 2326 section 10.12) of each channel; nil drops them.
type routes [256]frameFunc

// framer stands between a TCP connection and the RTSP library. It takes interleaved frames out of the byte stream and
// hands them to their track from one large read buffer, without an allocation; only RTSP messages go on to the library.
//
// That also makes three kinds of cameras harmless: those that send RTP of another session before PLAY, those with
// garbage between frames, and servers that are no RTSP servers, which are told apart by their first bytes.
//
// Read belongs to one goroutine; route and passThrough may be called from another.
type framer struct {
	net.Conn
	stats *Stats

	table atomic.Pointer[routes]
	pass  atomic.Bool // interleaved frames go to the library too: it holds the SRTP keys

	// owned by the reading goroutine
	buf     []byte
	r, w    int
	now     time.Time // of the last read
	sniffed bool
	state   framerState
	left    int // bytes of a body (or of a passed frame) still to hand over
	line    []byte
	header  int // bytes of the current header so far
	length  int // its Content-Length
}

type framerState uint8

const (
	atBoundary framerState = iota
	inHeader
	inBody
)

func newFramer(c net.Conn, stats *Stats) *framer {
	return &framer{Conn: c, stats: stats, buf: make([]byte, framerBuffer)}
}

// route installs the receivers of interleaved frames.
func (f *framer) route(t *routes) { f.table.Store(t) }

// passThrough hands interleaved frames to the library from now on.
func (f *framer) passThrough() { f.pass.Store(true) }

// Read returns bytes of RTSP messages only.
func (f *framer) Read(p []byte) (int, error) {
	for {
		if f.r == f.w {
			if err := f.fill(); err != nil {
				return 0, err
			}
		}
		switch f.state {
		case inBody:
			n := copy(p, f.buf[f.r:min(f.w, f.r+f.left)])
			f.r += n
			if f.left -= n; f.left == 0 {
				f.state = atBoundary
			}
			return n, nil
		case inHeader:
			return f.readHeader(p)
		default:
			if err := f.boundary(); err != nil {
				return 0, err
			}
		}
	}
}

// fill reads more; it keeps what is not consumed yet.
func (f *framer) fill() error {
	if f.r == f.w {
		f.r, f.w = 0, 0
	} else if len(f.buf)-f.w < 2048 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	n, err := f.Conn.Read(f.buf[f.w:])
	if n > 0 {
		f.w += n
		f.now = time.Now()
		f.stats.read(n, f.now)
		return nil
	}
	return err
}

// need waits until n bytes are buffered.
func (f *framer) need(n int) error {
	for f.w-f.r < n {
		if len(f.buf)-f.r < n {
			f.w = copy(f.buf, f.buf[f.r:f.w])
			f.r = 0
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
	return nil
}

// boundary looks at the first byte after a frame or message.
func (f *framer) boundary() error {
	if !f.sniffed {
		return f.sniff()
	}
	if f.buf[f.r] == '$' {
		return f.frame()
	}
	if err := f.need(4); err != nil {
		return err
	}
	if !startsMessage(f.buf[f.r : f.r+4]) {
		f.r++ // stray bytes: look for the next frame or message
		return nil
	}
	f.state, f.line, f.header, f.length = inHeader, f.line[:0], 0, 0
	return nil
}

// frame consumes one interleaved frame.
func (f *framer) frame() error {
	if err := f.need(4); err != nil {
		return err
	}
	channel := f.buf[f.r+1]
	n := 4 + (int(f.buf[f.r+2])<<8 | int(f.buf[f.r+3]))
	t := f.table.Load()
	if t != nil && f.pass.Load() {
		f.state, f.left = inBody, n
		return nil
	}
	if err := f.need(n); err != nil {
		return err
	}
	payload := f.buf[f.r+4 : f.r+n]
	f.r += n
	if t != nil && t[channel] != nil {
		t[channel](payload, f.now)
	}
	return nil
}

// sniff judges the first bytes of the connection.
func (f *framer) sniff() error {
	for f.r < f.w && (f.buf[f.r] == '\r' || f.buf[f.r] == '\n') {
		f.r++
	}
	if f.r == f.w {
		return nil
	}
	if f.buf[f.r] != '$' {
		if err := f.need(4); err != nil {
			return err
		}
		if err := judge(f.buf[f.r:f.w]); err != nil {
			return err
		}
	}
	f.sniffed = true
	return nil
}

// judge names what answers in place of an RTSP server. b has at least 4 bytes.
func judge(b []byte) error {
	if startsMessage(b) {
		return nil
	}
	b = b[:min(len(b), 16)]
	if bytes.HasPrefix(b, []byte("HTTP")) || b[0] == '<' {
		return errHTTP
	}
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return errGarbage
		}
	}
	return fmt.Errorf("%w: it says %q", errNotRTSP, b)
}

// startsMessage reports whether b, of at least 4 bytes, begins an RTSP response or a request that servers send.
func startsMessage(b []byte) bool {
	switch string(b[:4]) {
	case "RTSP", "OPTI", "GET_", "SET_", "ANNO", "REDI", "TEAR", "PLAY", "DESC", "PAUS", "SETU", "RECO":
		return true
	}
	return false
}

// readHeader copies header bytes to p until the empty line that ends the header.
func (f *framer) readHeader(p []byte) (int, error) {
	n := 0
	for n < len(p) && f.r < f.w {
		c := f.buf[f.r]
		p[n] = c
		f.r++
		n++
		if f.header++; f.header > maxHeaderBytes {
			return 0, fmt.Errorf("RTSP header of more than %d bytes", maxHeaderBytes)
		}
		if c != '\n' {
			if len(f.line) < 128 {
				f.line = append(f.line, c)
			}
			continue
		}
		line := strings.TrimRight(string(f.line), "\r")
		f.line = f.line[:0]
		if line != "" {
			if err := f.noteLength(line); err != nil {
				return 0, err
			}
			continue
		}
		f.state, f.left = inBody, f.length
		if f.length == 0 {
			f.state = atBoundary
		}
		break
	}
	return n, nil
}

func (f *framer) noteLength(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
	if err != nil || n > maxBodyBytes {
		return fmt.Errorf("RTSP Content-Length %q is not acceptable", strings.TrimSpace(value))
	}
	f.length = int(n)
	return nil
}

// countingUDP counts what a UDP socket receives, as the framer does for TCP.
type countingUDP struct {
	*net.UDPConn
	stats *Stats
}

func (c *countingUDP) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := c.UDPConn.ReadFrom(p)
	if n > 0 {
		c.stats.read(n, time.Now())
	}
	return n, addr, err
}
