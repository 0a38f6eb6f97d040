package spool

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"skein/edge/media"
	"skein/recorder/segment"
)

// pendingBytes bounds what a camera's recording keeps in memory while the disk takes nothing: about 15 s of 4 Mbit/s.
const pendingBytes = 8 << 20

// endTries is how often a recording that ends tries to get rid of what is pending.
const endTries = 3

// stall abandons a file that failed. What it does not hold for certain, and more after it, goes into another file as
// soon as the disk takes one: until then it is pending, and nothing is lost.
func (r *recording) stall(more ...*media.AccessUnit) {
	f := r.f
	r.log.Error("segment file is not trusted any more; its last footage goes into a new one",
		"file", f.path, "err", f.failure(), "durable", f.durable.Load())
	f.sealed = segment.SealedError
	cut, units := f.rescue()
	f.taken = true
	r.pending = slices.Concat(units, more, r.pending)
	if len(r.pending) > 0 && !startsWithKey(r.pending[0]) {
		r.cause = causeOf(f.failure()) // no file can begin with it: see segmentFile.prune
	}
	r.f, r.shift = nil, nil
	r.lastPTS = r.lastPTS[:0]
	r.resumed = false
	if cut > 0 {
		r.c.close(f)
	} else {
		r.discard(f)
	}
	r.refused(f.failure())
}

// discard removes a file all of whose units are pending.
func (r *recording) discard(f *segmentFile) {
	r.c.commitMu.Lock() // a commit may be syncing it
	defer r.c.commitMu.Unlock()
	if r.cause == "" {
		r.cause = f.part.cause // of the gap before its first unit
	}
	r.c.discard()
	_ = f.dst.Close()
	if err := r.s.fs.remove(f.path); err != nil {
		r.log.Warn("file that failed could not be removed", "file", f.path, "err", err)
		return
	}
	r.s.used.Add(-f.written.Load())
}

// refused notes that the disk takes nothing now.
func (r *recording) refused(err error) {
	r.failed = causeOf(err)
	r.retryAt = time.Now().Add(openRetry)
	r.s.m.writeErrors.Inc()
	if !r.trouble {
		r.log.Error("recording is held up: the spool takes nothing", "err", err)
	}
	r.trouble = true
	r.c.setTrouble(err.Error(), r.failed)
	r.s.kick()
}

// retry writes what is pending, if it is time for that. What the disk still refuses stays pending.
func (r *recording) retry() error {
	if len(r.pending) == 0 {
		return nil
	}
	if time.Now().Before(r.retryAt) {
		r.shed()
		return nil
	}
	list := r.pending
	r.pending = nil
	for i, u := range list {
		err := r.place(u)
		if len(r.pending) > 0 || err != nil {
			r.pending = append(r.pending, list[i+1:]...)
			r.shed()
			return err
		}
	}
	return nil
}

// shed gives up the oldest groups of pictures while too much is pending. The gap is typed in the next segment.
func (r *recording) shed() {
	total, n := sizeOf(r.pending), 0
	for i, u := range r.pending {
		if total <= pendingBytes && startsWithKey(u) {
			break
		}
		total -= u.Size()
		n = i + 1
	}
	if n == 0 {
		return
	}
	r.c.losePictures(r.pending[0].Wall, r.failed)
	r.pending = append(r.pending[:0:0], r.pending[n:]...)
	r.s.m.lost.Add(float64(n))
	r.cause = r.failed
}

// end seals what is open. What no file takes even now is lost, and the next segment types that gap.
func (r *recording) end() {
	for range endTries {
		r.retryAt = time.Time{}
		if err := r.retry(); err != nil {
			break
		}
		r.cut(segment.SealedStop, time.Time{})
		if len(r.pending) == 0 {
			return
		}
	}
	if n := len(r.pending); n > 0 {
		r.s.m.lost.Add(float64(n))
		r.log.Error("the end of the recording is lost: the disk takes it no more", "units", n)
		r.c.commitMu.Lock()
		defer r.c.commitMu.Unlock()
		r.c.chain.lost = r.failed
	}
}

// causeOf types a gap made by a failing disk.
func causeOf(err error) segment.Cause {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return segment.CauseSpoolFull
	}
	return segment.CauseStoreRefused
}
