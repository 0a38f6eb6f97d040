package rtsptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"skein/edge/media"
)

// sender sends one track.
type sender struct {
	s       *session
	src     *source
	ssrc    uint32
	start   uint32 // first timestamp
	first   int    // the unit that has it
	shift   uint16 // of the sequence numbers
	lost    int    // packets so far
	channel int
	rtp     *net.UDPConn
	rtcp    *net.UDPConn
	play    func(b []byte, rtcp bool) // instead of the network, if not nil
}

func newSender(s *session, src *source) *sender {
	return &sender{s: s, src: src, ssrc: rand.Uint32() | 1, start: rand.Uint32()} //nolint:gosec // a test
}

func (t *sender) close() {
	if t.rtp != nil {
		_ = t.rtp.Close()
		_ = t.rtcp.Close()
	}
}

func (t *sender) openUDP(nc net.Conn, ports *[2]int) error {
	remote, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok || ports == nil {
		return fmt.Errorf("no UDP address")
	}
	var err error
	if t.rtp, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: remote.IP, Port: ports[0]}); err != nil {
		return err
	}
	t.rtcp, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: remote.IP, Port: ports[1]})
	return err
}

// send writes one RTP packet on the way the client chose.
func (t *sender) send(p *rtp.Packet) error {
	t.s.mu.Lock()
	n := t.s.n
	t.s.n++
	t.s.mu.Unlock()
	if lose := t.s.c.o.Lose; lose != nil && lose(n) {
		t.lost++
		return nil
	}
	p.SSRC = t.ssrc
	p.SequenceNumber += t.shift
	b, err := p.Marshal()
	if err != nil {
		return err
	}
	return t.transmit(b, 0)
}

func (t *sender) transmit(b []byte, rtcpOffset int) error {
	if t.play != nil {
		t.play(b, rtcpOffset == 1)
		return nil
	}
	if t.s.c.o.Fault == DeafUDP && t.rtp != nil {
		return nil
	}
	if t.rtp != nil {
		c := t.rtp
		if rtcpOffset == 1 {
			c = t.rtcp
		}
		_, _ = c.Write(b) // a client that left is noticed on its TCP connection
		return nil
	}
	frame := t.s.interleave(t.channel+rtcpOffset, b)
	if cut := t.s.c.o.Cut; cut != nil {
		t.s.mu.Lock()
		n := t.s.frames
		t.s.frames++
		t.s.mu.Unlock()
		if c := min(cut(n), len(frame)); c > 0 {
			t.lost++
			frame = frame[:len(frame)-c]
		}
	}
	return t.s.write(frame)
}

func (s *session) interleave(channel int, payload []byte) []byte {
	var out []byte
	if s.c.o.Junk {
		out = append(out, 0x00, 0xff, 'j', 'u', 'n', 'k')
	}
	out = append(out, '$', byte(channel))
	out = binary.BigEndian.AppendUint16(out, uint16(len(payload)))
	return append(out, payload...)
}

// foreign sends an RTP packet that belongs to nobody's session.
func (s *session) foreign(n int) {
	b, err := (&rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: uint32(n) * 3600, SSRC: 0xdead,
		},
		Payload: []byte{0x65, 0x88, 0x80, 0x40},
	}).Marshal()
	if err == nil {
		if len(s.tracks) > 0 && s.tracks[0].rtp != nil {
			_ = s.tracks[0].transmit(b, 0)
			return
		}
		_ = s.write(s.interleave(0, b))
	}
}

// stream sends all tracks at their pace until the session ends.
func (s *session) stream() {
	o := s.c.o
	if o.Fault == SilentAfterPlay {
		<-s.stop
		return
	}
	begin := time.Now()
	if o.Fault == ForeignRTP {
		for n := 0; s.sleepUntil(begin.Add(time.Duration(n) * 40 * time.Millisecond)); n++ {
			s.foreign(n)
		}
		return
	}
	next, started := make([]int, len(s.tracks)), false
	for {
		// the track whose next unit is due first
		at, which := time.Duration(1<<62), 0
		for i, t := range s.tracks {
			if due := time.Duration(next[i]) * time.Duration(t.src.step) * time.Second / time.Duration(t.src.rate); due < at {
				at, which = due, i
			}
		}
		if !s.sleepUntil(begin.Add(at)) {
			return
		}
		t, n := s.tracks[which], next[which]
		next[which]++
		switch {
		case s.c.left() == 0:
			started = true
		case started:
			continue
		default: // a session that has not sent anything begins with a key frame
			begin = time.Now().Add(10 * time.Millisecond)
			clear(next)
			continue
		}
		if t.unit(n) != nil {
			return
		}
		if o.Disconnect > 0 && t.src.codec.IsVideo() && n+1 == o.Disconnect {
			_ = s.nc.Close()
			return
		}
	}
}

