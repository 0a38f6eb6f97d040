package rtsp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpfragmented"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"skein/edge/media"
)

// selected is one track we take of a session.
type selected struct {
	medi  *description.Media
	forma format.Format
	track media.Track // what the SDP says: a hint
	depay depacketizer
	latm  *latm // sets AACConfig in-band, if not nil
}

// choose picks the first video and the first audio track that we can take. Back channels, metadata and unknown codecs
// are passed over; which ones is told by skipped.
func choose(d *description.Session) (out []*selected, skipped []string) {
	var video, audio bool
	for _, m := range d.Medias {
		if m.IsBackChannel {
			skipped = append(skipped, "back channel")
			continue
		}
		s := chooseFormat(m)
		switch {
		case s == nil:
			skipped = append(skipped, describe(m))
		case s.track.Codec.IsVideo() && !video:
			video = true
			out = append(out, s)
		case !s.track.Codec.IsVideo() && !audio:
			audio = true
			out = append(out, s)
		default:
			skipped = append(skipped, "second "+s.track.Codec.String())
		}
	}
	return out, skipped
}

func describe(m *description.Media) string {
	var names []string
	for _, f := range m.Formats {
		name := f.RTPMap()
		if name == "" {
			name = fmt.Sprintf("payload type %d", f.PayloadType())
		}
		names = append(names, name)
	}
	return string(m.Type) + " " + strings.Join(names, ",")
}

func chooseFormat(m *description.Media) *selected {
	for _, f := range m.Formats {
		s := &selected{medi: m, forma: f, track: media.Track{ClockRate: f.ClockRate()}}
		if s.setup(f) && s.track.ClockRate > 0 {
			return s
		}
	}
	return nil
}

// setup fills track and depacketizer; it reports false for a format we cannot take.
func (s *selected) setup(f format.Format) bool {
	t := &s.track
	switch f := f.(type) {
	case *format.H264:
		f.PacketizationMode = 1 // our depacketiser takes both; the library would refuse mode 0 over UDP
		t.Codec, t.SPS, t.PPS = media.H264, f.SPS, f.PPS
		s.depay = newNALDepacketizer(h264NALs{})
	case *format.H265:
		if f.MaxDONDiff != 0 {
			return false
		}
		t.Codec, t.VPS, t.SPS, t.PPS = media.H265, f.VPS, f.SPS, f.PPS
		s.depay = newNALDepacketizer(h265NALs{})
	case *format.MJPEG:
		t.Codec = media.MJPEG
		s.depay = newJPEG()
	case *format.Generic:
		if !strings.EqualFold(f.RTPMap(), "JPEG/90000") { // RFC 2435 under a dynamic payload type
			return false
		}
		t.Codec = media.MJPEG
		s.depay = newJPEG()
	default:
		return s.setupAudio(f)
	}
	return true
}

func (s *selected) setupAudio(f format.Format) bool {
	t := &s.track
	switch f := f.(type) {
	case *format.G711:
		t.Codec, t.Channels = media.G711A, f.ChannelCount
		if f.MULaw {
			t.Codec = media.G711U
		}
		s.depay = &frames{decode: onePerPacket, more: noMore}
	case *format.Opus:
		t.Codec, t.Channels = media.Opus, f.ChannelCount
		s.depay = &frames{decode: onePerPacket, more: noMore}
	case *format.MPEG4Audio:
		if f.Config == nil {
			return false
		}
		t.Codec = media.AAC
		t.AACConfig, t.Channels = marshalAAC(f.Config)
		d, err := f.CreateDecoder()
		if err != nil || t.AACConfig == nil {
			return false
		}
		s.depay = &frames{decode: d.Decode, more: isErr(rtpmpeg4audio.ErrMorePacketsNeeded)}
	case *format.MPEG4AudioLATM:
		s.latm = &latm{element: mpeg4audio.AudioMuxElement{MuxConfigPresent: f.CPresent, StreamMuxConfig: f.StreamMuxConfig}}
		s.latm.repair()
		t.Codec = media.AAC
		t.AACConfig, t.Channels = s.latm.config()
		s.depay = &frames{decode: s.latm.decode, more: isErr(rtpfragmented.ErrMorePacketsNeeded)}
	default:
		return false
	}
	return true
}

func noMore(error) bool { return false }

