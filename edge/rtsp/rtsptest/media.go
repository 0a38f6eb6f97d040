package rtsptest

import (
	"bytes"
	_ "embed"
	"image"
	"image/jpeg"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"skein/edge/media"
)

// Two seconds of a test picture, 192x108 at 25 a second, a key frame each second, made by ffmpeg (testsrc2).
//
//go:embed testdata/clip.h264
var clipH264 []byte

//go:embed testdata/clip.h265
var clipH265 []byte

// Width, Height and GOP of the H.264 and H.265 clips.
const (
	Width  = 192
	Height = 108
	GOP    = 25
)

// Film is a coded sequence of pictures.
type Film struct {
	Codec media.Codec // H264 or H265
	Units [][][]byte  // NAL units of each picture, in decoding order; the SDP says nothing of its parameters
	Shown []int       // place of each picture in the order of presentation
}

// source makes the units of one track.
type source struct {
	shown  []int // see Film; nil: in decoding order
	codec  media.Codec
	forma  format.Format
	rate   int // ticks a second
	step   int // ticks a unit
	encode func([][]byte) ([]*rtp.Packet, error)
	units  [][][]byte
}

// Clip returns the pictures of the built-in clip of a codec (H264 or H265) as NAL units.
func Clip(c media.Codec) [][][]byte {
	data, slice := clipH264, func(n []byte) (vcl, first bool) {
		t := n[0] & 0x1f
		return t >= 1 && t <= 5, n[1]&0x80 != 0
	}
	if c == media.H265 {
		data, slice = clipH265, func(n []byte) (vcl, first bool) { return n[0]>>1&0x3f < 32, n[2]&0x80 != 0 }
	}
	var out [][][]byte
	var unit [][]byte
	picture := false
	for _, n := range bytes.Split(data, []byte{0, 0, 1}) {
		n = bytes.TrimRight(n, "\x00")
		if len(n) < 3 {
			continue
		}
		vcl, first := slice(n)
		if picture && (!vcl || first) {
			out = append(out, unit)
			unit, picture = nil, false
		}
		picture = picture || vcl
		unit = append(unit, n)
	}
	return append(out, unit)
}

// place is where picture n comes in the order of presentation.
func (s *source) place(n int) int {
	if s.shown == nil {
		return n
	}
	return n/len(s.units)*len(s.units) + s.shown[n%len(s.units)]
}

// sei returns a user data NAL unit with a running number and n bytes of padding.
func sei(c media.Codec, number, n int) []byte {
	body := append([]byte(Mark), digits(number)...)
	body = append(body, bytes.Repeat([]byte{0x55}, n)...)
	head := []byte{6}
	if c == media.H265 {
		head = []byte{39 << 1, 1}
	}
	out := append(head, 5)
	for size := len(body); ; size -= 255 {
		if size < 255 {
			out = append(out, byte(size))
			break
		}
		out = append(out, 255)
	}
	return append(append(out, body...), 0x80)
}

func videoSource(c media.Codec, o Options) (*source, error) {
	s := &source{codec: c, rate: 90000, step: 90000 / o.FPS}
	if o.Film != nil {
		s.units, s.shown = o.Film.Units, o.Film.Shown
	} else if c == media.H264 || c == media.H265 {
		s.units = Clip(c)
	}
	switch c {
	case media.H264:
		f := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
		if o.Film == nil {
			f.SPS, f.PPS = s.units[0][0], s.units[0][1]
		}
		if o.BadSDP {
			f.SPS = []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
				0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20}
		}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, e.Encode
	case media.H265:
		f := &format.H265{PayloadTyp: 96}
		if o.Film == nil {
			f.VPS, f.SPS, f.PPS = s.units[0][0], s.units[0][1], s.units[0][2]
		}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, e.Encode
	default:
		f := &format.MJPEG{}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, func(n [][]byte) ([]*rtp.Packet, error) { return e.Encode(n[0]) }
		for i := range 16 { // few, since encoding them takes seconds under the race detector
			s.units = append(s.units, [][]byte{picture(i)})
		}
	}
	if o.NoParameters {
		for i, u := range s.units {
			s.units[i] = withoutParameters(c, u)
		}
	}
	return s, nil
}

func withoutParameters(c media.Codec, unit [][]byte) [][]byte {
	var out [][]byte
	for _, n := range unit {
		t := n[0] & 0x1f
		if c == media.H264 && (t == 7 || t == 8) {
			continue
		}
		t = n[0] >> 1 & 0x3f
		if c == media.H265 && t >= 32 && t <= 34 {
			continue
		}
		out = append(out, n)
	}
	return out
}

func picture(n int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, Width, 112), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i>>5*9 + n)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 60}); err != nil {
		return nil
	}
	return b.Bytes()
}

func audioSource(c media.Codec) (*source, error) {
	s := &source{codec: c, rate: 8000, step: 160}
	switch c {
	case media.AAC:
		s.rate, s.step = 48000, 1024
		f := &format.MPEG4Audio{
			PayloadTyp: 97, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
			Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2},
		}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, e.Encode
		s.units = [][][]byte{{{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}}} // silence
	case media.Opus:
		s.rate, s.step = 48000, 960
		f := &format.Opus{PayloadTyp: 97, ChannelCount: 2}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, func(n [][]byte) ([]*rtp.Packet, error) {
			p, err := e.Encode(n[0])
			return []*rtp.Packet{p}, err
		}
		s.units = [][][]byte{{{0xfc, 0xff, 0xfe}}} // silence
	default:
		f := &format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1}
		silence := byte(0xd5)
		if c == media.G711U {
			f.PayloadTyp, f.MULaw, silence = 0, true, 0xff
		}
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, err
		}
		s.forma, s.encode = f, func(n [][]byte) ([]*rtp.Packet, error) { return e.Encode(n[0]) }
		s.units = [][][]byte{{bytes.Repeat([]byte{silence}, 160)}}
	}
	return s, nil
}
