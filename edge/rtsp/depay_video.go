package rtsp

import (
	"encoding/binary"
	"errors"
)

var errPayload = errors.New("malformed RTP payload")

// h264NALs splits the payloads of RFC 6184 (single NAL unit and non-interleaved mode).
type h264NALs struct{}

func (h264NALs) split(d *nalDepacketizer, p []byte) error {
	if len(p) < 1 {
		return nil // keep-alive packets of some cameras are empty
	}
	switch typ := p[0] & 0x1f; {
	case typ >= 1 && typ <= 23:
		d.whole(p)
	case typ == 0 && startCode(p): // Annex B bytes in place of NAL units
		d.whole(p)
	case typ == 24: // STAP-A, section 5.7.1
		return aggregated(d, p[1:], 1)
	case typ == 28: // FU-A, section 5.8
		if len(p) < 2 {
			return errPayload
		}
		header := [1]byte{p[0]&0xe0 | p[1]&0x1f}
		d.fragment(p[1]&0x80 != 0, p[1]&0x40 != 0, header[:], p[2:])
	default:
		return errPayload
	}
	return nil
}

func (h h264NALs) course(p []byte) course {
	if len(p) < 2 {
		return neither
	}
	switch typ := p[0] & 0x1f; {
	case typ == 1 || typ == 2 || typ == 5:
		return firstSlice(p[1]) // first_mb_in_slice, see note
	case typ == 3 || typ == 4:
		return goesOn
	case typ >= 6 && typ <= 9 || typ >= 14 && typ <= 18: // section 7.4.1.2.3
		return begins
	case typ == 24 && len(p) > 4:
		return h.course(p[3:])
	case typ == 28 && p[1]&0x80 == 0:
		return goesOn
	case typ == 28 && len(p) > 2:
		return h.course([]byte{p[0]&0xe0 | p[1]&0x1f, p[2]})
	}
	return neither
}

// firstSlice judges a slice by the bit that tells whether it is the first of its picture.
func firstSlice(b byte) course {
	if b&0x80 != 0 {
		return begins
	}
	return goesOn
}

func startCode(p []byte) bool {
	return len(p) > 3 && p[0] == 0 && p[1] == 0 && (p[2] == 1 || (p[2] == 0 && p[3] == 1))
}

func (h264NALs) note(b *nalBuilder, nalu []byte) {
	if typ := nalu[0] & 0x1f; typ >= 1 && typ <= 5 {
		b.picture = true
		// first_mb_in_slice is the first element of the slice header; ue(0) is a single 1 bit. Data partitions B
		// and C (types 3 and 4) have none.
		if len(nalu) > 1 && nalu[1]&0x80 != 0 && typ != 3 && typ != 4 {
			b.first = true
		}
	}
}

// sliceHeader is more than the bytes of any slice header: a slice cut before its end cannot be decoded at all.
const sliceHeader = 64

func (h264NALs) slice(nalu []byte) bool {
	typ := nalu[0] & 0x1f
	return (typ == 1 || typ == 5) && len(nalu) > sliceHeader
}

func (h264NALs) parameters(nalu []byte) bool {
	typ := nalu[0] & 0x1f
	return typ == 7 || typ == 8
}

// h265NALs splits the payloads of RFC 7798 without DON fields.
type h265NALs struct{}

func (h265NALs) split(d *nalDepacketizer, p []byte) error {
	if len(p) < 2 {
		return nil
	}
	switch typ := p[0] >> 1 & 0x3f; {
	case typ < 48:
		d.whole(p)
	case typ == 48: // aggregation packet, section 4.4.2
		return aggregated(d, p[2:], 2)
	case typ == 49: // fragmentation unit, section 4.4.3
		if len(p) < 3 {
			return errPayload
		}
		header := [2]byte{p[0]&0x81 | p[2]&0x3f<<1, p[1]}
		d.fragment(p[2]&0x80 != 0, p[2]&0x40 != 0, header[:], p[3:])
	default:
		return errPayload
	}
	return nil
}

func (h h265NALs) course(p []byte) course {
	if len(p) < 3 {
		return neither
	}
	switch typ := p[0] >> 1 & 0x3f; {
	case typ < 32:
		return firstSlice(p[2])
	case typ >= 32 && typ <= 35 || typ == 39 || typ >= 41 && typ <= 44: // section 7.4.2.4.4
		return begins
	case typ == 48 && len(p) > 6:
		return h.course(p[4:])
	case typ == 49 && p[2]&0x80 == 0:
		return goesOn
	case typ == 49 && len(p) > 3:
		return h.course([]byte{p[0]&0x81 | p[2]&0x3f<<1, p[1], p[3]})
	}
	return neither
}

func (h265NALs) note(b *nalBuilder, nalu []byte) {
	if typ := nalu[0] >> 1 & 0x3f; typ < 32 {
		b.picture = true
		// first_slice_segment_in_pic_flag follows the two-byte header.
		if len(nalu) > 2 && nalu[2]&0x80 != 0 {
			b.first = true
		}
	}
}

func (h265NALs) slice(nalu []byte) bool { return nalu[0]>>1&0x3f < 32 && len(nalu) > sliceHeader }

func (h265NALs) parameters(nalu []byte) bool {
	typ := nalu[0] >> 1 & 0x3f
	return typ >= 32 && typ <= 34
}

// aggregated splits NAL units with 16-bit sizes; a size of zero is padding.
func aggregated(d *nalDepacketizer, p []byte, smallest int) error {
	for len(p) >= 2 {
		n := int(binary.BigEndian.Uint16(p))
		p = p[2:]
		if n == 0 {
			return nil
		}
		if n > len(p) || n < smallest {
			return errPayload
		}
		d.whole(p[:n])
		p = p[n:]
	}
	return nil
}