func isErr(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func onePerPacket(p *rtp.Packet) ([][]byte, error) {
	if len(p.Payload) == 0 {
		return nil, errPayload
	}
	return [][]byte{p.Payload}, nil
}

func newJPEG() depacketizer {
	d := &rtpmjpeg.Decoder{}
	return &frames{
		decode: func(p *rtp.Packet) ([][]byte, error) {
			b, err := d.Decode(p)
			if err != nil {
				return nil, err
			}
			return [][]byte{b}, nil
		},
		more: isErr(rtpmjpeg.ErrMorePacketsNeeded),
	}
}

func marshalAAC(c *mpeg4audio.AudioSpecificConfig) (config []byte, channels int) {
	b, err := c.Marshal()
	if err != nil {
		return nil, 0
	}
	channels = int(c.ChannelConfig)
	if channels == 7 {
		channels = 8
	}
	return b, channels
}

// latm unpacks AudioMuxElements (RFC 6416 section 6, ISO/IEC 14496-3 table 1.41) into raw AAC frames.
type latm struct {
	fragments rtpfragmented.Decoder
	element   mpeg4audio.AudioMuxElement
}

func (l *latm) decode(p *rtp.Packet) ([][]byte, error) {
	b, err := l.fragments.Decode(p)
	if err != nil {
		return nil, err
	}
	config := l.element.StreamMuxConfig
	if !l.element.MuxConfigPresent && config == nil {
		return nil, errPayload
	}
	if err := l.element.Unmarshal(b); err != nil {
		l.element.StreamMuxConfig = config // a half-read one would crash the next frame that refers to it
		return nil, err
	}
	var out [][]byte
	for _, subframe := range l.element.Payloads {
		if len(subframe) > 0 && len(subframe[0]) > 0 && len(subframe[0][0]) > 0 {
			out = append(out, subframe[0][0]) // the first layer of the first program
		}
	}
	return out, nil
}

// repair undoes a misreading: some senders (GStreamer's payloader among them) put a whole AudioSpecificConfig with its
// SBR signalling into the mux configuration, whose version 0 has no room for that. The fields behind it are then read
// from the wrong bits; a single AAC layer has but one sensible value for them.
func (l *latm) repair() {
	m := l.element.StreamMuxConfig
	if m == nil || len(m.Programs) != 1 || len(m.Programs[0].Layers) != 1 || m.Programs[0].Layers[0].FrameLengthType == 0 {
		return
	}
	m.Programs[0].Layers[0].FrameLengthType = 0
	m.OtherDataPresent, m.OtherDataLenBits = false, 0
	m.CRCCheckPresent = false
}

// config returns the AudioSpecificConfig in force, nil if none came yet.
func (l *latm) config() ([]byte, int) {
	m := l.element.StreamMuxConfig
	if m == nil || len(m.Programs) == 0 || len(m.Programs[0].Layers) == 0 {
		return nil, 0
	}
	c := m.Programs[0].Layers[0].AudioSpecificConfig
	if c == nil {
		return nil, 0
	}
	return marshalAAC(c)
}

// sanitizeSDP drops the media sections the RTSP library cannot read, so that one odd section (a metadata track, an
// audio mode of a vendor's own) does not cost the picture. A body that is not at all SDP is returned as it is.
func sanitizeSDP(body []byte) []byte {
	text := string(body)
	head, sections := text, []string(nil)
	if i := indexSection(text, 0); i >= 0 {
		head = text[:i]
		for i >= 0 {
			j := indexSection(text, i+2)
			if j < 0 {
				sections = append(sections, text[i:])
			} else {
				sections = append(sections, text[i:j])
			}
			i = j
		}
	}
	kept, dropped := make([]string, 0, len(sections)), false
	for _, s := range sections {
		if readable(head + s) {
			kept = append(kept, s)
		} else {
			dropped = true
		}
	}
	if !dropped || len(kept) == 0 {
		return body
	}
	return []byte(head + strings.Join(kept, ""))
}

// indexSection finds the next line that starts a media section.
func indexSection(s string, from int) int {
	if from == 0 && strings.HasPrefix(s, "m=") {
		return 0
	}
	if i := strings.Index(s[from:], "\nm="); i >= 0 {
		return from + i + 1
	}
	return -1
}

func readable(text string) bool {
	sd, err := sdpunmarshaler.Unmarshal([]byte(text))
	if err != nil {
		return false
	}
	var d description.Session
	return d.Unmarshal2(sd) == nil
}
