package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// longest is how long a segment gets where no key frame comes: what the index can tell of one is an hour.
const longest = 50 * time.Minute

// segmentFile is a segment on its way to disk. The recording goroutine owns it until it is closed, then the goroutine
// that commits; written, durable and failed may be read by both at any time.
type segmentFile struct {
	part part
	path string
	desc *media.Description
	dst  file
	hash hash.Hash
	mux  *fmp4.Writer
	used *atomic.Int64 // the spool's bytes

	fragments prometheus.Counter

	written atomic.Int64 // bytes the system has taken, always whole fragments
	durable atomic.Int64 // bytes that a power cut cannot take any more
	failed  atomic.Pointer[error]

	// kept in memory until they are durable, so that a failing disk costs nothing while another file works
	units []*media.AccessUnit
	marks []fragmentMark
	held  int // index in units of the first one not yet in a fragment

	begun time.Time // arrival of the first unit
	cutAt time.Time // the first key frame from here on begins a new segment

	// set when closed
	info    fmp4.Info
	damaged int // pictures that lost a part of themselves before they came here
	sealed  segment.Sealed
	taken   bool // the units of rescue are in another file

	// of a file that failed after it was closed; owned by the commit
	salvaged bool // what is durable is sealed
	rescues  int  // attempts to write the rest into another file
}

// fragmentMark tells where a fragment lies in a segmentFile.
type fragmentMark struct {
	first int   // index in units of the fragment's first unit
	start int64 // offset in the file
	key   bool  // begins with a key frame, so a new segment may begin with it
}

// openSegment begins a file in which u is to be the first unit, as the camera's current one.
func (s *Spool) openSegment(c *camera, u *media.AccessUnit, cause segment.Cause) (*segmentFile, error) {
	f, err := s.newSegmentFile(c, u, cause)
	if err == nil {
		c.opened(f)
	}
	return f, err
}

func (s *Spool) newSegmentFile(c *camera, u *media.AccessUnit, cause segment.Cause) (*segmentFile, error) {
	p := part{
		number: c.nextNumber(), start: u.Wall.UTC().Truncate(time.Millisecond), epoch: u.Epoch, cause: cause,
		sub: c.sub.Load(),
	}
	if !s.sane(u.Wall) {
		b := s.bootAt(u.Arrival)
		p.boot = &b
	}
	if u.ClockKnown {
		ms := u.ClockOffset.Milliseconds()
		p.clock = &ms
	}
	f := &segmentFile{
		part: p, path: filepath.Join(c.dir, p.name()), desc: u.Desc, hash: sha256.New(), used: &s.used,
		fragments: s.m.fragments, begun: u.Arrival,
	}
	f.cutAt = nextCut(c.id, p.start, s.cfg.Segment)
	var err error
	if f.mux, err = fmp4.NewWriter(f, u.Desc, p.start); err != nil {
		return nil, &formatError{fmt.Errorf("record camera %s: %w", c.id, err)}
	}
	if f.dst, err = s.fs.create(f.path); err != nil {
		return nil, fmt.Errorf("open a segment of camera %s: %w", c.id, err)
	}
	return f, nil
}

// formatError tells that a unit or stream cannot be written as a segment at all: another file would not help.
type formatError struct{ err error }

func (e *formatError) Error() string { return e.err.Error() }
func (e *formatError) Unwrap() error { return e.err }

// Write takes one whole fragment from the muxer.
func (f *segmentFile) Write(p []byte) (int, error) {
	n, err := f.dst.Write(p)
	f.used.Add(int64(n))
	if err != nil {
		f.fail(err)
		return n, err
	}
	_, _ = f.hash.Write(p)
	f.written.Add(int64(n))
	f.fragments.Inc()
	return n, nil
}

func (f *segmentFile) fail(err error) { f.failed.CompareAndSwap(nil, &err) }

