package fmp4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"skein/edge/media"
)

// ErrClosed is returned by a Writer after Close.
var ErrClosed = errors.New("segment writer is closed")

// ErrNoKeyFrame: the first video unit of a segment is not a key frame.
var ErrNoKeyFrame = errors.New("segment must begin with a key frame")

// Writer writes one segment front to back. It is not safe for concurrent use. It keeps the units of the fragment in
// the making and writes each fragment with one call of Write of the destination.
type Writer struct {
	dst    io.Writer
	desc   *media.Description
	start  time.Time
	epoch  uint32
	begun  bool // the first unit was taken
	closed bool

	lanes   []*lane // by index of desc.Tracks; nil: not stored
	primary *lane   // decides where fragments are cut
	codecs  string

	out    builder // the fragment in the making, reused
	offset int64   // bytes written
	heads  heads   // copies for the mfra
	seq    uint32  // mfhd sequence number
	info   Info
}

// NewWriter returns a Writer of one segment of the streams in desc. start is the wall time of the first video frame (of
// the first unit where there is no video). It writes nothing yet: ftyp and moov go out with the first fragment.
// An audio track that cannot be described is left out rather than costing the video.
func NewWriter(dst io.Writer, desc *media.Description, start time.Time) (*Writer, error) {
	if desc == nil || len(desc.Tracks) == 0 {
		return nil, errors.New("segment needs at least one track")
	}
	w := &Writer{dst: dst, desc: desc, start: start.UTC(), lanes: make([]*lane, len(desc.Tracks))}
	for i, t := range desc.Tracks {
		e, err := newEntry(t)
		if err != nil && !t.Codec.IsVideo() {
			continue
		}
		w.lanes[i] = newLane(t, e)
		if t.Codec.IsVideo() {
			w.lanes[i].timescale = videoTimescale
		}
	}
	at := desc.Video()
	if at < 0 {
		at = slices.IndexFunc(w.lanes, func(l *lane) bool { return l != nil })
	}
	if at < 0 {
		return nil, fmt.Errorf("segment has no track that can be stored: %w", ErrParameterSets)
	}
	w.primary = w.lanes[at]
	return w, nil
}

// Write takes a unit into the fragment in the making. Where u begins a new fragment (a key frame, or two seconds have
// passed since the last one) the one before is written first and returned; otherwise the returned Fragment has Size 0.
// The first video unit must be a key frame; audio before it is not stored. An error matching ErrSplit refuses u and
// asks for a new segment; after any other error the file must be cut to the last returned Fragment's End.
//
// A silence before a frame that is not a key frame does not end the segment, since the frame could not begin the next
// one: it is stored at its time, and the hole is listed in Info.Holes.
func (w *Writer) Write(u *media.AccessUnit) (Fragment, error) {
	if w.closed {
		return Fragment{}, ErrClosed
	}
	if u.Desc != w.desc && !sameTracks(u.Desc, w.desc) {
		return Fragment{}, ErrCodec
	}
	if w.begun && u.Epoch != w.epoch {
		return Fragment{}, ErrEpoch
	}
	if u.Track < 0 || u.Track >= len(w.lanes) {
		return Fragment{}, fmt.Errorf("unit %d: track %d of %d", u.Seq, u.Track, len(w.lanes))
	}
	l := w.lanes[u.Track]
	if l == nil || u.Size() == 0 {
		return Fragment{}, nil
	}
	if !w.begun {
		if l != w.primary {
			return Fragment{}, nil
		}
		if err := w.begin(u, l); err != nil {
			return Fragment{}, err
		}
	}
	at := ticks(u.Wall.Sub(w.start), l.timescale)
	f, err := w.cut(u, l, at)
	if err != nil {
		return Fragment{}, err
	}
	l.add(u, at)
	return f, nil
}

// begin learns what the first unit tells and lays out the tracks of the file.
func (w *Writer) begin(u *media.AccessUnit, l *lane) error {
	if l.video && !u.Key {
		return ErrNoKeyFrame
	}
	w.begun, w.epoch = true, u.Epoch
	id := 0
	for i, x := range w.lanes {
		if x == nil {
			continue
		}
		t := w.desc.Tracks[i]
		if i == u.Track {
			t = learn(t, u)
		}
		e, err := newEntry(t)
		if err != nil && x == w.primary {
			w.begun = false
			return fmt.Errorf("track %d: %w", i, err)
		}
		if err != nil {
			w.lanes[i] = nil
			continue
		}
		id++
		x.id, x.entry, x.timescale = id, e, e.timescale
		if w.codecs != "" {
			w.codecs += ","
		}
		w.codecs += e.codecs
	}
	w.info.Start, w.info.Codecs = w.start, w.codecs
	return nil
}

