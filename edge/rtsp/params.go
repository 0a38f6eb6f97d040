package rtsp

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"skein/edge/media"
)

// NAL unit types (ITU-T H.264 table 7-1, H.265 table 7-1).
const (
	h264Slice = 1
	h264IDR   = 5
	h264SEI   = 6
	h264SPS   = 7
	h264PPS   = 8

	h265RASLN     = 8
	h265RASLR     = 9
	h265FirstIRAP = 16
	h265IDRWRADL  = 19
	h265IDRNLP    = 20
	h265LastIRAP  = 23
	h265VPS       = 32
	h265SPS       = 33
	h265PPS       = 34
	h265SEI       = 39
)

// learned is what a unit tells about its track.
type learned struct {
	access

	changed bool // the track's parameters are others than before
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
		return learned{changed: changed, access: access{key: !u.damaged}}
	}
	return learned{}
}

func learnH264(t *media.Track, u *unit) learned {
	var l learned
	var sps, pps []byte
	b := false
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
	if !u.damaged && len(t.SPS) > 0 && len(t.PPS) > 0 {
		l.access = accessH264(u.nalus)
	}
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

// hasFields reports whether the track's units may be fields (ITU-T H.264 section 7.4.2.1.1, frame_mbs_only_flag).
func hasFields(t *media.Track) bool {
	var s h264.SPS
	return t.Codec == media.H264 && s.Unmarshal(t.SPS) == nil && !s.FrameMbsOnlyFlag
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

// isBSlice is asked only for streams whose SPS leaves open whether they reorder.
func isBSlice(n []byte) bool {
	typ, ok := sliceType(n)
	return ok && typ%5 == sliceB
}

func learnH265(t *media.Track, u *unit) learned {
	var l learned
	var vps, sps, pps []byte
	for _, n := range u.nalus {
		switch typ := n[0] >> 1 & 0x3f; {
		case typ == h265VPS && vps == nil:
			vps = n
		case typ == h265SPS && sps == nil:
			sps = n
		case typ == h265PPS && pps == nil:
			pps = n
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
	if len(t.VPS) > 0 && len(t.SPS) > 0 && len(t.PPS) > 0 {
		l.access = accessH265(u.nalus)
	}
	l.key = l.key && !u.damaged
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
