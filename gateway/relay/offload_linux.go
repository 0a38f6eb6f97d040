package relay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
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

// widen asks for large socket buffers; the kernel grants what it allows. It returns what there is for sending.
func widen(conn *net.UDPConn, bytes int) (granted int) {
	_ = conn.SetReadBuffer(bytes)
	_ = conn.SetWriteBuffer(bytes)
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // beyond the system's limit, if we may
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes)
		granted, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return granted / 2 // the kernel counts its own overhead in
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
// send in parallel. It is owned by one goroutine.
type wire struct {
	out   *outlet
	raw   syscall.RawConn
	msgs  [batchRuns]message
	iovs  [batchRuns]unix.Iovec
	oob   [batchRuns * segmentMessageLen]byte
	n     int // messages queued
	at    int // messages done
	errno syscall.Errno
	once  func(fd uintptr) // send, kept to save an allocation
	wait  func(fd uintptr) // poll, likewise

	poller [1]unix.PollFd
	room   bool // the socket has some, or may have
}

func newWire(o *outlet) *wire {
	w := &wire{out: o}
	w.raw, _ = o.conn.SyscallConn() // fails for a nil conn only
	w.once = w.send
	w.wait = w.poll
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

// flush sends everything queued. A message the kernel refuses is counted and skipped; if it refuses segmentation, the
// message is cut here. What finds no room within sendWait is lost as if on the way: one slow network behind the socket
// must not hold up the feed, and with it the viewers on all others.
func (w *wire) flush() {
	for w.at = 0; w.at < w.n; {
		err := w.raw.Control(w.once)
		switch {
		case err == nil && w.errno == unix.EAGAIN && w.out.mayWait() && w.awaitRoom():
			continue
		case err != nil || w.errno == unix.EAGAIN: // closed, or full
			w.out.errors.Add(uint64(w.n - w.at))
			w.at = w.n
		case w.errno != 0 && w.errno != unix.EINTR:
			w.refused()
			w.at++
		}
	}
	w.n = 0
}

// sendWait is how long a batch waits for room in the socket. A gigabit takes what the kernel holds by default in less.
const sendWait = 5 * time.Millisecond

// sendRest is how long nobody waits for room after waiting was in vain.
const sendRest = 100 * time.Millisecond

// mayWait tells whether waiting for room is worth it.
func (o *outlet) mayWait() bool {
	full := o.full.Load()
	return full == 0 || time.Since(o.began)-time.Duration(full) > sendRest
}

// awaitRoom blocks until the socket has room, at most for sendWait.
func (w *wire) awaitRoom() bool {
	if err := w.raw.Control(w.wait); err == nil && w.room {
		return true
	}
	w.out.full.Store(int64(time.Since(w.out.began)))
	return false
}

// poll waits for room once.
func (w *wire) poll(fd uintptr) {
	w.poller[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(w.poller[:], int(sendWait/time.Millisecond))
	w.room = n == 1 || errors.Is(err, unix.EINTR)
}

// refused deals with the message at w.at, which the kernel does not take. Segments that are too large for the network
// they leave by, or for the kernel's taste, go singly.
func (w *wire) refused() {
	h, errno := &w.msgs[w.at].header, w.errno
	never := errno == unix.EIO || errno == unix.EINVAL || errno == unix.EOPNOTSUPP
	if h.Control == nil || !(never || errno == unix.EMSGSIZE) {
		w.out.errors.Add(1)
		return
	}
	segment := int(binary.NativeEndian.Uint16(w.oob[w.at*segmentMessageLen+16:]))
	data := unsafe.Slice(w.iovs[w.at].Base, int(w.iovs[w.at].Len))
	sent := 0
	_ = w.raw.Control(func(fd uintptr) {
		for ; len(data) > 0; data = data[min(segment, len(data)):] {
			_, _, e := unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&data[0])),
				uintptr(min(segment, len(data))), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
			if e == 0 {
				sent++
			} else {
				w.out.errors.Add(1)
			}
		}
	})
	if never && sent > 0 {
		w.out.gso.Store(false)
	}
}