// failure returns why the file is not trusted any more, or nil.
func (f *segmentFile) failure() error {
	if p := f.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// add hands a unit to the muxer. An error matching fmp4.ErrSplit leaves the file as it was.
func (f *segmentFile) add(u *media.AccessUnit) error {
	fr, err := f.mux.Write(u)
	if fr.Size > 0 {
		f.mark(fr)
	}
	switch {
	case err == nil:
		f.units = append(f.units, u)
		if u.Damaged {
			f.damaged++
		}
		return nil
	case errors.Is(err, fmp4.ErrSplit), f.failure() != nil:
		return err
	default:
		return &formatError{err}
	}
}

// flush writes what the muxer holds.
func (f *segmentFile) flush() error {
	if f.held == len(f.units) {
		return nil
	}
	fr, err := f.mux.Flush()
	if err != nil {
		return err
	}
	if fr.Size > 0 {
		f.mark(fr)
	}
	return nil
}

// advance writes what has come so far, up to the last frame, if that makes a fragment of some size. What a kill of the
// process takes is what was not written yet.
func (f *segmentFile) advance() error {
	if f.failure() != nil {
		return nil //nolint:nilerr // dealt with at the next unit
	}
	if bytes, span := f.mux.Held(); bytes < fragmentBytes && span < fragmentSpan {
		return nil
	}
	fr, left, err := f.mux.Advance()
	if err != nil || fr.Size == 0 {
		return err
	}
	f.mark(fr)
	for f.held > 0 && left > 0 {
		f.held--
		if f.units[f.held].Desc.Tracks[f.units[f.held].Track].Codec.IsVideo() {
			left--
		}
	}
	return nil
}

// A fragment is written as soon as it holds so much or lasts so long: its boxes, twice in a segment, are about 400
// bytes.
const (
	fragmentBytes = 40 << 10
	fragmentSpan  = 500 * time.Millisecond
)

func sizeOf(units []*media.AccessUnit) (n int) {
	for _, u := range units {
		n += u.Size()
	}
	return n
}

func (f *segmentFile) mark(fr fmp4.Fragment) {
	if f.held < len(f.units) {
		f.marks = append(f.marks, fragmentMark{first: f.held, start: fr.Offset, key: startsWithKey(f.units[f.held])})
	}
	f.held = len(f.units)
	f.prune()
}

// prune forgets units that are durable, back to a fragment with which a new segment could begin. Where that is too much
// to hold, because key frames are far apart, all that is durable goes: if the file fails then, it is sealed there, and
// what comes up to the next key frame has no place to go.
func (f *segmentFile) prune() {
	durable, keep, last := f.durable.Load(), 0, 0
	for i, m := range f.marks {
		if m.start > durable {
			break
		}
		if last = i; m.key {
			keep = i
		}
	}
	if last > 0 && sizeOf(f.units[f.marks[keep].first:]) > pendingBytes {
		keep = last
	}
	if keep == 0 {
		return
	}
	n := f.marks[keep].first
	f.units = append(f.units[:0:0], f.units[n:]...)
	f.marks = append(f.marks[:0:0], f.marks[keep:]...)
	for i := range f.marks {
		f.marks[i].first -= n
	}
	f.held -= n
}

// rescue returns where a file that failed must be cut, and the units from there on, which another file must take.
func (f *segmentFile) rescue() (cut int64, units []*media.AccessUnit) {
	if len(f.marks) == 0 {
		return 0, f.units
	}
	at := f.marks[0]
	if durable := f.durable.Load(); !at.key { // none of them can begin a file: see prune
		for _, m := range f.marks {
			if m.start <= durable {
				at = m
			}
		}
	}
	return at.start, f.units[at.first:]
}

// finish ends the file. next is the wall time at which the following segment begins, zero if unknown.
func (f *segmentFile) finish(why segment.Sealed, next time.Time) error {
	f.sealed = why
	before := f.written.Load()
	info, err := f.mux.Close(next)
	if err != nil {
		f.fail(err)
		return err
	}
	f.info = info
	f.mark(fmp4.Fragment{Offset: before})
	return nil
}

// commit makes all that is written durable. It may run beside the recording goroutine.
func (f *segmentFile) commit() error {
	if err := f.failure(); err != nil {
		return err
	}
	n := f.written.Load()
	if n == f.durable.Load() {
		return nil
	}
	if err := f.dst.Sync(); err != nil {
		f.fail(err)
		return err
	}
	f.durable.Store(n)
	return nil
}

// manifest describes a file that was finished without a failure.
func (f *segmentFile) manifest(camera string) segment.Manifest {
	m := segment.Manifest{
		Camera: camera, Profile: f.part.profile(), Epoch: f.part.epoch, Start: f.part.start, Clock: f.part.clock,
		Duration: f.info.Duration, Bytes: f.written.Load(), Codecs: f.info.Codecs, Frames: f.info.Frames,
		Damaged: f.damaged, Sealed: f.sealed,
	}
	for _, h := range f.info.Holes {
		m.Holes = appendHole(m.Holes, h.From, h.To)
	}
	f.hash.Sum(m.SHA256[:0])
	return m
}

// appendHole adds a silence inside a segment. The session went on, so what did not come was held up or lost on its way.
func appendHole(list []segment.Gap, from, to time.Time) []segment.Gap {
	r := segment.Range{From: from.UTC().Round(time.Millisecond), To: to.UTC().Round(time.Millisecond)}
	if n := len(list); n == segment.MaxHoles {
		list[n-1].To = r.To
		return list
	}
	return append(list, segment.Gap{Range: r, Cause: segment.CauseNetwork})
}

// startsWithKey reports whether a segment may begin with u.
func startsWithKey(u *media.AccessUnit) bool { return u.Key || u.Desc.Video() < 0 }
