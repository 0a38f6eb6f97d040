package rtsptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/headers"
)

// Away is when a camera delivers nothing: the last part of each period from its start on.
type Away struct {
	Every, For time.Duration
	// Silent keeps connections and RTSP going meanwhile; otherwise the camera reboots: connections end, and new ones
	// are closed at once.
	Silent bool
}

// left returns how much of an absence is left now, 0 if the camera is there.
func (c *Camera) left() time.Duration {
	a := c.o.Away
	if a.Every == 0 {
		return 0
	}
	if phase := time.Since(c.began) % a.Every; phase >= a.Every-a.For {
		return a.Every - phase
	}
	return 0
}

// reboots closes all connections at the beginning of each absence.
func (c *Camera) reboots() {
	for n := time.Duration(1); ; n++ {
		select {
		case <-time.After(time.Until(c.began.Add(n*c.o.Away.Every - c.o.Away.For))):
			c.Hangup()
		case <-c.done:
			return
		}
	}
}

// Sent is a picture that a camera sent. It is numbered if Options.Padding is not zero.
type Sent struct {
	Number int
	At     time.Time
	Whole  bool // nothing of it was lost on the way
	Began  bool // its first two packets were not: what comes before its slice, and where that begins
}

// Sent returns the pictures sent so far, over all sessions.
func (c *Camera) Sent() []Sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Sent(nil), c.sent...)
}

func (c *Camera) note(s Sent) {
	c.frames.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, s)
}

// number returns the number of the next picture.
func (c *Camera) number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent)
}

// Mark precedes the number of a picture in its supplemental NAL unit.
const Mark = "skein rtsptest--"

// digits writes a number so that no start code can come about.
func digits(number int) []byte {
	var b [4]byte
	for i := range b {
		b[i] = 0x80 | byte(number>>(7*(3-i))&0x7f)
	}
	return b[:]
}

// Number finds the number of a picture by Options.Padding.
func Number(nalus [][]byte) (number int, ok bool) {
	for _, n := range nalus {
		if i := bytes.Index(n, []byte(Mark)); i >= 0 && len(n) >= i+len(Mark)+4 {
			v := binary.BigEndian.Uint32(n[i+len(Mark):])
			return int(v&0x7f | v>>1&(0x7f<<7) | v>>2&(0x7f<<14) | v>>3&(0x7f<<21)), true
		}
	}
	return 0, false
}

// renew makes the track another source: SSRC, sequence numbers and timestamps begin anew.
func (t *sender) renew() {
	t.ssrc, t.start, t.shift = rand.Uint32()|1, rand.Uint32(), uint16(rand.Uint32()) //nolint:gosec // a test
}

// openMulticast sends to a group of the test's own on the loopback interface.
func (t *sender) openMulticast(nc net.Conn, out *headers.Transport) error {
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("no address")
	}
	group := net.IPv4(239, 255, byte(rand.IntN(256)), byte(1+rand.IntN(254))) //nolint:gosec // a test
	port := 4000 + 2*rand.IntN(3000)                                          //nolint:gosec // a test
	var err error
	// Bound to the loopback address, Linux sends on the loopback interface.
	if t.rtp, err = net.DialUDP("udp4", &net.UDPAddr{IP: local.IP}, &net.UDPAddr{IP: group, Port: port}); err != nil {
		return err
	}
	if t.rtcp, err = net.DialUDP("udp4", &net.UDPAddr{IP: local.IP}, &net.UDPAddr{IP: group, Port: port + 1}); err != nil {
		return err
	}
	name, ttl := group.String(), uint(1)
	out.Destination2, out.Ports, out.TTL = &name, &[2]int{port, port + 1}, &ttl
	return nil
}
