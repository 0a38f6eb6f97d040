package rtsp

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"skein/edge/media"
)

// packetizer turns the units of one track into RTP packets.
type packetizer struct {
	medi   *description.Media
	forma  format.Format
	track  media.Track
	encode func(nalus [][]byte) ([]*rtp.Packet, error)
	clock  rtpClock
}

// rtpClock maps the presentation times of a track to RTP timestamps. A new epoch makes them jump by a quarter of their
// range, so that the receiver opens a new epoch too and never takes one stretch of time for the next part of another.
type rtpClock struct {
	started bool
	epoch   uint32
	offset  uint32
	last    uint32
}

const epochJump = 1 << 30

// stamp returns the timestamp of pts; changed tells that an epoch begins.
func (c *rtpClock) stamp(epoch uint32, pts int64) (ts uint32, changed bool) {
	switch {
	case !c.started:
		c.started, c.epoch, c.offset, changed = true, epoch, rand.Uint32()-uint32(pts), true
	case epoch != c.epoch:
		c.epoch, c.offset, changed = epoch, c.last+epochJump-uint32(pts), true
	}
	c.last = uint32(pts) + c.offset
	return c.last, changed
}

// sessionOf describes d for an SDP and makes a packetizer per track, in the same order.
func sessionOf(d *media.Description) (*description.Session, []*packetizer, error) {
	s := &description.Session{}
	var out []*packetizer
	for i, t := range d.Tracks {
		p := &packetizer{track: t}
		if err := p.setup(uint8(96 + i)); err != nil {
			return nil, nil, fmt.Errorf("track %d (%s): %w", i, t.Codec, err)
		}
		kind := description.MediaTypeAudio
		if t.Codec.IsVideo() {
			kind = description.MediaTypeVideo
		}
		p.medi = &description.Media{Type: kind, Formats: []format.Format{p.forma}}
		s.Medias = append(s.Medias, p.medi)
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, nil, errUnsupported
	}
	return s, out, nil
}

func (p *packetizer) setup(pt uint8) error {
	t := p.track
	switch t.Codec {
	case media.H264:
		f := &format.H264{PayloadTyp: pt, SPS: t.SPS, PPS: t.PPS, PacketizationMode: 1}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, e.Encode
	case media.H265:
		f := &format.H265{PayloadTyp: pt, VPS: t.VPS, SPS: t.SPS, PPS: t.PPS}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, e.Encode
	case media.MJPEG:
		f := &format.MJPEG{}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, func(n [][]byte) ([]*rtp.Packet, error) { return e.Encode(n[0]) }
	default:
		return p.setupAudio(pt)
	}
	return nil
}

func (p *packetizer) setupAudio(pt uint8) error {
	t := p.track
	switch t.Codec {
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.AACConfig); err != nil {
			return fmt.Errorf("AudioSpecificConfig: %w", err)
		}
		f := &format.MPEG4Audio{PayloadTyp: pt, Config: &c, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, e.Encode
	case media.Opus:
		f := &format.Opus{PayloadTyp: pt, ChannelCount: t.Channels}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, each(func(b []byte) ([]*rtp.Packet, error) {
			pkt, err := e.Encode(b)
			return []*rtp.Packet{pkt}, err
		})
	case media.G711A, media.G711U:
		f := &format.G711{PayloadTyp: pt, MULaw: t.Codec == media.G711U, SampleRate: t.ClockRate, ChannelCount: t.Channels}
		if t.ClockRate == 8000 && t.Channels == 1 {
			f.PayloadTyp = 8 // RFC 3551 table 4
			if f.MULaw {
				f.PayloadTyp = 0
			}
		}
		e, err := f.CreateEncoder()
		if err != nil {
			return err
		}
		p.forma, p.encode = f, each(e.Encode)
	default:
		return errUnsupported
	}
	return nil
}

func each(encode func([]byte) ([]*rtp.Packet, error)) func([][]byte) ([]*rtp.Packet, error) {
	return func(frames [][]byte) ([]*rtp.Packet, error) {
		var out []*rtp.Packet
		for _, b := range frames {
			pkts, err := encode(b)
			if err != nil {
				return nil, err
			}
			out = append(out, pkts...)
		}
		return out, nil
	}
}

// packets encodes u; changed tells that a new epoch begins with it.
func (p *packetizer) packets(u *media.AccessUnit) (pkts []*rtp.Packet, ts uint32, changed bool, err error) {
	nalus := u.NALUs
	if u.Key {
		nalus = withParameters(u.Desc.Tracks[u.Track], nalus)
	}
	if len(nalus) == 0 || slices.ContainsFunc(nalus, func(b []byte) bool { return len(b) == 0 }) {
		return nil, 0, false, errPayload
	}
	ts, changed = p.clock.stamp(u.Epoch, u.PTS)
	if pkts, err = p.encode(nalus); err != nil {
		return nil, ts, changed, err
	}
	for _, pkt := range pkts {
		pkt.Timestamp += ts // the encoders number the frames of one unit from zero
	}
	return pkts, ts, changed, nil
}

// withParameters puts the parameter sets before a key frame that does not carry them: a receiver that follows only the
// stream, not the SDP, can then begin at every key frame.
func withParameters(t media.Track, nalus [][]byte) [][]byte {
	var want [][]byte
	var isSPS func(b byte) bool
	switch t.Codec {
	case media.H264:
		want, isSPS = [][]byte{t.SPS, t.PPS}, func(b byte) bool { return b&0x1f == h264SPS }
	case media.H265:
		want, isSPS = [][]byte{t.VPS, t.SPS, t.PPS}, func(b byte) bool { return b>>1&0x3f == h265SPS }
	default:
		return nalus
	}
	if slices.ContainsFunc(nalus, func(n []byte) bool { return len(n) > 0 && isSPS(n[0]) }) {
		return nalus
	}
	for _, w := range want {
		if len(w) == 0 {
			return nalus
		}
	}
	return append(want, nalus...)
}

// sameLayout reports whether a session announced for a can carry b: parameter sets go in-band, everything else is in
// the SDP.
func sameLayout(a, b *media.Description) bool {
	if a == b {
		return true
	}
	return slices.EqualFunc(a.Tracks, b.Tracks, func(x, y media.Track) bool {
		return x.Codec == y.Codec && x.ClockRate == y.ClockRate && x.Channels == y.Channels &&
			slices.Equal(x.AACConfig, y.AACConfig)
	})
}
