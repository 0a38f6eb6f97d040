package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"skein/edge/media"
	"skein/recorder/segment"
)

// commitParallel bounds the cameras synced at the same time: file systems join concurrent syncs into one journal
// commit, so a few at once cost hardly more than one.
const commitParallel = 8

const (
	quickSync = 250 * time.Millisecond // the shortest interval of the group commit: that of the writes
	syncShare = 10                     // the disk syncs for at most one part in so many of the time
)

// commitLoop is the group commit: after each interval all that was written is made durable. The interval follows what a
// commit takes: a disk that bears it commits right after each write, a slow one every Sync.
func (s *Spool) commitLoop(ctx context.Context) {
	next := time.NewTimer(s.cfg.Sync)
	defer next.Stop()
	took := time.Duration(0) // for a commit: up at once, down slowly
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-s.kicked:
		}
		s.makeRoom()
		if d := s.commit(); d > took {
			took = d
		} else if d > 0 {
			took += (d - took) / 8
		}
		if now := s.now(); s.sane(now) {
			s.tellGaps(now)
		}
		next.Reset(syncAfter(took, s.cfg.Sync))
	}
}

// syncAfter returns when the next commit is due after one that takes so long.
func syncAfter(took, most time.Duration) time.Duration {
	return min(max(syncShare*took, quickSync), most)
}

// commit makes everything written so far durable and seals what is closed. It returns how long that took, 0 if there
// was nothing to do.
func (s *Spool) commit() time.Duration {
	began := time.Now()
	var work []*camera
	for _, c := range s.all() {
		if c.needsCommit() {
			work = append(work, c)
		}
	}
	if len(work) == 0 {
		return 0
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, commitParallel)
	for _, c := range work {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.commitCamera(c)
		})
	}
	wg.Wait()
	took := time.Since(began)
	s.m.commitSeconds.Observe(took.Seconds())
	return took
}

func (c *camera) needsCommit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dirDirty || len(c.closed) > 0 || c.waiting ||
		(c.current != nil && c.current.written.Load() > c.current.durable.Load())
}

// commitCamera syncs the camera's open file, seals its closed ones in order, and then syncs its folder.
func (s *Spool) commitCamera(c *camera) {
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	c.mu.Lock()
	current, closed, dirty := c.current, c.closed, c.dirDirty
	c.dirDirty = false
	c.mu.Unlock()

	wrote := false
	if current != nil {
		before := current.durable.Load()
		if err := current.commit(); err != nil {
			s.m.syncErrors.Inc()
			s.log.Error("fsync failed: this segment file is not trusted any more", "camera", c.id, "err", err)
		}
		if wrote = current.durable.Load() > before; wrote {
			s.m.syncs.Inc()
			c.kept()
		}
	}
	var done []segment.Manifest
	finished := 0
	if time.Now().Before(c.sealAgain) {
		closed = nil
	}
	for _, f := range closed {
		list, err := s.sealOrHold(c, f)
		done = append(done, list...)
		if errors.Is(err, errHeld) {
			break
		}
		if err != nil {
			s.m.writeErrors.Inc()
			s.log.Error("segment could not be sealed; trying again", "camera", c.id, "file", f.path, "err", err)
			c.sealAgain = time.Now().Add(openRetry)
			break
		}
		finished++
	}
	list, err := s.sealHeld(c)
	done = append(done, list...)
	if err != nil {
		s.m.writeErrors.Inc()
		s.log.Error("segment could not get its time; trying again", "camera", c.id, "err", err)
	}
	if dirty || finished > 0 || len(done) > 0 {
		if err := s.fs.syncDir(c.dir); err != nil {
			s.m.syncErrors.Inc()
			s.log.Error("folder could not be made durable; trying again", "camera", c.id, "err", err)
			c.mu.Lock()
			c.dirDirty = true
			c.mu.Unlock()
		}
	}
	s.sealedDone(c, finished, done, wrote)
}

// sealedDone takes finished files off the list and hands the sealed segments to the lanes.
func (s *Spool) sealedDone(c *camera, finished int, done []segment.Manifest, wrote bool) {
	var old []uint64
	c.mu.Lock()
	c.closed = c.closed[finished:]
	c.waiting = len(c.held) > 0
	if len(c.closed) == 0 {
		c.closed = nil
	}
	if wrote || len(done) > 0 {
		c.lastWrite = time.Now().UTC()
	}
	for _, m := range done {
		if c.headDone && c.head != 0 {
			old = append(old, c.head)
		}
		c.head, c.headDone = m.Seq, false
	}
	c.mu.Unlock()
	for _, seq := range old {
		if err := s.fs.remove(c.path(seq, manifestSuffix)); err != nil {
			s.log.Warn("manifest of a shipped segment could not be removed", "camera", c.id, "seq", seq, "err", err)
		}
	}
	for _, m := range done {
		s.m.sealed(m.Sealed)
		s.queue.addFresh(entry{cam: c, seq: m.Seq, start: m.Start.UnixMilli(), bytes: m.Bytes, sealed: time.Now()})
	}
}

