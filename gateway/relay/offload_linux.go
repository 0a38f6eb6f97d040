package relay

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// segmentMessageLen is the size of a UDP_SEGMENT control message with padding.
const segmentMessageLen = 24

// segmentation tells whether the kernel cuts large sends on conn into datagrams (UDP GSO, Linux 4.18).
func segmentation(conn *net.UDPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		ok = err == nil
	})
	return ok && err == nil && unix.CmsgSpace(2) == segmentMessageLen
}

// putSegmentMessage writes the control message that asks for segments of size bytes (cmsg(3), udp(7)).
func putSegmentMessage(oob []byte, size uint16) {
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(oob[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(oob[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint64(oob[16:], 0)
	binary.NativeEndian.PutUint16(oob[16:], size)
}

// widen asks for large socket buffers; the kernel grants what it allows.
func widen(conn *net.UDPConn, bytes int) {
	_ = conn.SetReadBuffer(bytes)
	_ = conn.SetWriteBuffer(bytes)
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // beyond the system's limit, if we may
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes)
	})
}
