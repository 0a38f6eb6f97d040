package spool

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/segment"
)

// Key frames two minutes apart: segments are as long as that, every frame is in one, and what is durable is not held in
// memory for it.
func TestKeyFramesFarApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l := newArchive(t), newLens()
		l.gop, l.size = 3000, 15_000
		run(t, testConfig(t), Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			for range 300 {
				l.shoot(25)
				synctest.Wait() // the recording waits for its next turn now
				c := s.known("cam")
				c.mu.Lock()
				f := c.current
				c.mu.Unlock()
				if n := sizeOf(f.units); n > pendingBytes+2<<20 {
					t.Fatalf("%d bytes are held", n)
				}
			}
		})
		wantFrames(t, a.frames("cam"), 1, 7500)
		segments := a.segments("cam")
		if len(segments) != 3 || segments[0].Duration.Round(time.Second) != 2*time.Minute || segments[1].Gap != nil {
			t.Errorf("segments %+v", segments)
		}
	})
}

// A disk that fails late in a long group of pictures costs what comes up to the next key frame, under a typed gap, and
// nothing that is durable.
func TestFailureLateInALongGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, d := newArchive(t), newLens(), &faultDisk{}
		l.gop, l.size = 1500, 15_000
		var fail atomic.Bool
		d.set(func(path string) error {
			if strings.HasSuffix(path, partSuffix) && fail.CompareAndSwap(true, false) {
				return syscall.EIO
			}
			return nil
		}, nil)
		run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(*Spool) {
			l.shoot(1000)
			fail.Store(true)
			l.shoot(1500)
		})
		frames := a.frames("cam")
		first := frames[:1]
		for len(first) < len(frames) && frames[len(first)] == first[len(first)-1]+1 {
			first = frames[:len(first)+1]
		}
		wantFrames(t, first, 1, uint64(len(first)))
		wantFrames(t, frames[len(first):], 1501, 2500)
		if len(first) < 900 {
			t.Errorf("%d frames before the failure, want 900 at least", len(first))
		}
		if m := a.segments("cam")[1]; m.Gap == nil || m.Gap.Cause != segment.CauseStoreRefused {
			t.Errorf("gap %+v", m.Gap)
		}
	})
}
