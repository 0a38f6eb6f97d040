package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"skein/edge/media"
)

// ErrParameterSets: the track's parameter sets are neither in its description nor in the unit, or cannot be parsed.
var ErrParameterSets = errors.New("no usable parameter sets")

// entry is a sample entry (one child of stsd) and what else follows from the codec's parameters.
type entry struct {
	box           []byte
	codecs        string // RFC 6381
	width, height int
	timescale     uint32
}

// videoTimescale is the ticks per second of every video track.
const videoTimescale = 90000

func newEntry(t media.Track) (entry, error) {
	switch t.Codec {
	case media.H264:
		return h264Entry(t)
	case media.H265:
		return h265Entry(t)
	case media.MJPEG:
		return mjpegEntry(t), nil
	case media.AAC:
		return aacEntry(t)
	case media.Opus:
		return opusEntry(t), nil
	case media.G711A:
		return g711Entry(t, "alaw"), nil
	case media.G711U:
		return g711Entry(t, "ulaw"), nil
	}
	return entry{}, fmt.Errorf("track codec %v cannot be stored in MP4", t.Codec)
}

// visual opens a VisualSampleEntry (ISO/IEC 14496-12 section 12.1.3).
func visual(w *builder, typ string, width, height int) int {
	at := w.box(typ)
	w.zero(6)
	w.u16(1) // data_reference_index
	w.zero(16)
	w.u16(uint16(width))
	w.u16(uint16(height))
	w.u32(0x480000)
	w.u32(0x480000)
	w.u32(0)
	w.u16(1) // frame_count
	w.zero(32)
	w.u16(24)
	w.u16(0xffff)
	return at
}

// sound opens an AudioSampleEntry (ISO/IEC 14496-12 section 12.2.3).
func sound(w *builder, typ string, channels, bits, rate int) int {
	at := w.box(typ)
	w.zero(6)
	w.u16(1)
	w.zero(8)
	w.u16(uint16(channels))
	w.u16(uint16(bits))
	w.u32(0)
	if rate > 0xffff {
		rate = 0
	}
	w.u32(uint32(rate) << 16)
	return at
}

func h264Entry(t media.Track) (entry, error) {
	if len(t.SPS) < 4 || len(t.PPS) == 0 {
		return entry{}, fmt.Errorf("H.264: %w", ErrParameterSets)
	}
	var sps h264.SPS
	if err := sps.Unmarshal(t.SPS); err != nil {
		return entry{}, fmt.Errorf("H.264: %w: %w", ErrParameterSets, err)
	}
	e := entry{width: sps.Width(), height: sps.Height(), timescale: videoTimescale}
	e.codecs = fmt.Sprintf("avc1.%02x%02x%02x", t.SPS[1], t.SPS[2], t.SPS[3])
	var w builder
	at := visual(&w, "avc1", e.width, e.height)
	c := w.box("avcC") // ISO/IEC 14496-15 section 5.3.3.1
	w.u8(1, t.SPS[1], t.SPS[2], t.SPS[3], 0xff, 0xe1)
	w.u16(uint16(len(t.SPS)))
	w.raw(t.SPS)
	w.u8(1)
	w.u16(uint16(len(t.PPS)))
	w.raw(t.PPS)
	switch t.SPS[1] {
	case 100, 110, 122, 144:
		w.u8(0xfc|byte(sps.ChromaFormatIdc&3), 0xf8|byte(sps.BitDepthLumaMinus8&7), 0xf8|byte(sps.BitDepthChromaMinus8&7), 0)
	}
	w.end(c)
	w.end(at)
	e.box = w.b
	return e, nil
}

