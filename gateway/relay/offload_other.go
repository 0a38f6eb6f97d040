//go:build !linux

package relay

import (
	"net"
	"net/netip"
)

func segmentation(*net.UDPConn) bool { return false }

func widen(conn *net.UDPConn, bytes int) (granted int) {
	_ = conn.SetReadBuffer(bytes)
	_ = conn.SetWriteBuffer(bytes)
	return bytes
}

// keepShort bounds what waits in the kernel, at some cost over long distances.
func keepShort(conn *net.TCPConn) { _ = conn.SetWriteBuffer(128 << 10) }

type sockaddr struct{}

func makeSockaddr(netip.AddrPort, bool) sockaddr { return sockaddr{} }

// wire sends datagrams one by one.
type wire struct{ out *outlet }

func newWire(o *outlet) *wire { return &wire{out: o} }

func (w *wire) add(p *path, data []byte, _ int) {
	if _, err := w.out.conn.WriteToUDPAddrPort(data, p.addr); err != nil {
		w.out.errors.Add(1)
	}
}

func (w *wire) flush() {}
