package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

const (
	pollInterval = 250 * time.Millisecond // units are taken in batches: far fewer wake-ups than one each
	flushAfter   = 2 * time.Second        // a silence after which what is held goes to disk
	openRetry    = time.Second            // between attempts while the disk takes no file
	readerQueue  = 2048
)

// Source is what a recording takes units from, such as a *stream.Reader.
type Source interface {
	// TryNext returns the next unit if there is one.
	TryNext() (*media.AccessUnit, bool)
	// Next waits for the next unit. Its error ends the recording, but for that of ctx.
	Next(ctx context.Context) (*media.AccessUnit, error)
}

// Record writes the camera's main stream; see RecordProfile.
func (s *Spool) Record(ctx context.Context, camera string, st *stream.Stream) error {
	return s.RecordProfile(ctx, camera, media.Main, st)
}

// RecordProfile writes one profile of the camera until ctx ends (nil) or the stream does (its error). What was
// published before that is in a sealed segment when it returns. A stream that no segment can hold is an error at
// once. At most one Record per camera runs at a time.
func (s *Spool) RecordProfile(ctx context.Context, camera string, p media.Profile, st *stream.Stream) error {
	c, err := s.camera(camera)
	if err != nil {
		return err
	}
	r := st.Subscribe(stream.ReaderOptions{Name: "spool", Queue: readerQueue, History: true})
	defer r.Close()
	return s.record(ctx, c, p, st, r)
}

// RecordFrom is RecordProfile for units that come from elsewhere than a live stream, as fast as src gives them. Their
// Seq must rise from 1.
func (s *Spool) RecordFrom(ctx context.Context, camera string, p media.Profile, src Source) error {
	c, err := s.camera(camera)
	if err != nil {
		return err
	}
	return s.record(ctx, c, p, src, src)
}

func (s *Spool) record(ctx context.Context, c *camera, p media.Profile, identity any, src Source) error {
	if !c.start() {
		return fmt.Errorf("camera %s is already being recorded", c.id)
	}
	c.sub.Store(p == media.Sub)
	s.recordBegins()
	defer s.recordEnds()
	defer c.stop()
	if c.lastStream != identity {
		c.lastStream, c.lastSeq = identity, 0
	}
	r := &recording{s: s, c: c, src: src, log: s.log.With("camera", c.id), resumed: true}
	err := r.run(ctx)
	r.end()
	s.settle(c)
	return err
}

// settle commits what a recording that ends has left, and gives up after a few attempts: recovery then seals it.
func (s *Spool) settle(c *camera) {
	for range 3 {
		c.commitMu.Lock()
		c.sealAgain = time.Time{}
		c.commitMu.Unlock()
		s.commitCamera(c)
		if !c.pending() {
			return
		}
	}
	s.log.Error("last segment could not be sealed; it will be when the spool is opened again", "camera", c.id)
}

// recording is the state of one Record call. One goroutine owns it.
type recording struct {
	s   *Spool
	c   *camera
	src Source
	log *slog.Logger

	f        *segmentFile
	last     *media.AccessUnit // taken last
	lastPTS  []int64           // by track, on the segment's time line
	cause    segment.Cause     // of the footage missing now, if known
	resumed  bool              // the next segment does not continue the one before
	shift    *shift
	pending  []*media.AccessUnit // wait for a disk that takes them; the first can begin a segment
	retryAt  time.Time
	failed   segment.Cause // why the disk takes nothing
	flushed  bool
	lastTake time.Time

	trouble   bool // the camera's detail tells what is wrong
	unfitSaid bool // said once per Record
}

func (r *recording) run(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	r.lastTake = time.Now()
	for {
		n, err := r.drain()
		if err != nil {
			return err
		}
		if n == 0 {
			if n, err = r.await(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				_, err := r.drain() // what came while the last unit was awaited
				return err
			}
		}
		if n == 0 {
			continue
		}
		r.advance()
		select {
		case <-ctx.Done():
			_, err := r.drain()
			return err
		case <-tick.C:
		}
	}
}

