package fmp4

import (
	"io"
	"time"

	"skein/edge/media"
)

// Writer writes one segment front to back. It is not safe for concurrent use. It keeps the units of the fragment in
// the making and writes each fragment with one call of Write of the destination.
type Writer struct {
	dst   io.Writer
	desc  *media.Description
	start time.Time
}

// NewWriter returns a Writer of one segment of the streams in desc. start is the wall time of the first video frame (of
// the first unit where there is no video). It writes nothing yet: ftyp and moov go out with the first fragment.
func NewWriter(dst io.Writer, desc *media.Description, start time.Time) (*Writer, error) {
	return &Writer{dst: dst, desc: desc, start: start}, nil
}

// Write takes a unit into the fragment in the making. Where u begins a new fragment (a key frame, or two seconds have
// passed) the one before is written first and returned; otherwise the returned Fragment has Size 0. The first video
// unit must be a key frame. An error matching ErrSplit refuses u and asks for a new segment; after any other error
// the file must be cut to the last returned Fragment's End.
func (w *Writer) Write(u *media.AccessUnit) (Fragment, error) { return Fragment{}, nil }

// Flush writes what is held as a fragment, without waiting for it to be whole. Size is 0 if nothing is held.
func (w *Writer) Flush() (Fragment, error) { return Fragment{}, nil }

// Close flushes and writes the mfra. next is the wall time of the frame that begins the following segment, zero if
// unknown: it makes the last frame's duration exact. The Writer takes no units afterwards; dst is not closed.
func (w *Writer) Close(next time.Time) (Info, error) { return Info{}, nil }
