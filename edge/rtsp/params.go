package rtsp

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"skein/edge/media"
)

// NAL unit types (ITU-T H.264 table 7-1, H.265 table 7-1).
const (
	h264Slice = 1
	h264IDR   = 5
	h264SPS   = 7
	h264PPS   = 8

	h265FirstIRAP = 16
	h265LastIRAP  = 23
	h265VPS       = 32
	h265SPS       = 33
	h265PPS       = 34
)

// learned is what a unit tells about its track.
type learned struct {
	changed bool // the track's parameters are others than before
	key     bool // random access point that can be decoded: parameter sets are known
}

// learn updates t from the in-band parameter sets of a unit and finds key frames. They win over any SDP: cameras change
// resolution without telling, and some announce the parameters of another profile.
func learn(t *media.Track, u *unit) learned {
	switch t.Codec {
	case media.H264:
		return learnH264(t, u)
	case media.H265:
		return learnH265(t, u)
	case media.MJPEG:
		w, h := jpegSize(u.nalus[0])
		changed := w != t.Width || h != t.Height
		t.Width, t.Height = w, h
		return learned{changed: changed, key: !u.damaged}
	}
	return learned{}
}

func learnH264(t *media.Track, u *unit) learned {
	var l learned
	var sps, pps []byte
	idr, b := false, false
	for _, n := range u.nalus {
		switch n[0] & 0x1f {
		case h264SPS:
			if sps == nil {
				sps = n
			}
		case h264PPS:
			if pps == nil {
				pps = n
			}
		case h264IDR:
			idr = true
		case h264Slice:
			b = b || (!t.BFrames && isBSlice(n))
		}
	}
	if sps != nil && !bytes.Equal(sps, t.SPS) && applyH264SPS(t, sps) {
		l.changed = true
	}
	if pps != nil && !bytes.Equal(pps, t.PPS) {
		t.PPS, l.changed = bytes.Clone(pps), true
	}
	if b && !neverReorders(t.SPS) {
		t.BFrames, l.changed = true, true
	}
	l.key = idr && !u.damaged && len(t.SPS) > 0 && len(t.PPS) > 0
	return l
}

// applyH264SPS takes an SPS in force; it reports false, and changes nothing, if it cannot be parsed.
func applyH264SPS(t *media.Track, nalu []byte) bool {
	var s h264.SPS
	if s.Unmarshal(nalu) != nil {
		return false
	}
	t.SPS = bytes.Clone(nalu)
	t.Width, t.Height, t.FPS = s.Width(), s.Height(), saneFPS(s.FPS())
	t.BFrames = s.VUI != nil && s.VUI.BitstreamRestriction != nil && s.VUI.BitstreamRestriction.MaxNumReorderFrames > 0
	return true
}

// neverReorders reports whether the SPS itself rules out that pictures are shown in another order than decoded.
func neverReorders(nalu []byte) bool {
	var s h264.SPS
	if s.Unmarshal(nalu) != nil {
		return false
	}
	if s.ProfileIdc == 66 || s.PicOrderCntType == 2 {
		return true
	}
	return s.VUI != nil && s.VUI.BitstreamRestriction != nil && s.VUI.BitstreamRestriction.MaxNumReorderFrames == 0
}

// isBSlice reads first_mb_in_slice and slice_type (H.264 section 7.3.3). It is asked only for streams whose SPS leaves
// open whether they reorder.
func isBSlice(n []byte) bool {
	head := n[1:min(len(n), 16)]
	pos := 0
	if _, err := bits.ReadGolombUnsigned(head, &pos); err != nil {
		return false
	}
	typ, err := bits.ReadGolombUnsigned(head, &pos)
	return err == nil && typ%5 == 1 && typ < 10
}

func learnH265(t *media.Track, u *unit) learned {
	var l learned
	var vps, sps, pps []byte
	irap := false
	for _, n := range u.nalus {
		switch typ := n[0] >> 1 & 0x3f; {
		case typ == h265VPS && vps == nil:
			vps = n
		case typ == h265SPS && sps == nil:
			sps = n
		case typ == h265PPS && pps == nil:
			pps = n
		case typ >= h265FirstIRAP && typ <= h265LastIRAP:
			irap = true
		}
	}
	if sps != nil && !bytes.Equal(sps, t.SPS) && applyH265SPS(t, sps) {
		l.changed = true
	}
	if vps != nil && !bytes.Equal(vps, t.VPS) {
		t.VPS, l.changed = bytes.Clone(vps), true
	}
	if pps != nil && !bytes.Equal(pps, t.PPS) {
		t.PPS, l.changed = bytes.Clone(pps), true
	}
	l.key = irap && !u.damaged && len(t.VPS) > 0 && len(t.SPS) > 0 && len(t.PPS) > 0
	return l
}

func applyH265SPS(t *media.Track, nalu []byte) bool {
	var s h265.SPS
	if s.Unmarshal(nalu) != nil {
		return false
	}
	t.SPS = bytes.Clone(nalu)
	t.Width, t.Height, t.FPS = s.Width(), s.Height(), saneFPS(s.FPS())
	n := len(s.MaxNumReorderPics)
	t.BFrames = n > 0 && s.MaxNumReorderPics[n-1] > 0
	return true
}

// hint fills the dimensions from the parameter sets of an SDP, and forgets those that cannot be parsed.
func hint(t *media.Track) {
	sps := t.SPS
	t.SPS = nil
	ok := false
	switch {
	case len(sps) == 0:
	case t.Codec == media.H264:
		ok = applyH264SPS(t, sps)
	case t.Codec == media.H265:
		ok = applyH265SPS(t, sps)
	}
	if !ok {
		t.VPS, t.PPS = nil, nil
	}
}

// saneFPS drops rates that only a broken time base explains.
func saneFPS(f float64) float64 {
	if f >= 0.1 && f <= 240 {
		return f
	}
	return 0
}

// jpegSize finds the dimensions in the start-of-frame segment (ITU-T T.81 section B.2.2); zeros if there is none.
func jpegSize(b []byte) (width, height int) {
	for i := 2; i+9 <= len(b) && b[i] == 0xff; {
		marker := b[i+1]
		if marker >= 0xc0 && marker <= 0xc2 {
			return int(b[i+7])<<8 | int(b[i+8]), int(b[i+5])<<8 | int(b[i+6])
		}
		if marker == 0xda {
			break
		}
		i += 2 + (int(b[i+2])<<8 | int(b[i+3]))
	}
	return 0, 0
}
