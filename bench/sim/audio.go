package sim

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"skein/edge/media"
)

// audioLoop is a few seconds of coded sound, repeated for ever. Immutable.
type audioLoop struct {
	codec     media.Codec
	clockRate int
	samples   int // per frame, in ticks of clockRate
	frames    [][]byte
}

const (
	g711Rate  = 8000
	g711Frame = 320 // 40 ms
)

// speechAAC and speechOpus are newSpeech's sound, coded once with ffmpeg: ADTS frames of 16 kHz mono AAC-LC, and Opus
// packets of 20 ms, each after its length in two bytes.
//
//go:embed audio/speech.aac
var speechAAC []byte

//go:embed audio/speech.opus
var speechOpus []byte

// newSound returns the loop of a codec, nil for codec 0.
func newSound(codec media.Codec) (*audioLoop, error) {
	switch codec {
	case 0:
		return nil, nil
	case media.G711A:
		return newSpeech(), nil
	case media.AAC:
		return newAAC(speechAAC)
	case media.Opus:
		return newOpus(speechOpus)
	}
	return nil, fmt.Errorf("audio codec %s: not simulated", codec)
}

// newAAC splits ADTS frames and wraps each as an RTP payload (RFC 3640 section 3.2, mode AAC-hbr).
func newAAC(adts []byte) (*audioLoop, error) {
	const header = 7
	l := &audioLoop{codec: media.AAC, clockRate: 16000, samples: 1024}
	for len(adts) > header {
		size := int(adts[3]&3)<<11 | int(adts[4])<<3 | int(adts[5])>>5
		if size < header || size > len(adts) {
			return nil, fmt.Errorf("read built-in sound: ADTS frame %d is cut short", len(l.frames))
		}
		au := adts[header:size]
		payload := binary.BigEndian.AppendUint16([]byte{0, 16}, uint16(len(au))<<3)
		l.frames = append(l.frames, append(payload, au...))
		adts = adts[size:]
	}
	return l, nil
}

func newOpus(packets []byte) (*audioLoop, error) {
	l := &audioLoop{codec: media.Opus, clockRate: 48000, samples: 960}
	for len(packets) > 2 {
		size := int(binary.BigEndian.Uint16(packets))
		if 2+size > len(packets) {
			return nil, fmt.Errorf("read built-in sound: Opus packet %d is cut short", len(l.frames))
		}
		l.frames = append(l.frames, packets[2:2+size])
		packets = packets[2+size:]
	}
	return l, nil
}

// format describes the sound.
func (l *audioLoop) format() format.Format {
	switch l.codec {
	case media.AAC:
		return &format.MPEG4Audio{
			PayloadTyp: videoPayloadType + 1,
			Config: &mpeg4audio.AudioSpecificConfig{
				Type: mpeg4audio.ObjectTypeAACLC, SampleRate: l.clockRate, ChannelConfig: 1, ChannelCount: 1,
			},
			SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
		}
	case media.Opus:
		return &format.Opus{PayloadTyp: videoPayloadType + 2, ChannelCount: 1}
	}
	return &format.G711{PayloadTyp: 8, SampleRate: l.clockRate, ChannelCount: 1}
}

// at returns the k-th frame since 1970.
func (l *audioLoop) at(k uint64) []byte { return l.frames[k%uint64(len(l.frames))] }

// index returns which frame is the first that begins at or after a media time.
func (l *audioLoop) index(m time.Time) uint64 {
	rate := uint64(l.clockRate)
	t := uint64(m.Unix())*rate + (uint64(m.Nanosecond())*rate+999_999_999)/1e9
	return (t + uint64(l.samples) - 1) / uint64(l.samples)
}

// start returns when frame k begins, in media time.
func (l *audioLoop) start(k uint64) time.Time {
	t, rate := k*uint64(l.samples), uint64(l.clockRate)
	return time.Unix(int64(t/rate), int64(t%rate*1e9/rate)).UTC()
}

// newSpeech makes 8 s of something like a voice in A-law: syllables of a gliding buzz with two formants, and pauses.
func newSpeech() *audioLoop {
	l := &audioLoop{codec: media.G711A, clockRate: g711Rate, samples: g711Frame}
	const total = 8 * g711Rate
	frame := make([]byte, 0, g711Frame)
	phase := 0.0
	for i := range total {
		t := float64(i) / g711Rate
		syllable := math.Mod(t, 0.24) / 0.24
		envelope := math.Pow(math.Sin(math.Pi*syllable), 2)
		if math.Mod(t, 4) > 2.9 {
			envelope = 0
		}
		word := math.Floor(t / 0.24)
		phase += 2 * math.Pi * (125 + 22*math.Sin(word*1.7) - 18*syllable) / g711Rate
		f1, f2 := 480+190*math.Sin(word*2.3), 1350+420*math.Sin(word*3.1)
		v := 0.0
		for h := 1; h <= 16; h++ {
			f := float64(h) * 125
			gain := 0.12/float64(h) + bump((f-f1)/170) + 0.5*bump((f-f2)/220)
			v += gain * math.Sin(phase*float64(h))
		}
		frame = append(frame, alaw(int16(6500*envelope*v/2)))
		if len(frame) == g711Frame {
			l.frames = append(l.frames, frame)
			frame = make([]byte, 0, g711Frame)
		}
	}
	return l
}

// alaw compresses one sample (ITU-T G.711).
func alaw(v int16) byte {
	sign, m := byte(0x80), int(v)>>3
	if m < 0 {
		sign, m = 0, -m-1
	}
	m = min(m, 4095)
	exp := 0
	for e := m >> 5; e > 0; e >>= 1 {
		exp++
	}
	mantissa := m >> 1 & 15
	if exp > 1 {
		mantissa = m >> exp & 15
	}
	return (sign | byte(exp<<4) | byte(mantissa)) ^ 0x55
}

// marker reports whether RTP packets of the codec carry the marker bit (every packet is a whole frame).
func (l *audioLoop) marker() bool { return l.codec == media.AAC }

// bump is the bell curve exp(-x^2).
func bump(x float64) float64 { return math.Exp(-x * x) }
