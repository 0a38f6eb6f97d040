package rtsp

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtp"
)

// packet is one RTP packet (RFC 3550 section 5.1). Its payload is valid only while it is being handled.
type packet struct {
	seq     uint16
	ts      uint32
	ssrc    uint32
	pt      uint8
	marker  bool
	payload []byte
}

var errRTP = errors.New("malformed RTP packet")

// parsePacket reads an RTP packet without copying.
func parsePacket(b []byte) (packet, error) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return packet{}, errRTP
	}
	n := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // header extension
		if len(b) < n+4 {
			return packet{}, errRTP
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 { // padding
		end -= int(b[end-1])
	}
	if n > end {
		return packet{}, errRTP
	}
	return packet{
		seq: binary.BigEndian.Uint16(b[2:]), ts: binary.BigEndian.Uint32(b[4:]), ssrc: binary.BigEndian.Uint32(b[8:]),
		pt: b[1] & 0x7f, marker: b[1]&0x80 != 0, payload: b[n:end],
	}, nil
}

func fromPion(p *rtp.Packet) packet {
	return packet{
		seq: p.SequenceNumber, ts: p.Timestamp, ssrc: p.SSRC, pt: p.PayloadType, marker: p.Marker, payload: p.Payload,
	}
}

// senderReport is what an RTCP sender report says about time (RFC 3550 section 6.4.1).
type senderReport struct {
	ssrc uint32
	ntp  time.Time
	rtp  uint32
}

// parseSenderReport finds the sender report in a compound RTCP packet.
func parseSenderReport(b []byte) (senderReport, bool) {
	const typeSR = 200
	for len(b) >= 4 && b[0]>>6 == 2 {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			break
		}
		if b[1] == typeSR && n >= 28 {
			stamp := binary.BigEndian.Uint64(b[8:])
			if stamp>>32 == 0 {
				return senderReport{}, false // the camera has no clock
			}
			return senderReport{
				ssrc: binary.BigEndian.Uint32(b[4:]), ntp: decodeNTP(stamp), rtp: binary.BigEndian.Uint32(b[16:]),
			}, true
		}
		b = b[n:]
	}
	return senderReport{}, false
}

// saysBye reports whether a compound RTCP packet says that a source left (RFC 3550 section 6.6).
func saysBye(b []byte, ssrc uint32) bool {
	const typeBye = 203
	for len(b) >= 4 && b[0]>>6 == 2 {
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			break
		}
		if b[1] == typeBye {
			for i := range int(b[0] & 0x1f) {
				if at := 4 + 4*i; at+4 <= n && binary.BigEndian.Uint32(b[at:]) == ssrc {
					return true
				}
			}
		}
		b = b[n:]
	}
	return false
}

func decodeNTP(stamp uint64) time.Time { return ntp.Decode(stamp).UTC() }

// sequence follows the sequence numbers of one source.
type sequence struct {
	started bool
	next    uint16
}

// maxLoss is the largest gap that is taken as loss; a larger one is a sender that started anew. So is one that goes
// back by more than maxLate.
const (
	maxLoss = 3000
	maxLate = 100
)

// accept returns how many packets are missing before seq, and whether the packet is new at all. Duplicates and packets
// that come too late are not.
func (s *sequence) accept(seq uint16) (lost int, ok bool) {
	diff := int(int16(seq - s.next))
	if !s.started {
		s.started, diff = true, 0
	}
	if diff < 0 && diff > -maxLate {
		return 0, false
	}
	s.next = seq + 1
	switch {
	case diff < 0 || diff > maxLoss:
		return 1, true // restarted: something is missing, nobody knows how much
	default:
		return diff, true
	}
}

// sourceFilter decides which SSRC is ours. One that was announced in the Transport header of SETUP is the only one
// until it was heard; from then on a source that falls silent may be succeeded by another: encoders restart, and some
// change their SSRC in mid-stream.
type sourceFilter struct {
	any       bool
	announced bool
	known     bool
	seen      bool
	ssrc      uint32
	next      uint16 // sequence number expected
	last      time.Time
	spacing   time.Duration // the longest pause between two of its packets lately
}

// How long our source must be silent before another may take its place: two of its usual pauses, within these limits.
const (
	sourceSilence    = 2 * time.Second
	sourceSilenceMin = 150 * time.Millisecond
	burst            = 5 * time.Millisecond // a shorter pause lies within a picture
)

// verdict tells whose a packet is.
type verdict uint8

const (
	foreign   verdict = iota
	ours              // of our source
	successor         // of the source that takes the place of ours from this packet on
)

// judge tells whose a packet is.
func (f *sourceFilter) judge(p *packet, now time.Time) verdict {
	v := ours
	switch {
	case f.known && p.ssrc == f.ssrc:
		if pause := now.Sub(f.last); f.seen && pause > burst {
			f.spacing = max(pause, f.spacing-f.spacing/16)
		}
	case !f.known:
	case f.any, f.seen && f.succeeds(p, now):
		v, f.spacing = successor, 0
	default:
		return foreign
	}
	f.known, f.seen, f.ssrc, f.next, f.last = true, true, p.ssrc, p.seq+1, now
	return v
}

// succeeds reports whether a packet of another source takes the place of ours.
func (f *sourceFilter) succeeds(p *packet, now time.Time) bool {
	silence := min(max(2*f.spacing, sourceSilenceMin), sourceSilence)
	return p.seq == f.next || now.Sub(f.last) >= silence
}
