package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	tcpGreeting = 5 * time.Second // until a connection has told whose it is
	tcpFirst    = 512             // bytes of the message that does, as pion has it
	tcpSource   = 32              // connections of one source that have not, for longer than a moment
	tcpWaiting  = 256             // of all sources
	tcpOfOne    = 8               // connections of one ICE session: a viewer makes one for each of its interfaces
)

// tcpMux is pion's mux, and knows whose ICE sessions it serves. pion makes half a megabyte for a user fragment that it
// does not know, for whoever sends it.
type tcpMux struct {
	*ice.TCPMuxDefault

	mu     sync.Mutex     // guards the field below
	ufrags map[string]int // connections by the local user fragment of a session
}

// GetConnByUfrag implements ice.TCPMux.
func (m *tcpMux) GetConnByUfrag(ufrag string, isIPv6 bool, local net.IP) (net.PacketConn, error) {
	m.mu.Lock()
	if _, ok := m.ufrags[ufrag]; !ok {
		m.ufrags[ufrag] = 0
	}
	m.mu.Unlock()
	return m.TCPMuxDefault.GetConnByUfrag(ufrag, isIPv6, local)
}

// RemoveConnByUfrag implements ice.TCPMux.
func (m *tcpMux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	delete(m.ufrags, ufrag)
	m.mu.Unlock()
	m.TCPMuxDefault.RemoveConnByUfrag(ufrag)
}

// claim counts a connection to a session; false if there is no such session, or it has enough.
func (m *tcpMux) claim(ufrag string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.ufrags[ufrag]
	if !ok || n >= tcpOfOne {
		return false
	}
	m.ufrags[ufrag] = n + 1
	return true
}

func (m *tcpMux) unclaim(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.ufrags[ufrag]; ok {
		m.ufrags[ufrag] = n - 1
	}
}

// greeting reads the first message of an ICE-TCP connection, which must be a STUN binding request of somebody who knows
// a session's user fragment. It returns the bytes read and that fragment.
func greeting(c net.Conn) (first []byte, ufrag string, err error) {
	if err := c.SetReadDeadline(time.Now().Add(tcpGreeting)); err != nil {
		return nil, "", err
	}
	first = make([]byte, tcpFrame, tcpFrame+tcpFirst)
	if _, err := io.ReadFull(c, first); err != nil {
		return nil, "", err
	}
	n := int(binary.BigEndian.Uint16(first))
	if n > tcpFirst {
		return nil, "", fmt.Errorf("the first message has %d bytes", n)
	}
	first = first[:tcpFrame+n]
	if _, err := io.ReadFull(c, first[tcpFrame:]); err != nil {
		return nil, "", err
	}
	if ufrag, err = ufragOf(first[tcpFrame:]); err != nil {
		return nil, "", err
	}
	return first, ufrag, c.SetReadDeadline(time.Time{})
}

var errNoRequest = errors.New("no STUN binding request")

// ufragOf returns whose session a STUN binding request is for: what is before the colon of its USERNAME (RFC 8445
// section 7.2.2).
func ufragOf(message []byte) (string, error) {
	m := stun.Message{Raw: bytes.Clone(message)}
	if err := m.Decode(); err != nil {
		return "", err
	}
	if m.Type != stun.BindingRequest {
		return "", errNoRequest
	}
	name, err := m.Get(stun.AttrUsername)
	if err != nil {
		return "", err
	}
	ufrag, _, _ := bytes.Cut(name, []byte(":"))
	return string(ufrag), nil
}