// cut writes the fragment in the making if u, at time at of its lane, begins a new one.
func (w *Writer) cut(u *media.AccessUnit, l *lane, at int64) (Fragment, error) {
	if l != w.primary {
		// A stalled primary track must not let the others pile up without bound.
		if first, ok := l.first(); ok && at-first >= ticks(2*FragmentLength, l.timescale) {
			return w.emit(len(w.primary.buf), -1)
		}
		return Fragment{}, nil
	}
	last, any := l.last()
	if !any {
		return Fragment{}, nil
	}
	if at-last > l.limit() {
		if u.Key || !l.video {
			return Fragment{}, ErrGap
		}
		w.info.Holes = append(w.info.Holes, Hole{
			From: w.start.Add(duration(last+l.interval, l.timescale)), To: w.start.Add(duration(at, l.timescale)),
		})
		return w.emit(len(l.buf), -1)
	}
	if len(l.buf) == 0 {
		return Fragment{}, nil
	}
	if u.Key {
		return w.emit(len(l.buf), at)
	}
	long := at - l.buf[0].pts
	if long < ticks(FragmentLength, l.timescale) {
		return Fragment{}, nil
	}
	if !l.reorder || long > 2*ticks(FragmentLength, l.timescale) {
		return w.emit(len(l.buf), at)
	}
	if n := l.settled(at); n > 0 {
		return w.emit(n, -1)
	}
	return Fragment{}, nil
}

// Flush writes what is held as a fragment, without waiting for it to be whole. Size is 0 if nothing is held.
func (w *Writer) Flush() (Fragment, error) {
	if w.closed {
		return Fragment{}, ErrClosed
	}
	return w.emit(len(w.primary.buf), -1)
}

// Held returns how many bytes of media wait for their fragment to be written, and how long they last by the track that
// decides where fragments are cut.
func (w *Writer) Held() (bytes int, span time.Duration) {
	for _, l := range w.lanes {
		if l == nil {
			continue
		}
		for i := range l.buf {
			bytes += l.buf[i].size
		}
	}
	if first, ok := w.primary.first(); ok {
		span = duration(w.primary.max-first, w.primary.timescale)
	}
	return bytes, span
}

// Advance writes what is held as a fragment, but for the last frames of the video track, whose times depend on what
// comes next: nothing is written that another call, or none, would have timed otherwise. left is how many frames of
// video it keeps. Size is 0 if nothing can go.
func (w *Writer) Advance() (f Fragment, left int, err error) {
	if w.closed {
		return Fragment{}, 0, ErrClosed
	}
	n := w.primary.ready()
	if n > 0 {
		f, err = w.emit(n, -1)
	}
	if w.primary.video {
		left = len(w.primary.buf)
	}
	return f, left, err
}

// Close flushes and writes the mfra. next is the wall time of the frame that begins the following segment, zero if
// unknown: it makes the last frame's duration exact. The Writer takes no units afterwards; dst is not closed.
func (w *Writer) Close(next time.Time) (Info, error) {
	if w.closed {
		return w.info, ErrClosed
	}
	at := int64(-1)
	if last, ok := w.primary.last(); ok && !next.IsZero() {
		if t := ticks(next.Sub(w.start), w.primary.timescale); t > last && t-last <= w.primary.limit() {
			at = t
		}
	}
	if _, err := w.emit(len(w.primary.buf), at); err != nil {
		return w.info, err
	}
	w.closed = true
	if w.offset == 0 {
		return w.info, ErrNoKeyFrame
	}
	w.out.b = w.out.b[:0]
	w.heads.appendMfra(&w.out)
	if err := w.put(); err != nil {
		return w.info, err
	}
	return w.info, nil
}

// put writes the whole of w.out.
func (w *Writer) put() error {
	n, err := w.dst.Write(w.out.b)
	w.offset += int64(n)
	w.info.Bytes = w.offset
	if err != nil {
		return fmt.Errorf("write segment at byte %d: %w", w.offset, err)
	}
	return nil
}

// sameTracks reports whether both descriptions ask for the same sample entries.
func sameTracks(a, b *media.Description) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Tracks, b.Tracks, func(x, y media.Track) bool {
		return x.Codec == y.Codec && x.ClockRate == y.ClockRate && x.Channels == y.Channels &&
			bytes.Equal(x.VPS, y.VPS) && bytes.Equal(x.SPS, y.SPS) && bytes.Equal(x.PPS, y.PPS) &&
			bytes.Equal(x.AACConfig, y.AACConfig)
	})
}