// sleepUntil waits; it reports false when the session ends.
func (s *session) sleepUntil(t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	case <-s.c.done:
		return false
	}
}

// stamp returns the timestamp of unit n.
func (t *sender) stamp(n int) uint32 {
	o := t.s.c.o
	place := t.src.place(n) - t.first
	ticks := uint32(place * t.src.step)
	if o.Rate != 0 {
		ticks = uint32(float64(place) * float64(t.src.step) * o.Rate)
	}
	if t.src.codec.IsVideo() && o.Stamp != nil {
		ticks = o.Stamp(n, ticks)
	}
	return t.start + ticks
}

// Play gives the first n pictures of a camera and the reports between them to give, each when it is due, without a
// network: in a bubble of testing/synctest hours pass at once.
func Play(o Options, n int, give func(b []byte, rtcp bool)) error {
	o = o.withDefaults()
	src, err := videoSource(o.Video, o)
	if err != nil {
		return err
	}
	t := newSender(&session{c: &Camera{o: o}}, src)
	t.play = give
	begin := time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Duration(src.step) * time.Second / time.Duration(src.rate))))
		if err := t.unit(i); err != nil {
			return err
		}
	}
	return nil
}

// unit sends unit n of a track, and now and then a sender report before it.
func (t *sender) unit(n int) error {
	o := t.s.c.o
	video := t.src.codec.IsVideo()
	if video && o.NewSSRC > 0 && n > 0 && n%o.NewSSRC == 0 {
		t.renew()
		t.first = n
	}
	ts := t.stamp(n)
	if n%(t.src.rate/t.src.step) == 0 {
		now := time.Now().Add(time.Duration(o.ClockOffsetMS) * time.Millisecond)
		b, err := (&rtcp.SenderReport{SSRC: t.ssrc, NTPTime: ntp.Encode(now), RTPTime: ts}).Marshal()
		if err == nil {
			_ = t.transmit(b, 1)
		}
	}
	i := n % len(t.src.units)
	if o.Fault == NoKeyFrames && t.src.codec.IsVideo() && i%GOP == 0 {
		i++
	}
	sent := Sent{Number: t.s.c.number(), At: time.Now(), Whole: true, Began: true}
	pkts, err := t.packets(t.src.units[i], sent.Number)
	if err != nil {
		return err
	}
	for i, p := range pkts {
		p.Timestamp += ts
		before := t.lost
		p.Marker = p.Marker || o.MarkAll
		if err := t.send(p); err != nil {
			return err
		}
		if t.lost != before {
			sent.Whole = false
			sent.Began = sent.Began && i > 1
		}
	}
	if video {
		t.s.c.note(sent)
	}
	return nil
}

// packets encodes one unit, with padding and the markers of odd cameras.
func (t *sender) packets(unit [][]byte, n int) ([]*rtp.Packet, error) {
	o := t.s.c.o
	if t.src.codec != media.H264 && t.src.codec != media.H265 {
		return t.src.encode(unit)
	}
	first := 0 // coded slice
	for first < len(unit)-1 && !isSlice(t.src.codec, unit[first]) {
		first++
	}
	head, slices := unit[:first:first], unit[first:]
	if o.Padding > 0 {
		head = append(head, sei(t.src.codec, n, o.Padding))
	}
	if o.Bulk > 0 { // cabac_zero_words behind the slice data, ITU-T H.264 section 7.3.2.8
		last := len(slices) - 1
		long := append(bytes.Clone(slices[last]), bytes.Repeat([]byte{0, 0, 3}, o.Bulk/3)...)
		slices = append(slices[:last:last], long)
	}
	if !o.MarkEachNALU {
		return t.src.encode(append(head, slices...))
	}
	var out []*rtp.Packet
	for _, nalu := range head {
		pkts, err := t.src.encode([][]byte{nalu})
		if err != nil {
			return nil, err
		}
		out = append(out, pkts...)
	}
	pkts, err := t.src.encode(slices)
	return append(out, pkts...), err
}

func isSlice(c media.Codec, n []byte) bool {
	if c == media.H265 {
		return n[0]>>1&0x3f < 32
	}
	return n[0]&0x1f >= 1 && n[0]&0x1f <= 5
}
