package media

import "time"

// AccessUnit is one coded picture, or one audio packet's frames, as the camera delivered it.
//
// It is immutable once published: readers share it and nobody may write to it or to its buffers.
type AccessUnit struct {
	Seq  uint64       // position in the stream over all tracks, from 1, without holes; set by stream.Publish
	Desc *Description // the description in force for this unit
	// Track is an index into Desc.Tracks.
	Track int
	// Epoch numbers the stretch of time in which PTS is continuous. It changes when the source reconnects or either
	// clock steps; PTS of different epochs must not be subtracted.
	Epoch uint32
	// PTS is the presentation time in ticks of the track's clock, 64-bit extended, repaired so that it never repeats
	// within an epoch.
	PTS int64
	// Wall is the capture time on the edge's clock, from the epoch's mapping of media time. UTC.
	Wall time.Time
	// Arrival is when the unit's last packet was read, with Go's monotonic reading.
	Arrival time.Time
	// ClockOffset is camera clock minus edge clock as measured by RTCP sender reports; ClockKnown tells if it is known.
	ClockOffset time.Duration
	ClockKnown  bool
	// Key marks a random access point, with which decoding may begin: an IDR picture or a recovery point (H.264), an
	// IRAP picture or a recovery point (H.265), any MJPEG picture. Always false for audio.
	Key bool
	// Damaged tells that a part of the picture was lost on the way from the camera: it is kept as far as it can be
	// decoded, and pictures that refer to it may show the damage up to the next key frame.
	Damaged bool
	// Open tells of a Key that is no IDR picture: pictures decoded after it may be made from pictures before it, if they
	// are Leading, or not yet whole, if Recovery is not 0.
	Open bool
	// Leading marks a picture shown before the Open key that it follows, and made from pictures before that. Where
	// decoding began at that key it cannot be decoded and must be left out.
	Leading bool
	// Recovery is how many pictures after a Key are not whole yet where decoding began there: gradual refresh.
	Recovery int
	// NALUs are the NAL units without start codes (H.264, H.265), the one JPEG (MJPEG), or the audio frames of the
	// packet in order (AAC, Opus: one frame each; G.711: samples).
	NALUs [][]byte
}

// Size returns the bytes of all NAL units or frames.
func (u *AccessUnit) Size() int {
	n := 0
	for _, b := range u.NALUs {
		n += len(b)
	}
	return n
}

// IsVideo reports whether the unit belongs to a video track.
func (u *AccessUnit) IsVideo() bool { return u.Desc.Tracks[u.Track].Codec.IsVideo() }
