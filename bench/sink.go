package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// Real viewers cost several times what the gateway does: from some number on they would measure themselves. A sink is a
// viewer up to the end of ICE and DTLS; then its media is counted by sequence number as it leaves the socket, many
// packets a system call, and neither decrypted nor passed on.

const (
	sinkPoll  = 10 * time.Millisecond
	sinkBatch = 128 // packets a system call
	sinkBytes = 512 // kept of a packet; what is not media is shorter, but for the DTLS handshake
)

// sinks polls the sockets of all its sinks. Safe for concurrent use.
type sinks struct {
	mu   sync.Mutex // guards all
	all  []*sink
	stop chan struct{}
	done chan struct{}
}

// sink is one light viewer.
type sink struct {
	pc        *webrtc.PeerConnection
	mux       *ice.UDPMuxDefault
	conn      *sinkConn
	offer     string
	connected chan struct{}
	whole     chan struct{} // closed with the last packet of the first picture

	packets, lost atomic.Uint64

	mu      sync.Mutex // guards the fields below; pion's reader and the poller hardly meet
	seen    bool
	next    uint16
	done    bool
	picture time.Time // when whole was closed
}

// sinkConn is the socket as pion sees it. Until its media is counted it is a plain one; then the poller reads, and
// passes on what is no media.
type sinkConn struct {
	*net.UDPConn
	raw     syscall.RawConn
	count   func(packet []byte)
	light   atomic.Bool // the poller is to read
	polled  atomic.Bool // pion's reader has left the socket to it
	rest    chan restPacket
	closed  chan struct{}
	closing sync.Once
}

type restPacket struct {
	data []byte
	from net.Addr
}

// newSinks starts the poller; close ends it and all sinks.
func newSinks() *sinks {
	s := &sinks{stop: make(chan struct{}), done: make(chan struct{})}
	go s.poll()
	return s
}

// prepare makes a sink with its offer; join connects it.
func (s *sinks) prepare() (*sink, error) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	k, err := newSink(udp)
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	k.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			close(k.connected)
		}
	})
	s.mu.Lock()
	s.all = append(s.all, k)
	s.mu.Unlock()
	k.offer, err = offerOf(k.pc)
	return k, err
}

// add prepares a sink and connects it to a WHEP endpoint.
func (s *sinks) add(ctx context.Context, client *http.Client, url, token string) error {
	k, err := s.prepare()
	if err != nil {
		return err
	}
	return k.join(ctx, client, url, token)
}