// await waits a while for one unit and takes it, and looks after what is held if none comes. When ctx ends it takes
// what is left.
func (r *recording) await(ctx context.Context) (n int, err error) {
	wait, cancel := context.WithTimeout(ctx, pollInterval)
	u, err := r.src.Next(wait)
	cancel()
	switch {
	case err == nil:
		return 1, r.take(u)
	case ctx.Err() != nil:
		return r.drain()
	case errors.Is(err, context.DeadlineExceeded):
		return 0, r.idle()
	}
	return 0, fmt.Errorf("record camera %s: %w", r.c.id, err)
}

// drain takes all that is queued.
func (r *recording) drain() (n int, err error) {
	for {
		u, ok := r.src.TryNext()
		if !ok {
			return n, nil
		}
		n++
		if err := r.take(u); err != nil {
			return n, err
		}
	}
}

// advance writes what the last units add to the open segment: they are then in the system's hands, and outlive a kill
// of this process.
func (r *recording) advance() {
	if r.f == nil {
		return
	}
	_ = r.f.advance() // the failure is kept in the file and dealt with at the next unit
}

// idle saves what is held while nothing arrives.
func (r *recording) idle() error {
	if err := r.retry(); err != nil {
		return err
	}
	if r.f == nil {
		return nil
	}
	quiet := time.Since(r.lastTake)
	if quiet >= r.s.cfg.Silence {
		r.cut(segment.SealedSilence, time.Time{})
		return nil
	}
	if quiet >= flushAfter && !r.flushed {
		r.flushed = true
		_ = r.f.flush() // the failure is kept in the file and dealt with at the next unit
	}
	if r.f.failure() != nil {
		r.stall()
	}
	return nil
}

// take records one unit. Its only error is that the stream cannot be recorded at all.
func (r *recording) take(u *media.AccessUnit) error {
	if u.Seq != 0 && u.Seq <= r.c.lastSeq {
		return nil // in the stream's history, and recorded by an earlier Record
	}
	if r.last != nil && u.Seq > r.c.lastSeq+1 {
		r.overrun(u.Seq - r.c.lastSeq - 1)
	}
	r.c.lastSeq = u.Seq
	r.lastTake, r.flushed = time.Now(), false
	if r.f != nil && r.f.failure() != nil {
		r.stall()
	}
	if len(r.pending) > 0 {
		r.pending = append(r.pending, u)
		return r.retry()
	}
	return r.place(u)
}

// place writes u where it belongs. Afterwards it is in a file, passed over for good, or pending.
func (r *recording) place(u *media.AccessUnit) error {
	if r.f != nil && startsWithKey(u) && (!u.Wall.Before(r.f.cutAt) || r.shift != nil || r.hurried(u)) {
		why, next := segment.SealedDuration, u.Wall
		if r.shift != nil || r.last != nil && u.Epoch != r.last.Epoch {
			why, next = segment.SealedEpoch, time.Time{} // there may be a hole before u
		}
		r.cut(why, next)
		if len(r.pending) > 0 {
			r.pending = append(r.pending, u)
			return nil
		}
	}
	if r.f != nil && u.Arrival.Sub(r.f.begun) >= longest {
		r.cut(segment.SealedDuration, time.Time{}) // the footage up to the next key frame is lost
	}
	return r.write(u)
}

// write puts u into the open segment, or into a new one where it must.
func (r *recording) write(u *media.AccessUnit) error {
	if r.f == nil {
		if !startsWithKey(u) {
			r.s.m.skippedNoKey.Inc()
			return nil
		}
		if err := r.open(u); err != nil || r.f == nil {
			return err
		}
	}
	v := u
	if r.shift != nil {
		v = r.moved(u)
	}
	err := r.f.add(v)
	if errors.Is(err, fmp4.ErrSplit) {
		return r.split(u, err)
	}
	var format *formatError
	if errors.As(err, &format) {
		r.unfit(format)
		return nil
	}
	if err == nil {
		r.took(v)
	} else {
		r.stall(v) // it is pending now
	}
	return nil
}

