package rtsp

import (
	"errors"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
)

// access tells how decoding may begin at a picture.
type access struct {
	key      bool // it may, if the parameter sets are known
	open     bool // no IDR picture: what is shown before it may need what came before it
	inferred bool // nothing says so: all slices are I, and parameter sets come with them
	recovery int  // pictures until they are whole
	leading  bool // needs pictures before the last key, and is shown before it
}

// Slice types, ITU-T H.264 table 7-6, modulo 5.
const (
	sliceB  = 1
	sliceI  = 2
	sliceSI = 4
)

// maxRecovery bounds what a recovery point may ask for: ten seconds of 30 pictures. A count beyond it is a mistake.
const maxRecovery = 300

// accessH264 looks for an IDR picture or a recovery point (ITU-T H.264 section D.2.8). Many old encoders say neither:
// from a picture all of whose slices are I and which brings its parameter sets along a decoder can begin as well.
func accessH264(nalus [][]byte) access {
	var a access
	sps, pps, intra, pictures := false, false, true, 0
	for _, n := range nalus {
		switch n[0] & 0x1f {
		case h264IDR:
			return access{key: true}
		case h264SPS:
			sps = true
		case h264PPS:
			pps = true
		case h264SEI:
			if r, ok := recoveryPoint(n[1:], false); ok {
				a = access{key: true, open: true, recovery: r}
			}
		case h264Slice:
			typ, ok := sliceType(n)
			pictures++
			intra = intra && ok && (typ%5 == sliceI || typ%5 == sliceSI) && n[0]&0x60 != 0
		}
	}
	switch {
	case pictures == 0:
		return access{}
	case !a.key && sps && pps && intra:
		return access{key: true, open: true, inferred: true}
	}
	return a
}

// accessH265 looks for an IRAP picture or a recovery point (ITU-T H.265 section D.3.8), and for pictures that cannot be
// decoded where decoding began at the IRAP picture before them (RASL, section 3.124).
func accessH265(nalus [][]byte) access {
	var a access
	for _, n := range nalus {
		switch typ := n[0] >> 1 & 0x3f; {
		case typ >= h265FirstIRAP && typ <= h265LastIRAP:
			return access{key: true, open: typ != h265IDRWRADL && typ != h265IDRNLP}
		case typ == h265RASLN || typ == h265RASLR:
			return access{leading: true}
		case typ == h265SEI && len(n) > 2:
			if r, ok := recoveryPoint(n[2:], true); ok {
				a = access{key: true, open: true, recovery: r}
			}
		}
	}
	return a
}

// sliceType reads first_mb_in_slice and slice_type of an H.264 slice (section 7.3.3).
func sliceType(n []byte) (uint32, bool) {
	head := n[1:min(len(n), 16)]
	pos := 0
	if _, err := bits.ReadGolombUnsigned(head, &pos); err != nil {
		return 0, false
	}
	typ, err := bits.ReadGolombUnsigned(head, &pos)
	return typ, err == nil && typ < 10
}

// seiRecoveryPoint is the payload type of a recovery point, in H.264 and in H.265.
const seiRecoveryPoint = 6

// maxSEI bounds how far into supplemental information is looked: a recovery point stands near the beginning.
const maxSEI = 4096

// recoveryPoint looks for a recovery point in the messages of an SEI NAL unit without its header, and returns how many
// pictures after it are not whole. signed tells that the count is coded as se(v), as in H.265: there it counts in
// the order of presentation and may be negative.
func recoveryPoint(rbsp []byte, signed bool) (int, bool) {
	b := rbspOf(rbsp[:min(len(rbsp), maxSEI)])
	for len(b) > 2 {
		typ, rest, err := seiNumber(b)
		if err != nil {
			return 0, false
		}
		size, rest, err := seiNumber(rest)
		if err != nil || size > len(rest) {
			return 0, false
		}
		if typ == seiRecoveryPoint {
			return recoveryCount(rest[:size], signed)
		}
		b = rest[size:]
	}
	return 0, false
}

func recoveryCount(b []byte, signed bool) (int, bool) {
	pos := 0
	if signed {
		n, err := bits.ReadGolombSigned(b, &pos)
		return max(int(n), 0), err == nil && n <= maxRecovery
	}
	n, err := bits.ReadGolombUnsigned(b, &pos)
	return int(n), err == nil && n <= maxRecovery
}

var errSEI = errors.New("malformed SEI message")

// seiNumber reads a payload type or size (ITU-T H.264 section 7.3.2.3.1): bytes of 255, then the rest.
func seiNumber(b []byte) (n int, rest []byte, err error) {
	for i, v := range b {
		n += int(v)
		if v != 255 {
			return n, b[i+1:], nil
		}
	}
	return 0, nil, errSEI
}

// rbspOf takes the emulation prevention bytes out (ITU-T H.264 section 7.3.1). It returns b itself if there are none.
func rbspOf(b []byte) []byte {
	var out []byte
	zeros, from := 0, 0
	for i, v := range b {
		if zeros >= 2 && v == 3 {
			out = append(out, b[from:i]...)
			from, zeros = i+1, 0
			continue
		}
		if v == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	if from == 0 {
		return b
	}
	return append(out, b[from:]...)
}
