package transcode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxTag bounds one picture, in bytes.
const maxTag = 8 << 20

var errFLV = errors.New("malformed FLV")

// flv reads the pictures of an FLV stream with H.264 (Adobe Flash Video File Format Specification 10.1, annex E): of
// all containers it is the one in which every picture is whole as soon as it is there.
type flv struct {
	r     io.Reader
	begun bool
}

// picture is one tag: parameter sets, or a picture.
type picture struct {
	stamp    int64 // milliseconds
	key      bool
	sps, pps []byte
	nalus    [][]byte
}

// next returns the next video tag.
func (f *flv) next() (picture, error) {
	if !f.begun {
		var head [9 + 4]byte
		if _, err := io.ReadFull(f.r, head[:]); err != nil {
			return picture{}, err
		}
		if string(head[:3]) != "FLV" {
			return picture{}, errFLV
		}
		f.begun = true
	}
	for {
		var h [11]byte
		if _, err := io.ReadFull(f.r, h[:]); err != nil {
			return picture{}, err
		}
		size := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
		if size > maxTag {
			return picture{}, fmt.Errorf("%w: a tag of %d bytes", errFLV, size)
		}
		body := make([]byte, size+4) // and the tag's size once more
		if _, err := io.ReadFull(f.r, body); err != nil {
			return picture{}, err
		}
		const video, avc = 9, 7
		if h[0]&0x1f != video || size < 5 || body[0]&0x0f != avc {
			continue
		}
		p := picture{stamp: int64(h[7])<<24 | int64(h[4])<<16 | int64(h[5])<<8 | int64(h[6]), key: body[0]>>4 == 1}
		var err error
		switch b := body[5:size]; body[1] {
		case 0:
			p.sps, p.pps, err = config(b)
		case 1:
			p.nalus, err = split(b)
		default:
			continue
		}
		return p, err
	}
}

// config reads an AVCDecoderConfigurationRecord's first parameter sets (ISO/IEC 14496-15 section 5.3.3.1).
func config(b []byte) (sps, pps []byte, err error) {
	take := func(at int) ([]byte, int) {
		if len(b) < at+3 {
			return nil, 0
		}
		n := int(binary.BigEndian.Uint16(b[at+1:]))
		if b[at]&0x1f == 0 || len(b) < at+3+n {
			return nil, 0
		}
		return b[at+3 : at+3+n], at + 3 + n
	}
	sps, at := take(5)
	if sps != nil {
		pps, _ = take(at)
	}
	if len(sps) == 0 || len(pps) == 0 {
		return nil, nil, fmt.Errorf("%w: no parameter sets", errFLV)
	}
	return sps, pps, nil
}

// split cuts a picture into its NAL units.
func split(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) >= 4 {
		n := uint64(binary.BigEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, fmt.Errorf("%w: a NAL unit of %d bytes", errFLV, n)
		}
		if n > 0 {
			out = append(out, b[4:4+n:4+n])
		}
		b = b[4+n:]
	}
	return out, nil
}