func (r *recording) took(v *media.AccessUnit) {
	r.last = v
	if r.trouble && r.f.durable.Load() > 0 { // in memory is not on disk yet
		r.trouble = false
		r.c.setTrouble("", "")
	}
	for len(r.lastPTS) <= v.Track {
		r.lastPTS = append(r.lastPTS, 0)
	}
	r.lastPTS[v.Track] = v.PTS
}

// unfit passes over a unit that cannot be stored. A file that holds nothing yet goes with it.
func (r *recording) unfit(err error) {
	r.s.m.skippedUnfit.Inc()
	r.trouble = true
	r.c.setTrouble(err.Error(), "")
	if !r.unfitSaid {
		r.unfitSaid = true
		r.log.Error("camera delivers what a segment cannot hold", "err", err)
	}
	if len(r.f.units) == 0 {
		r.c.discard()
		_ = r.f.dst.Close()
		_ = r.s.fs.remove(r.f.path)
		r.f, r.resumed = nil, true
	}
}

// split deals with a unit that the open segment must not hold.
func (r *recording) split(u *media.AccessUnit, why error) error {
	reason := segment.SealedSilence
	switch {
	case errors.Is(why, fmp4.ErrCodec):
		reason = segment.SealedCodec
	case errors.Is(why, fmp4.ErrEpoch):
		reason = segment.SealedEpoch
	}
	if !startsWithKey(u) && reason != segment.SealedCodec && r.last != nil && r.shift == nil {
		if u.Arrival.Sub(r.last.Arrival) < r.s.cfg.Silence && u.Desc == r.f.desc {
			r.shift = r.newShift(u)
			v := r.moved(u)
			if err := r.f.add(v); err == nil {
				r.took(v)
				return nil
			}
		}
	}
	r.cut(reason, time.Time{})
	if len(r.pending) > 0 {
		r.pending = append(r.pending, u)
		return nil
	}
	if !startsWithKey(u) {
		r.s.m.skippedNoKey.Inc()
		return nil
	}
	return r.write(u)
}

// overrun notes that the reader's queue was too short for a stall of the disk.
func (r *recording) overrun(n uint64) {
	r.s.m.lost.Add(float64(n))
	r.c.losePictures(r.last.Wall, segment.CauseStoreRefused)
	r.log.Error("the disk was too slow: units were lost before they could be recorded", "units", n)
	r.cut(segment.SealedError, time.Time{})
	r.cause = segment.CauseStoreRefused
}

// cut ends the open segment. next is the wall time of the frame that follows without a hole, or zero.
func (r *recording) cut(why segment.Sealed, next time.Time) {
	if r.f == nil {
		return
	}
	if err := r.f.finish(why, next); err != nil {
		r.stall()
		return
	}
	r.c.close(r.f)
	r.f, r.shift = nil, nil
	r.lastPTS = r.lastPTS[:0]
	r.resumed = next.IsZero()
}

// open begins a segment with u. r.f stays nil if the disk refuses; then u is pending.
func (r *recording) open(u *media.AccessUnit) error {
	f, err := r.s.openSegment(r.c, u, r.gapCause(u))
	var format *formatError
	if errors.As(err, &format) {
		r.c.setTrouble(format.Error(), "")
		return format
	}
	if err != nil {
		r.pending = append(r.pending, u)
		r.refused(err)
		return nil
	}
	r.f, r.cause, r.resumed = f, "", false
	return nil
}

// gapCause tells why footage before u is missing, if it is.
func (r *recording) gapCause(u *media.AccessUnit) segment.Cause {
	switch {
	case r.cause != "":
		return r.cause
	case !r.resumed:
		return ""
	case r.last != nil && u.Wall.Sub(r.last.Wall)-u.Arrival.Sub(r.last.Arrival) > time.Second:
		return segment.CauseClock // the clock went ahead further than time did
	}
	if r.c.isFresh() && r.s.causedByDown(r.c.endBefore, u.Wall) {
		return segment.CauseEdgeDown
	}
	if r.s.deps.GapCause == nil {
		return segment.CauseUnknown
	}
	return r.s.deps.GapCause(r.c.id)
}
