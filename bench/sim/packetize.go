package sim

import (
	"github.com/pion/rtp"

	"skein/edge/media"
)

// maxPayload is the largest RTP payload we send.
const maxPayload = 1400

// packetizer cuts NAL units into RTP packets (RFC 6184 single and FU-A, RFC 7798 single and FU) in memory of its own.
type packetizer struct {
	codec media.Codec
	pkt   rtp.Packet
	buf   [maxPayload]byte
}

func newPacketizer(codec media.Codec, payloadType uint8, seq uint16) *packetizer {
	p := &packetizer{codec: codec}
	p.pkt.Version = 2
	p.pkt.PayloadType = payloadType
	p.pkt.SequenceNumber = seq
	return p
}

// packetize calls send with every packet of one access unit. The packet is valid during the call.
func (p *packetizer) packetize(nalus [][]byte, ts uint32, send func(*rtp.Packet)) {
	p.pkt.Timestamp = ts
	for i, n := range nalus {
		last := i == len(nalus)-1
		if len(n) <= maxPayload {
			p.emit(n, last, send)
			continue
		}
		header := 2 // FU indicator, FU header
		kind := n[0] & 0x1f
		p.buf[0] = n[0]&0xe0 | 28
		skip := 1
		if p.codec == media.H265 {
			header, skip = 3, 2
			kind = n[0] >> 1 & 0x3f
			p.buf[0], p.buf[1] = n[0]&0x81|49<<1, n[1]
		}
		rest, first := n[skip:], byte(0x80)
		for len(rest) > 0 {
			size := min(len(rest), maxPayload-header)
			end := byte(0)
			if size == len(rest) {
				end = 0x40
			}
			p.buf[header-1] = first | end | kind
			copy(p.buf[header:], rest[:size])
			p.emit(p.buf[:header+size], last && end != 0, send)
			rest, first = rest[size:], 0
		}
	}
}

func (p *packetizer) emit(payload []byte, marker bool, send func(*rtp.Packet)) {
	p.pkt.Payload, p.pkt.Marker = payload, marker
	send(&p.pkt)
	p.pkt.SequenceNumber++
}
