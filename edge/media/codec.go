// Package media holds the vocabulary every plane of Skein shares: codecs, tracks and access units.
//
// It is a leaf: it owns no goroutine, opens nothing, and imports nothing of Skein.
package media

import "fmt"

// Codec identifies how a track is encoded.
type Codec uint8

// The codecs cameras and terminals deliver.
const (
	H264  Codec = iota + 1 // ITU-T H.264
	H265                   // ITU-T H.265
	MJPEG                  // RFC 2435
	G711A                  // ITU-T G.711 A-law
	G711U                  // ITU-T G.711 mu-law
	AAC                    // MPEG-4 AAC, ISO/IEC 14496-3
	Opus                   // RFC 6716
)

// String returns the name people and APIs see: "H264", "H265", "MJPEG", "PCMA", "PCMU", "AAC" or "OPUS".
func (c Codec) String() string {
	switch c {
	case H264:
		return "H264"
	case H265:
		return "H265"
	case MJPEG:
		return "MJPEG"
	case G711A:
		return "PCMA"
	case G711U:
		return "PCMU"
	case AAC:
		return "AAC"
	case Opus:
		return "OPUS"
	}
	return fmt.Sprintf("Codec(%d)", uint8(c))
}

// IsVideo reports whether the codec carries pictures.
func (c Codec) IsVideo() bool { return c == H264 || c == H265 || c == MJPEG }
