package sim

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// videoPayloadType is the RTP payload type of all video; audio has others.
const videoPayloadType = 96

// maxHeld bounds how much of an access unit is held back for one write.
const maxHeld = 64 << 10

// batchListener hands out connections that send a picture's packets with one system call.
type batchListener struct{ net.Listener }

func (l batchListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &batchConn{Conn: c}, nil
}

// batchConn holds interleaved video packets (RFC 2326 section 10.12) back until the one with the marker bit. Anything
// else goes out at once, after what is held.
type batchConn struct {
	net.Conn

	mu       sync.Mutex
	held     []byte
	deadline time.Time
}

// Write takes a whole message, as the RTSP library writes them.
func (c *batchConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if unfinished(p) && len(c.held)+len(p) < maxHeld {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if len(c.held) > 0 {
		c.held = append(c.held, p...)
		_, err := c.Conn.Write(c.held)
		c.held = c.held[:0]
		if err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// unfinished tells whether p is a video packet that others of its picture follow.
func unfinished(p []byte) bool {
	const head = 4
	return len(p) > head+12 && p[0] == '$' && p[1]&1 == 0 && int(binary.BigEndian.Uint16(p[2:])) == len(p)-head &&
		p[head+1] == videoPayloadType
}

// SetWriteDeadline skips changes of less than a second: the library sets one for every packet.
func (c *batchConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := t.Sub(c.deadline); !t.IsZero() && d >= 0 && d < time.Second {
		return nil
	}
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}
