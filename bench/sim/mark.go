package sim

import (
	"bytes"
	"encoding/binary"
	"time"

	"skein/edge/media"
)

// Mark is what every simulated picture says about itself, in a user_data_unregistered SEI message (ITU-T H.264 D.1.7,
// H.265 D.2.7) in front of its slice.
type Mark struct {
	// Frame counts the pictures of the stream's clock since 1970, so consecutive pictures differ by one, also across
	// a reconnect.
	Frame uint64
	// Camera is CameraHash of the camera's id.
	Camera uint64
	// Wall is the capture time on the camera's own clock (which a test may have set wrong).
	Wall time.Time
}

// markUUID identifies our SEI message: a random (version 4) UUID, fixed for ever.
const markUUID = "\x7b\x1e\xc5\x42\x9d\x3a\x4f\x60\xb8\x57\x2c\xa4\x91\xd6\x0e\x35"

const (
	seiUserDataUnregistered = 5
	naluSEI                 = 6  // H.264 nal_unit_type
	naluPrefixSEI           = 39 // H.265 nal_unit_type
	markSize                = 16 + 3*8
	maxSEIScan              = 4096 // bytes of an SEI NAL unit that ParseSEI looks at
)

// AppendSEI appends m as one SEI NAL unit (no start code) to dst. The codec is H264 or H265.
func (m Mark) AppendSEI(dst []byte, codec media.Codec) []byte {
	var raw [2 + markSize + 1]byte
	raw[0], raw[1] = seiUserDataUnregistered, markSize
	copy(raw[2:], markUUID)
	binary.BigEndian.PutUint64(raw[18:], m.Frame)
	binary.BigEndian.PutUint64(raw[26:], m.Camera)
	binary.BigEndian.PutUint64(raw[34:], uint64(m.Wall.UnixNano()))
	raw[42] = 0x80 // rbsp_trailing_bits
	if codec == media.H265 {
		dst = append(dst, naluPrefixSEI<<1, 1)
	} else {
		dst = append(dst, naluSEI)
	}
	zeros := 0
	for _, b := range raw {
		if zeros >= 2 && b <= 3 {
			dst = append(dst, 3)
			zeros = 0
		}
		dst = append(dst, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return dst
}

// appendFill appends an SEI NAL unit of about size bytes of somebody's user data to dst.
func appendFill(dst []byte, size int, codec media.Codec) []byte {
	if codec == media.H265 {
		dst = append(dst, naluPrefixSEI<<1, 1)
	} else {
		dst = append(dst, naluSEI)
	}
	dst = append(dst, seiUserDataUnregistered)
	rest := max(size, 16) // the UUID
	for n := rest; ; n -= 255 {
		if n < 255 {
			dst = append(dst, byte(n))
			break
		}
		dst = append(dst, 255)
	}
	for range rest {
		dst = append(dst, 0x55)
	}
	return append(dst, 0x80) // rbsp_trailing_bits
}

// ParseSEI returns the Mark in one NAL unit (without start code), or false if there is none. It accepts any bytes,
// does not allocate for NAL units that are no SEI, and finds the mark among other messages of the same NAL unit.
func ParseSEI(nalu []byte, codec media.Codec) (Mark, bool) {
	switch {
	case codec == media.H264 && len(nalu) > 1 && nalu[0]&0x1f == naluSEI:
		nalu = nalu[1:]
	case codec == media.H265 && len(nalu) > 2 && nalu[0]>>1&0x3f == naluPrefixSEI:
		nalu = nalu[2:]
	default:
		return Mark{}, false
	}
	var buf [256]byte
	msg := unescape(buf[:0], nalu[:min(len(nalu), maxSEIScan)])
	for len(msg) > 2 {
		kind, rest, ok := seiNumber(msg)
		if !ok {
			return Mark{}, false
		}
		size, rest, ok := seiNumber(rest)
		if !ok || size > len(rest) {
			return Mark{}, false
		}
		if kind == seiUserDataUnregistered && size == markSize && string(rest[:16]) == markUUID {
			return decodeMark(rest[16:size]), true
		}
		msg = rest[size:]
	}
	return Mark{}, false
}

func decodeMark(b []byte) Mark {
	return Mark{
		Frame:  binary.BigEndian.Uint64(b),
		Camera: binary.BigEndian.Uint64(b[8:]),
		Wall:   time.Unix(0, int64(binary.BigEndian.Uint64(b[16:]))).UTC(),
	}
}

// seiNumber reads a payload type or size: any number of 0xff, each worth 255, and a last byte.
func seiNumber(b []byte) (n int, rest []byte, ok bool) {
	for i, v := range b {
		n += int(v)
		if v != 0xff {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}

// unescape appends b without its emulation prevention bytes.
func unescape(dst, b []byte) []byte {
	for {
		i := bytes.Index(b, []byte{0, 0, 3})
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i+2]...)
		b = b[i+3:]
	}
}
