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

// frame consumes one interleaved frame. After PLAY only what can be one of our session is taken for one: a camera that
// loses bytes of its stream costs the packets they belong to, and no more.
func (f *framer) frame() error {
	if err := f.need(4); err != nil {
		return err
	}
	n := 4 + f.frameLength(f.r)
	t := f.table.Load()
	if t != nil && f.pass.Load() {
		f.state, f.left = inBody, n
		return nil
	}
	if t != nil {
		if err := f.need(min(n, frameHead)); err != nil {
			return err
		}
		if !f.plausible(t, f.r) {
			f.r++ // a byte of something else: look on
			return nil
		}
	}
	if err := f.need(n); err != nil {
		return err
	}
	if t == nil {
		f.r += n
		return nil
	}
	if cut := f.cutShort(t, n); cut > 0 {
		f.r += cut
		f.stats.malformed.Add(1)
		return nil
	}
	channel, payload := f.buf[f.r+1], f.buf[f.r+4:f.r+n]
	f.r += n
	if t[channel] != nil {
		t[channel](payload, f.now)
	}
	return nil
}

// frameHead is what is looked at of a frame to tell it from bytes that only look like one: its header and the first
// byte of the packet.
const frameHead = 5

func (f *framer) frameLength(at int) int { return int(f.buf[at+2])<<8 | int(f.buf[at+3]) }

// plausible reports whether a frame of our session begins at a position of which the head is buffered: on a channel of
// ours stands an RTP or RTCP packet (version 2). Of others nothing is known but that one of ours, or a message, is
// next.
func (f *framer) plausible(t *routes, at int) bool {
	if f.ours(t, at) {
		return true
	}
	end := at + 4 + f.frameLength(at)
	return f.buf[at] == '$' && t[f.buf[at+1]] == nil && end+frameHead <= f.w &&
		(f.ours(t, end) || startsMessage(f.buf[end:end+4]))
}

// ours reports whether a frame on a channel of our session begins at a position of which the head is buffered.
func (f *framer) ours(t *routes, at int) bool {
	return f.buf[at] == '$' && t[f.buf[at+1]] != nil &&
		(f.frameLength(at) == 0 || at+frameHead <= f.w && f.buf[at+4]>>6 == 2)
}

// cutShort looks at a frame of n bytes behind which neither a frame nor a message follows: if two frames begin one
// behind the other inside it, bytes of it are missing. It returns where the first begins, 0: nowhere.
func (f *framer) cutShort(t *routes, n int) int {
	end := f.r + n
	if end+frameHead > f.w || f.plausible(t, end) || startsMessage(f.buf[end:end+4]) {
		return 0
	}
	for at := f.r + 4; at < end && at+frameHead <= f.w; at++ {
		next := at + 4 + f.frameLength(at)
		if next > end && next+frameHead <= f.w && f.ours(t, at) && f.ours(t, next) {
			return at - f.r
		}
	}
	return 0
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
