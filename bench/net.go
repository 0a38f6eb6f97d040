package main

import (
	"net"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// receiveBuffer is what the viewers' sockets ask for: with the system's usual 212 kB, key frames of 1080p cameras are
// lost on loopback before a viewer that shares two cores with everything else gets to read them.
const receiveBuffer = 4 << 20

// roomyNet opens sockets with a large receive buffer.
type roomyNet struct{ *stdnet.Net }

func newRoomyNet() (*roomyNet, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return &roomyNet{n}, nil
}

// ListenUDP implements transport.Net.
func (n *roomyNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.Net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	if s, ok := c.(interface{ SetReadBuffer(bytes int) error }); ok {
		if err := s.SetReadBuffer(receiveBuffer); err != nil {
			return nil, err
		}
	}
	return c, nil
}
