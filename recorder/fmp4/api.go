package fmp4

import (
	"errors"
	"time"
)

// FragmentLength is the longest time one fragment holds.
const FragmentLength = 2 * time.Second

// ErrSplit is matched (errors.Is) by every error of Writer.Write that asks the caller to seal this segment and to
// write the refused unit into a new one. The unit was not taken, nothing is broken.
var ErrSplit = errors.New("segment must end before this unit")

// The reasons of a split.
var (
	// ErrGap: more time passed without a frame than one frame may last (10 x nominal, at least one second).
	ErrGap = &splitError{"silence before this unit"}
	// ErrCodec: the unit belongs to a description with other tracks, codecs or parameter sets.
	ErrCodec = &splitError{"codec or parameter sets changed"}
	// ErrEpoch: the unit belongs to another epoch of media time.
	ErrEpoch = &splitError{"media time epoch changed"}
)

type splitError struct{ why string }

func (e *splitError) Error() string        { return e.why }
func (e *splitError) Is(target error) bool { return target == ErrSplit }

// Fragment is one fragment as written: [Offset, Offset+Size) of the file. The first includes ftyp and moov.
type Fragment struct {
	Offset   int64
	Size     int64 // 0: no fragment became whole
	Start    time.Time
	Duration time.Duration
	Frames   int // video access units
}

// End is the file offset after the fragment: all before it is a whole, playable file.
func (f Fragment) End() int64 { return f.Offset + f.Size }

// Info sums up a finished segment.
type Info struct {
	Start    time.Time     // wall time of the first frame
	Duration time.Duration // to the end of the last frame
	Frames   int           // video access units
	Bytes    int64         // whole file, mfra included
	Codecs   string        // RFC 6381, e.g. "avc1.64001f,mp4a.40.2"
	Holes    []Hole        // silences inside the segment
}

// Hole is a silence inside a segment: the frame that ended it was not a key frame, so no segment could begin with it.
type Hole struct{ From, To time.Time }
