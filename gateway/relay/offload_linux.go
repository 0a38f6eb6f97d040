package relay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

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

// unsent is how much the kernel keeps of an ICE-TCP connection beyond what is on the way.
const unsent = 16 << 10

// keepShort bounds what waits in the kernel (TCP_NOTSENT_LOWAT, tcp(7)): nobody can skip what is in there.
func keepShort(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}

// sockaddr is a remote address in the form the kernel takes, for a socket of one family.
type sockaddr struct {
	bytes [unix.SizeofSockaddrInet6]byte
	size  uint32
}

// makeSockaddr encodes addr (ip(7), ipv6(7)); six is the socket's family.
func makeSockaddr(addr netip.AddrPort, six bool) (s sockaddr) {
	if !six {
		a := addr.Addr().Unmap().As4()
		binary.NativeEndian.PutUint16(s.bytes[0:], unix.AF_INET)
		binary.BigEndian.PutUint16(s.bytes[2:], addr.Port())
		copy(s.bytes[4:], a[:])
		s.size = unix.SizeofSockaddrInet4
		return s
	}
	a := addr.Addr().As16()
	binary.NativeEndian.PutUint16(s.bytes[0:], unix.AF_INET6)
	binary.BigEndian.PutUint16(s.bytes[2:], addr.Port())
	copy(s.bytes[8:], a[:])
	if zone := addr.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			binary.NativeEndian.PutUint32(s.bytes[24:], uint32(i.Index))
		}
	}
	s.size = unix.SizeofSockaddrInet6
	return s
}

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
}

// wire sends messages with sendmmsg(2). It uses the descriptor without Go's lock on writers, so that several goroutines
// send in parallel; only when the socket is full does it wait in line. It is owned by one goroutine.
type wire struct {
	out   *outlet
	raw   syscall.RawConn
	msgs  [batchRuns]message
	iovs  [batchRuns]unix.Iovec
	oob   [batchRuns * segmentMessageLen]byte
	n     int // messages queued
	at    int // messages done
	errno syscall.Errno
	once  func(fd uintptr)      // send, kept to save an allocation
	wait  func(fd uintptr) bool // send, waiting for room
}

func newWire(o *outlet) *wire {
	w := &wire{out: o}
	w.raw, _ = o.conn.SyscallConn() // fails for a nil conn only
	w.once = w.send
	w.wait = func(fd uintptr) bool {
		w.send(fd)
		return w.errno != unix.EAGAIN
	}
	return w
}

// add queues data to p, cut into datagrams of segment bytes if that is not 0. data must stay as it is until flush.
func (w *wire) add(p *path, data []byte, segment int) {
	if w.n == len(w.msgs) {
		w.flush()
	}
	iov, h := &w.iovs[w.n], &w.msgs[w.n].header
	iov.Base = &data[0]
	iov.SetLen(len(data))
	h.Name, h.Namelen = &p.sock.bytes[0], p.sock.size
	h.Iov = iov
	h.SetIovlen(1)
	h.Control = nil
	h.SetControllen(0)
	if segment > 0 {
		oob := w.oob[w.n*segmentMessageLen : (w.n+1)*segmentMessageLen]
		putSegmentMessage(oob, uint16(segment))
		h.Control = &oob[0]
		h.SetControllen(segmentMessageLen)
	}
	w.n++
}

// send hands what is left to the kernel once. It leaves the error of the message at w.at in errno.
func (w *wire) send(fd uintptr) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.msgs[w.at])),
		uintptr(w.n-w.at), unix.MSG_DONTWAIT, 0, 0)
	w.errno = errno
	if errno == 0 {
		w.at += int(n)
	}
}

// flush sends everything queued. A message the kernel refuses is counted and skipped; if it refuses segmentation, that
// is given up for good and the message is cut here.
func (w *wire) flush() {
	for w.at = 0; w.at < w.n; {
		err := w.raw.Control(w.once)
		if w.errno == unix.EAGAIN && err == nil {
			err = w.raw.Write(w.wait)
		}
		if err != nil { // closed
			break
		}
		if w.errno != 0 && w.errno != unix.EINTR && w.errno != unix.EAGAIN {
			w.refused()
			w.at++
		}
	}
	w.n = 0
}

func (w *wire) refused() {
	h := &w.msgs[w.at].header
	if h.Control == nil || (w.errno != unix.EIO && w.errno != unix.EINVAL && w.errno != unix.EOPNOTSUPP) {
		w.out.errors.Add(1)
		return
	}
	w.out.gso.Store(false)
	segment := int(binary.NativeEndian.Uint16(w.oob[w.at*segmentMessageLen+16:]))
	data := unsafe.Slice(w.iovs[w.at].Base, int(w.iovs[w.at].Len))
	to, err := w.addr()
	if err != nil {
		w.out.errors.Add(1)
		return
	}
	for len(data) > 0 {
		part := data[:min(segment, len(data))]
		data = data[len(part):]
		if _, err := w.out.conn.WriteToUDPAddrPort(part, to); err != nil {
			w.out.errors.Add(1)
		}
	}
}

// addr decodes the address of the message at w.at.
func (w *wire) addr() (netip.AddrPort, error) {
	h := &w.msgs[w.at].header
	b := unsafe.Slice(h.Name, int(h.Namelen))
	port := binary.BigEndian.Uint16(b[2:])
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), nil
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port), nil
	}
	return netip.AddrPort{}, errors.New("unknown address family")
}