func h265Entry(t media.Track) (entry, error) {
	if len(t.VPS) == 0 || len(t.SPS) < 15 || len(t.PPS) == 0 {
		return entry{}, fmt.Errorf("H.265: %w", ErrParameterSets)
	}
	var sps h265.SPS
	if err := sps.Unmarshal(t.SPS); err != nil {
		return entry{}, fmt.Errorf("H.265: %w: %w", ErrParameterSets, err)
	}
	e := entry{width: sps.Width(), height: sps.Height(), timescale: videoTimescale}
	// profile_tier_level, 12 bytes after the NAL header and the first byte of the SPS, emulation bytes removed.
	ptl := h264.EmulationPreventionRemove(t.SPS)[3:]
	if len(ptl) < 12 {
		return entry{}, fmt.Errorf("H.265: %w", ErrParameterSets)
	}
	e.codecs = h265Codecs(ptl)
	var w builder
	at := visual(&w, "hvc1", e.width, e.height)
	c := w.box("hvcC") // ISO/IEC 14496-15 section 8.3.3.1
	w.u8(1)
	w.raw(ptl[:12])
	w.u16(0xf000)
	w.u8(0xfc, 0xfc|byte(sps.ChromaFormatIdc&3))
	w.u8(0xf8|byte(sps.BitDepthLumaMinus8&7), 0xf8|byte(sps.BitDepthChromaMinus8&7))
	w.u16(0)
	nested := byte(0)
	if sps.TemporalIDNestingFlag {
		nested = 1
	}
	w.u8((sps.MaxSubLayersMinus1+1)<<3|nested<<2|3, 3)
	for i, set := range [][]byte{t.VPS, t.SPS, t.PPS} {
		w.u8(0x80 | byte(32+i)) // array_completeness, NAL unit types 32, 33, 34
		w.u16(1)
		w.u16(uint16(len(set)))
		w.raw(set)
	}
	w.end(c)
	w.end(at)
	e.box = w.b
	return e, nil
}

// h265Codecs builds the codecs parameter of ISO/IEC 14496-15 annex E.3.
func h265Codecs(ptl []byte) string {
	flags := binary.BigEndian.Uint32(ptl[1:5])
	var rev uint32
	for i := range 32 {
		rev |= flags >> i & 1 << (31 - i)
	}
	tier := "L"
	if ptl[0]&0x20 != 0 {
		tier = "H"
	}
	s := "hvc1."
	if space := ptl[0] >> 6; space > 0 {
		s += string(rune('A' + space - 1))
	}
	s += fmt.Sprintf("%d.%x.%s%d", ptl[0]&0x1f, rev, tier, ptl[11])
	last := 10
	for last > 4 && ptl[last] == 0 {
		last--
	}
	for _, b := range ptl[5 : last+1] {
		s += fmt.Sprintf(".%x", b)
	}
	return s
}

func mjpegEntry(t media.Track) entry {
	var w builder
	at := visual(&w, "mp4v", t.Width, t.Height)
	esds(&w, 0x6c, 0x11, nil)
	w.end(at)
	return entry{box: w.b, codecs: "mp4v.6C", width: t.Width, height: t.Height, timescale: videoTimescale}
}

func aacEntry(t media.Track) (entry, error) {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(t.AACConfig); err != nil {
		return entry{}, fmt.Errorf("AAC: %w: %w", ErrParameterSets, err)
	}
	channels := max(t.Channels, 1)
	if c.ChannelConfig > 0 && c.ChannelConfig < 7 {
		channels = int(c.ChannelConfig)
	}
	var w builder
	at := sound(&w, "mp4a", channels, 16, c.SampleRate)
	esds(&w, 0x40, 0x15, t.AACConfig)
	w.end(at)
	e := entry{box: w.b, codecs: fmt.Sprintf("mp4a.40.%d", c.Type), timescale: uint32(t.ClockRate)}
	if t.ClockRate <= 0 {
		e.timescale = uint32(c.SampleRate)
	}
	return e, nil
}

// esds appends an ES descriptor box (ISO/IEC 14496-14 section 5.6).
func esds(w *builder, object, stream byte, config []byte) {
	at := w.full("esds", 0, 0)
	es := w.descriptor(3)
	w.u16(1)
	w.u8(0)
	dc := w.descriptor(4)
	w.u8(object, stream, 0, 0, 0)
	w.u32(0)
	w.u32(0)
	if len(config) > 0 {
		si := w.descriptor(5)
		w.raw(config)
		w.endDescriptor(si)
	}
	w.endDescriptor(dc)
	sl := w.descriptor(6)
	w.u8(2)
	w.endDescriptor(sl)
	w.endDescriptor(es)
	w.end(at)
}

func opusEntry(t media.Track) entry {
	channels := min(max(t.Channels, 1), 2)
	var w builder
	at := sound(&w, "Opus", channels, 16, 48000)
	d := w.box("dOps")
	w.u8(0, byte(channels))
	w.u16(0) // pre-skip: an RTP stream has none
	w.u32(48000)
	w.u16(0)
	w.u8(0)
	w.end(d)
	w.end(at)
	return entry{box: w.b, codecs: "opus", timescale: 48000}
}

func g711Entry(t media.Track, typ string) entry {
	rate := t.ClockRate
	if rate <= 0 {
		rate = 8000
	}
	var w builder
	at := sound(&w, typ, max(t.Channels, 1), 16, rate)
	w.end(at)
	return entry{box: w.b, codecs: typ, timescale: uint32(rate)}
}
