//go:build !linux

package relay

import "net"

const segmentMessageLen = 24

func segmentation(*net.UDPConn) bool { return false }

func putSegmentMessage([]byte, uint16) {}

func widen(conn *net.UDPConn, bytes int) {
	_ = conn.SetReadBuffer(bytes)
	_ = conn.SetWriteBuffer(bytes)
}
