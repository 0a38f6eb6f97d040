package media

// Profile names one of a camera's streams.
type Profile string

// The profiles a camera may offer.
const (
	Main Profile = "main" // full resolution, recorded
	Sub  Profile = "sub"  // small, for walls
)

// Valid reports whether p is a known profile.
func (p Profile) Valid() bool { return p == Main || p == Sub }

// Track describes one elementary stream. It is immutable once part of a Description.
type Track struct {
	Codec     Codec
	ClockRate int // ticks per second of AccessUnit.PTS
	Channels  int // audio only

	// Parameter sets in force, without start code or length. Learned in-band where the stream carries them: an
	// SDP is only a hint.
	VPS, SPS, PPS []byte

	AACConfig []byte // AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1

	Width, Height int     // luma samples after cropping, 0 if unknown
	FPS           float64 // nominal frame rate, 0 if unknown
	BFrames       bool    // pictures may be output in another order than decoded (from SPS, not from timestamps)
	NoIDR         bool    // H.264 whose keys have been open for long: browsers, which begin at IDR pictures, show nothing
}

// Description is the set of tracks of a stream. It is immutable; a change of codec or parameter sets makes a new one.
type Description struct {
	Tracks []Track
}

// Video returns the index of the first video track, or -1.
func (d *Description) Video() int { return d.find(true) }

// Audio returns the index of the first audio track, or -1.
func (d *Description) Audio() int { return d.find(false) }

func (d *Description) find(video bool) int {
	if d == nil {
		return -1
	}
	for i, t := range d.Tracks {
		if t.Codec.IsVideo() == video {
			return i
		}
	}
	return -1
}
