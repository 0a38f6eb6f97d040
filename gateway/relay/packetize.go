package relay

import (
	"encoding/binary"
	"slices"

	"skein/edge/media"
)

// packet is one RTP packet as all viewers of a line share it: the payload is head followed by body, and only SSRC,
// sequence number and timestamp are still missing. body belongs to the access unit and must not be written to.
type packet struct {
	body    []byte
	ts      int64  // line clock, see line
	unit    uint64 // number of the unit in the line
	codec   media.Codec
	marker  bool
	key     bool // of a unit with which decoding may begin
	leading bool // of a unit that cannot be decoded where decoding began with the key before it
	headLen uint8
	head    [3]byte
}

func (p *packet) size() int { return int(p.headLen) + len(p.body) }

// packetizer cuts access units into packets. It is owned by one goroutine; what it returns is valid until the next
// call.
type packetizer struct {
	max int // bytes of payload
	out []packet
	agg [][]byte // small NAL units waiting to share a packet
	n   int      // bytes of agg with their length fields
}

// unit returns the packets of u in order, with codec and marker set.
func (z *packetizer) unit(u *media.AccessUnit) []packet {
	z.out, z.agg, z.n = z.out[:0], z.agg[:0], 0
	track := &u.Desc.Tracks[u.Track]
	switch track.Codec {
	case media.H264:
		z.h264(u, track)
	case media.H265:
		z.h265(u, track)
	case media.G711A, media.G711U, media.Opus:
		for _, frame := range u.NALUs {
			if len(frame) > 0 {
				z.out = append(z.out, packet{body: frame})
			}
		}
	default: // MJPEG and AAC cannot be sent to browsers
	}
	for i := range z.out {
		z.out[i].codec, z.out[i].key, z.out[i].leading = track.Codec, u.Key, u.Leading
	}
	if n := len(z.out); n > 0 && track.Codec.IsVideo() {
		z.out[n-1].marker = true
	}
	return z.out
}

// NAL unit types, ITU-T H.264 table 7-1 and RFC 6184 section 5.2.
const (
	h264SPS, h264PPS, h264AUD, h264Filler = 7, 8, 9, 12
	h264STAPA, h264FUA                    = 24, 28
)

// h264 packs as RFC 6184 in packetization-mode 1. Access unit delimiters and filler are left out: they cost packets and
// tell a WebRTC receiver nothing. Parameter sets are added before a key frame that lacks them.
func (z *packetizer) h264(u *media.AccessUnit, track *media.Track) {
	kind := func(n []byte) byte { return n[0] & 0x1f }
	if u.Key && lacks(u.NALUs, kind, h264SPS, h264PPS) {
		z.collect264(track.SPS)
		z.collect264(track.PPS)
	}
	for _, nalu := range u.NALUs {
		if len(nalu) == 0 {
			continue
		}
		switch t := nalu[0] & 0x1f; {
		case t == h264AUD || t == h264Filler:
		case len(nalu) > z.max:
			z.flush264()
			head := [3]byte{nalu[0]&0xe0 | h264FUA, t}
			z.fragment(nalu[1:], head, 2)
		default:
			z.collect264(nalu)
		}
	}
	z.flush264()
}

// collect264 adds a NAL unit that fits a packet, together with its small neighbours in a STAP-A if they fit too.
func (z *packetizer) collect264(nalu []byte) {
	if len(nalu) == 0 {
		return
	}
	if 1+z.n+2+len(nalu) > z.max {
		z.flush264()
	}
	z.agg, z.n = append(z.agg, nalu), z.n+2+len(nalu)
}

func (z *packetizer) flush264() {
	if len(z.agg) > 1 {
		nri := byte(0)
		for _, n := range z.agg {
			nri = max(nri, n[0]&0x60)
		}
		z.out = append(z.out, packet{body: z.joined(), head: [3]byte{nri | h264STAPA}, headLen: 1})
	} else if len(z.agg) == 1 {
		z.out = append(z.out, packet{body: z.agg[0]})
	}
	z.agg, z.n = z.agg[:0], 0
}

// joined returns the collected NAL units with 16-bit lengths before each.
func (z *packetizer) joined() []byte {
	body := make([]byte, 0, z.n)
	for _, n := range z.agg {
		body = binary.BigEndian.AppendUint16(body, uint16(len(n)))
		body = append(body, n...)
	}
	return body
}

// fragment cuts body into equal parts (the last may be shorter), so that the kernel can segment one large send. The
// last byte of the fragmentation header gets the start and end bits.
func (z *packetizer) fragment(body []byte, head [3]byte, headLen uint8) {
	room := z.max - int(headLen)
	parts := (len(body) + room - 1) / room
	size := (len(body) + parts - 1) / parts
	for i := 0; len(body) > 0; i++ {
		part := body[:min(size, len(body))]
		body = body[len(part):]
		h := head
		if i == 0 {
			h[headLen-1] |= 0x80
		}
		if len(body) == 0 {
			h[headLen-1] |= 0x40
		}
		z.out = append(z.out, packet{body: part, head: h, headLen: headLen})
	}
}

// NAL unit types, ITU-T H.265 table 7-1 and RFC 7798 section 4.4.
const (
	h265VPS, h265SPS, h265PPS = 32, 33, 34
	h265AUD, h265Filler       = 35, 38
	h265AP, h265FU            = 48, 49
)

// h265 packs as RFC 7798 without DONL, with the same choices as h264.
func (z *packetizer) h265(u *media.AccessUnit, track *media.Track) {
	kind := func(n []byte) byte { return n[0] >> 1 & 0x3f }
	if u.Key && lacks(u.NALUs, kind, h265VPS, h265SPS, h265PPS) {
		for _, ps := range [][]byte{track.VPS, track.SPS, track.PPS} {
			z.collect265(ps)
		}
	}
	for _, nalu := range u.NALUs {
		if len(nalu) < 2 {
			continue
		}
		switch t := nalu[0] >> 1 & 0x3f; {
		case t == h265AUD || t == h265Filler:
		case len(nalu) > z.max:
			z.flush265()
			z.fragment(nalu[2:], [3]byte{nalu[0]&0x81 | h265FU<<1, nalu[1], t}, 3)
		default:
			z.collect265(nalu)
		}
	}
	z.flush265()
}

func (z *packetizer) collect265(nalu []byte) {
	if len(nalu) < 2 {
		return
	}
	if 2+z.n+2+len(nalu) > z.max {
		z.flush265()
	}
	z.agg, z.n = append(z.agg, nalu), z.n+2+len(nalu)
}

func (z *packetizer) flush265() {
	if len(z.agg) > 1 {
		z.out = append(z.out, packet{
			body: z.joined(), head: [3]byte{z.agg[0][0]&0x81 | h265AP<<1, z.agg[0][1]}, headLen: 2,
		})
	} else if len(z.agg) == 1 {
		z.out = append(z.out, packet{body: z.agg[0]})
	}
	z.agg, z.n = z.agg[:0], 0
}

// lacks tells whether there is no NAL unit of one of the kinds.
func lacks(nalus [][]byte, kind func([]byte) byte, kinds ...byte) bool {
	for _, k := range kinds {
		if !slices.ContainsFunc(nalus, func(n []byte) bool { return len(n) > 0 && kind(n) == k }) {
			return true
		}
	}
	return false
}
