package clip

import (
	"encoding/binary"
	"math/bits"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"

	"skein/edge/media"
	"skein/recorder/fmp4"
)

// flacBlock is the most samples of a frame that carries sound, flacSilence of one that carries silence.
const (
	flacBlock   = 4096
	flacSilence = 32768
)

// flacTrack returns the track that carries the G.711 track t as FLAC (16 bits, verbatim).
func flacTrack(t fmp4.Track) fmp4.Track {
	rate := uint32(t.Rate)
	if rate == 0 {
		rate = t.TimeScale
	}
	e := make([]byte, 0, 86)
	e = append(e, 0, 0, 0, 0, 'f', 'L', 'a', 'C')
	e = append(e, 0, 0, 0, 0, 0, 0, 0, 1)
	e = append(e, make([]byte, 8)...)
	e = append(e, 0, byte(t.Channels), 0, 16, 0, 0, 0, 0)
	e = binary.BigEndian.AppendUint32(e, rate<<16)
	e = append(e, 0, 0, 0, 50, 'd', 'f', 'L', 'a', 0, 0, 0, 0, 0x80, 0, 0, 34)
	// STREAMINFO (RFC 9639 section 8.2): block sizes, frame sizes unknown, rate, channels, bits, length, no MD5.
	e = append(e, 0, 16, flacSilence>>8, flacSilence&0xff, 0, 0, 0, 0, 0, 0)
	e = append(e, byte(rate>>12), byte(rate>>4), byte(rate<<4)|byte(t.Channels-1)<<1, 0xf0, 0, 0, 0, 0)
	e = append(e, make([]byte, 16)...)
	binary.BigEndian.PutUint32(e, uint32(len(e)))
	out := t
	out.Entry = e
	return out
}

// flacSize returns the bytes of a frame of n samples a channel that begins at sample first.
func flacSize(first int64, n, channels int, silence bool) int {
	head := 4 + codedLen(first) + 2 + 1
	if silence {
		return head + 3*channels + 2
	}
	return head + channels*(1+2*n) + 2
}

// codedLen returns the length of the coded number of RFC 9639 section 9.1.5.
func codedLen(v int64) int {
	n := bits.Len64(uint64(v))
	if n <= 7 {
		return 1
	}
	return (n + 3) / 5 // 2 bytes carry 11 bits, each further byte 5 more
}

// appendFLAC appends a frame of the interleaved 16-bit big-endian samples in pcm; nil means n samples of silence.
func (t *crcTable) appendFLAC(p []byte, first int64, pcm []byte, n, channels int) []byte {
	at := len(p)
	p = append(p, 0xff, 0xf9, 0x70, byte(channels-1)<<4|0x08)
	p = appendCoded(p, first)
	p = binary.BigEndian.AppendUint16(p, uint16(n-1))
	p = append(p, crc8(p[at:]))
	for c := range channels {
		if pcm == nil {
			p = append(p, 0, 0, 0) // constant subframe
			continue
		}
		p = append(p, 2) // verbatim subframe
		for i := range n {
			k := 2 * (i*channels + c)
			p = append(p, pcm[k], pcm[k+1])
		}
	}
	return binary.BigEndian.AppendUint16(p, t.sum(p[at:]))
}

func appendCoded(p []byte, v int64) []byte {
	n := codedLen(v)
	if n == 1 {
		return append(p, byte(v))
	}
	p = append(p, byte(uint16(0xff00)>>n)|byte(v>>(6*(n-1))))
	for i := n - 2; i >= 0; i-- {
		p = append(p, 0x80|byte(v>>(6*i))&0x3f)
	}
	return p
}

func crc8(p []byte) byte {
	var c byte
	for _, b := range p {
		c ^= b
		for range 8 {
			c = c<<1 ^ 0x07*(c>>7)
		}
	}
	return c
}

// crcTable is the table of the frame's CRC-16 (polynomial 0x8005).
type crcTable [256]uint16

func newCRCTable() *crcTable {
	var t crcTable
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			c = c<<1 ^ 0x8005*(c>>15)
		}
		t[i] = c
	}
	return &t
}

func (t *crcTable) sum(p []byte) uint16 {
	var c uint16
	for _, b := range p {
		c = c<<8 ^ t[byte(c>>8)^b]
	}
	return c
}

// decodeG711 returns big-endian 16-bit samples.
func decodeG711(codec media.Codec, p []byte) []byte {
	if codec == media.G711A {
		var lpcm g711.Alaw
		lpcm.Unmarshal(p)
		return lpcm
	}
	var lpcm g711.Mulaw
	lpcm.Unmarshal(p)
	return lpcm
}

// flacBlocks calls f for each frame that n samples a channel from first on are cut into.
func flacBlocks(first int64, n, most int, f func(first int64, n int)) {
	k := (n + most - 1) / most
	for i := range k {
		b := n / k
		if i < n%k {
			b++
		}
		f(first, b)
		first += int64(b)
	}
}

// silentFrame returns a frame of silence of the codec, nil if there is none known.
func silentFrame(t fmp4.Track) []byte {
	switch {
	case t.Codec == media.Opus:
		return []byte{0xf8, 0xff, 0xfe}
	case t.Codec == media.AAC && t.Channels == 1:
		return []byte{0x00, 0xc8, 0x00, 0x80, 0x23, 0x80}
	case t.Codec == media.AAC && t.Channels == 2:
		return []byte{0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80}
	}
	return nil
}