// join connects a sink to a WHEP endpoint and returns when DTLS is finished.
func (k *sink) join(ctx context.Context, client *http.Client, url, token string) error {
	answer, err := post(ctx, client, url, token, k.offer)
	if err != nil {
		return err
	}
	if err := k.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return err
	}
	select {
	case <-k.connected:
		k.conn.light.Store(true)
		return k.conn.SetReadDeadline(time.Now()) // wakes pion's reader, which waits for the poller from now on
	case <-time.After(10 * time.Second):
		return errors.New("a sink did not connect within 10 s")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newSink(udp *net.UDPConn) (*sink, error) {
	if err := udp.SetReadBuffer(receiveBuffer); err != nil {
		return nil, err
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	k := &sink{connected: make(chan struct{}), whole: make(chan struct{})}
	k.conn = &sinkConn{
		UDPConn: udp, raw: raw, count: k.count, rest: make(chan restPacket, 64), closed: make(chan struct{}),
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	k.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: plainConn{k.conn}, Logger: quiet.NewLogger("sink")})
	api, err := newAPI(func(e *webrtc.SettingEngine) {
		e.LoggerFactory = quiet
		e.SetICEUDPMux(k.mux)
	})
	if err != nil {
		return nil, err
	}
	k.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	return k, err
}

// plainConn hides what else a UDP socket can do, so that pion reads with ReadFrom alone.
type plainConn struct{ net.PacketConn }

// ReadFrom implements net.PacketConn.
func (c *sinkConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for !c.light.Load() {
		n, from, err := c.UDPConn.ReadFrom(b)
		if err == nil && isMedia(b[:n]) {
			c.count(b[:n])
			continue
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.light.Load() {
			return n, from, err
		}
	}
	c.polled.Store(true)
	select {
	case p := <-c.rest:
		return copy(b, p.data), p.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// Close implements net.PacketConn.
func (c *sinkConn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.UDPConn.Close()
}

// totals returns packets received and lost by all sinks so far.
func (s *sinks) totals() (packets, lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.all {
		packets += k.packets.Load()
		lost += k.lost.Load()
	}
	return packets, lost
}

func (s *sinks) poll() {
	defer close(s.done)
	t := time.NewTicker(sinkPoll)
	defer t.Stop()
	r := newReceiver()
	var all []*sink
	for {
		select {
		case <-t.C:
		case <-s.stop:
			return
		}
		s.mu.Lock()
		all = append(all[:0], s.all...)
		s.mu.Unlock()
		for _, k := range all {
			if k.conn.polled.Load() {
				r.drain(k)
			}
		}
	}
}

// close ends all sinks.
func (s *sinks) close() error {
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, k := range s.all {
		errs = append(errs, k.pc.Close())
		_ = k.mux.Close() // its socket may be closed already
		_ = k.conn.Close()
	}
	return errors.Join(errs...)
}

// receiver reads many packets a system call, for one sink after the other.
type receiver struct {
	msgs [sinkBatch]receivedMessage
	iovs [sinkBatch]syscall.Iovec
	from [sinkBatch]syscall.RawSockaddrInet4
	data [sinkBatch][sinkBytes]byte
	n    int
}

// receivedMessage is struct mmsghdr of recvmmsg(2).
type receivedMessage struct {
	header syscall.Msghdr
	size   uint32
	_      [4]byte
}

func newReceiver() *receiver {
	r := &receiver{}
	for i := range r.msgs {
		r.iovs[i].Base = &r.data[i][0]
		r.iovs[i].SetLen(sinkBytes)
		h := &r.msgs[i].header
		h.Iov, h.Iovlen = &r.iovs[i], 1
		h.Name = (*byte)(unsafe.Pointer(&r.from[i])) //nolint:gosec // the kernel writes the sender's address there
	}
	return r
}

// drain reads all that waits at a sink's socket.
func (r *receiver) drain(k *sink) {
	for {
		r.n = 0
		if k.conn.raw.Control(r.receive) != nil { // closed
			return
		}
		for i := range r.n {
			k.take(r.data[i][:min(int(r.msgs[i].size), sinkBytes)], &r.from[i])
		}
		if r.n < sinkBatch {
			return
		}
	}
}

func (r *receiver) receive(fd uintptr) {
	for i := range r.msgs {
		r.msgs[i].header.Namelen = syscall.SizeofSockaddrInet4
	}
	//nolint:gosec // recvmmsg has no wrapper; the arguments outlive the call
	n, _, errno := syscall.Syscall6(syscall.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), sinkBatch,
		syscall.MSG_DONTWAIT, 0, 0)
	if errno == 0 {
		r.n = int(n)
	}
}

// take counts a packet of media and passes on any other.
func (k *sink) take(b []byte, from *syscall.RawSockaddrInet4) {
	if isMedia(b) {
		k.count(b)
		return
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&from.Port))[:]) //nolint:gosec // network byte order
	addr := &net.UDPAddr{IP: net.IP(from.Addr[:]).To16(), Port: int(port)}
	select {
	case k.conn.rest <- restPacket{append([]byte(nil), b...), addr}:
	default: // as a socket that is full
	}
}

// isMedia tells RTP from STUN, DTLS (RFC 7983) and RTCP (RFC 5761).
func isMedia(b []byte) bool {
	return len(b) >= 12 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f > 95)
}

// count follows the sequence numbers, and the first picture up to its last packet. Losses show in lost.
func (k *sink) count(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.packets.Add(1)
	seq := binary.BigEndian.Uint16(b[2:])
	ahead := seq - k.next
	if k.seen && ahead > 0 && ahead < 1<<15 {
		k.lost.Add(uint64(ahead))
	}
	k.seen, k.next = true, seq+1
	if !k.done && b[1]&0x80 != 0 {
		k.done, k.picture = true, time.Now()
		close(k.whole)
	}
}

// firstPicture waits for the first picture and returns when it was whole.
func (k *sink) firstPicture(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case <-k.whole:
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.picture, nil
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("a sink's first picture did not come: %d packets, %d lost: %w",
			k.packets.Load(), k.lost.Load(), ctx.Err())
	}
}
