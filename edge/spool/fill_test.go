package spool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"skein/edge/media"
	"skein/recorder/segment"
)

// While nothing is shipped, the spool tells how long it will last, and warns long before it is full.
func TestTimeLeftAtThePresentGrowth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		a.fail = func(segment.Manifest, int) error { return errDown }
		cfg.Segment, cfg.MaxBytes, cfg.WarnLeft = 4*time.Second, 10_000_000, 30*time.Minute
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			l.shoot(25 * 10)
			if n := s.Snapshot(); n.Level != LevelNormal || n.Left != -1 {
				t.Errorf("at the start: %+v", n)
			}
			l.shoot(25 * 110)
			n := s.Snapshot()
			// about 25 frames of 600 bytes a second
			if n.Level != LevelWarn || n.Left < 5*time.Minute || n.Left > 15*time.Minute || n.Bytes > cfg.MaxBytes/2 {
				t.Errorf("growing: %+v", n)
			}
			if n.Inodes < 0.09 || n.Inodes > 0.11 {
				t.Errorf("inodes %v", n.Inodes)
			}
			a.mu.Lock()
			a.fail = nil
			a.mu.Unlock()
			l.shoot(25 * 120)
			if n := s.Snapshot(); n.Level != LevelNormal || n.Left != -1 || n.Backlog > 1 {
				t.Errorf("shipped: %+v", n)
			}
		})
	})
}

func TestInodesCount(t *testing.T) {
	t.Parallel()
	s := &Spool{cfg: testConfig(t).WithDefaults(), queue: newQueue()}
	for used, want := range map[int64]Level{700: LevelNormal, 810: LevelWarn, 910: LevelShed, 960: LevelEmergency} {
		st := fsFill{size: 1 << 40, free: 1 << 39, inodes: 1000, inodesFree: 1000 - used}
		if r := s.look(st); r.level != want || r.must != 0 {
			t.Errorf("%d of 1000 inodes: %+v, want %v", used, r, want)
		}
	}
}

// The profile that is recorded is in the manifest, also after a crash.
func TestProfileIsInTheManifest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l, cfg := newArchive(t), newArchive(t), newLens(), testConfig(t)
		killed := t.TempDir()
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.RecordProfile(ctx, "cam", media.Sub, l.st) }()
			synctest.Wait()
			l.shoot(100)
			copyDir(t, cfg.Dir, killed)
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		cfg.Dir = killed
		run(t, cfg, Deps{Shipper: b}, quickFS(), nil, func(*Spool) { time.Sleep(time.Second) })
		for _, archive := range []*archive{a, b} {
			if list := archive.segments("cam"); len(list) != 1 || list[0].Profile != string(media.Sub) {
				t.Errorf("segments %+v", list)
			}
		}
	})
}