// errHeld: the file has to wait until those before it have their time.
var errHeld = errors.New("segments before it wait for the time to be known")

// sealOrHold seals a closed file, or holds it back if its label cannot be believed. What was held is sealed before.
func (s *Spool) sealOrHold(c *camera, f *segmentFile) ([]segment.Manifest, error) {
	if f.part.boot != nil {
		s.hold(c, f)
		return nil, nil
	}
	before, err := s.sealHeld(c)
	if err != nil {
		return before, err
	}
	if len(c.held) > 0 {
		return before, errHeld
	}
	list, err := s.seal(c, f)
	return append(before, list...), err
}

// sealHeld seals what was held back, if the time is known by now.
func (s *Spool) sealHeld(c *camera) ([]segment.Manifest, error) {
	if len(c.held) == 0 || !s.sane(s.now()) {
		return nil, nil
	}
	return s.releaseHeld(c)
}

// seal makes one closed file a sealed segment; a file that failed may make none, or two. A nil error means that the
// file needs no more care. The folder is not synced.
func (s *Spool) seal(c *camera, f *segmentFile) ([]segment.Manifest, error) {
	err := f.commit()
	if err == nil {
		_ = f.dst.Close()
		m := f.manifest(c.id)
		if err := s.writeSealed(c, &m, f.path, f.part.cause); err != nil {
			return nil, err
		}
		return []segment.Manifest{m}, nil
	}
	s.m.syncErrors.Inc()
	_ = f.dst.Close()
	cut, units := f.rescue()
	if f.taken {
		units = nil
	}
	for len(units) > 0 && !startsWithKey(units[0]) {
		units = units[1:]
		s.m.lost.Inc()
		c.chain.lost = causeOf(err)
	}
	s.log.Error("segment is sealed at what is known to be durable", "camera", c.id, "file", f.path,
		"bytes", cut, "written", f.written.Load(), "err", err)
	var done []segment.Manifest
	if !f.salvaged {
		m, ok, err := s.salvage(c, f.path, f.part, salvage{limit: cut, why: segment.SealedError})
		if err != nil {
			return nil, err
		}
		f.salvaged = true
		if ok {
			done = append(done, m)
		}
	}
	if len(units) > 0 {
		m, err := s.rescueUnits(c, f, units)
		if f.rescues++; err != nil && f.rescues < rescueTries {
			return done, err
		}
		if err != nil {
			s.m.lost.Add(float64(len(units)))
			c.chain.lost = causeOf(err)
			s.log.Error("the end of a segment was lost", "camera", c.id, "units", len(units), "err", err)
			return done, nil
		}
		done = append(done, m)
	}
	return done, nil
}

// rescueTries is how often the end of a file that failed is offered to a disk that takes nothing, about one a second.
const rescueTries = 60

// rescueUnits writes the end of a file that failed after it was closed into a segment of its own.
func (s *Spool) rescueUnits(c *camera, failed *segmentFile, units []*media.AccessUnit) (m segment.Manifest, err error) {
	f, err := s.newSegmentFile(c, units[0], causeOf(failed.failure()))
	if err != nil {
		return m, err
	}
	defer func() {
		_ = f.dst.Close()
		if err != nil {
			s.used.Add(-f.written.Load())
			err = errors.Join(err, s.fs.remove(f.path))
		}
	}()
	for _, u := range units {
		if err := f.add(u); err != nil {
			return m, err
		}
	}
	if err := f.finish(failed.sealed, time.Time{}); err != nil {
		return m, err
	}
	if err := f.commit(); err != nil {
		return m, err
	}
	m = f.manifest(c.id)
	return m, s.writeSealed(c, &m, f.path, f.part.cause)
}

// writeSealed links m into the chain, writes it, and gives the file at path its final name.
func (s *Spool) writeSealed(c *camera, m *segment.Manifest, path string, cause segment.Cause) error {
	c.chain.link(m, cause)
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("manifest of camera %s: %w", c.id, err)
	}
	if err := s.fs.writeAtomic(c.path(m.Seq, manifestSuffix), data); err != nil {
		return err
	}
	if err := s.fs.rename(path, c.path(m.Seq, mediaSuffix)); err != nil {
		return fmt.Errorf("seal segment %d: %w", m.Seq, err)
	}
	c.chain.advance(*m)
	c.footageEnd = later(c.footageEnd, m.End())
	s.forgetLost(c)
	return nil
}
