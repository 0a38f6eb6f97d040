package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/segment"
)

// A kill of the process takes only what was not written yet, whatever the length of the groups of pictures: about a
// quarter of a second where pictures are large, and three quarters where a fragment would cost more than it saves.
func TestFramesLostToAKill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, gop int
		most      uint64 // frames, of 25 a second
	}{
		{10_000, 25, 8}, {10_000, 500, 8}, {400, 25, 20}, {400, 500, 20},
	} {
		t.Run(fmt.Sprintf("%d bytes a frame, a key frame every %d", c.size, c.gop), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, l, cfg := newArchive(t), newLens(), testConfig(t)
				l.size, l.gop = c.size, c.gop
				type killed struct {
					dir   string
					frame uint64
				}
				var kills []killed
				run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) {
					l.shoot(100)
					for i := range 20 {
						l.shoot(17 + i)
						k := killed{filepath.Join(a.dir, fmt.Sprint("killed", i)), l.frame}
						copyDir(t, cfg.Dir, k.dir)
						kills = append(kills, k)
					}
				})
				worst, sum := uint64(0), uint64(0)
				for _, k := range kills {
					after := newArchive(t)
					after.got, after.dir = a.before(t, k.dir), a.dir
					cfg.Dir = k.dir
					run(t, cfg, Deps{Shipper: after}, quickFS(), nil, func(*Spool) { time.Sleep(time.Second) })
					list := after.frames("cam")
					wantFrames(t, list, 1, uint64(len(list)))
					lost := k.frame - uint64(len(list))
					worst, sum = max(worst, lost), sum+lost
				}
				t.Logf("%d kills: %.1f frames lost on average, at most %d", len(kills), float64(sum)/float64(len(kills)), worst)
				if worst > c.most {
					t.Errorf("a kill took %d frames, want at most %d", worst, c.most)
				}
			})
		})
	}
}

// before returns what the archive had got when dir was copied: all before the first segment that is in dir.
func (a *archive) before(t *testing.T, dir string) (out []segment.Manifest) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, camerasDir, "cam", "*"+mediaSuffix))
	if err != nil {
		t.Fatal(err)
	}
	heads, err := filepath.Glob(filepath.Join(dir, camerasDir, "cam", "*"+manifestSuffix))
	if err != nil {
		t.Fatal(err)
	}
	have := uint64(0)
	for _, name := range heads {
		if seq, ok := parseSealed(filepath.Base(name), manifestSuffix); ok {
			have = max(have, seq)
		}
	}
	for _, name := range list {
		if seq, ok := parseSealed(filepath.Base(name), mediaSuffix); ok {
			have = min(have, seq-1)
		}
	}
	for _, m := range a.segments("cam") {
		if m.Seq <= have {
			out = append(out, m)
		}
	}
	return out
}

// Pictures are recorded again from the first one that can be decoded: nothing is waited for but a key frame.
func TestRecordingBeginsWithTheFirstKeyFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		l.frame = 20 // five frames before the next key frame
		s, err := open(cfg, Deps{Shipper: a}, quickFS())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l.shoot(2) // before anybody records
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		wg.Go(func() { _ = s.Record(ctx, "cam", l.st) })
		l.shoot(50)
		cancel()
		wg.Wait()
		s.Close()
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(*Spool) { time.Sleep(time.Second) })
		wantFrames(t, a.frames("cam"), 26, 72)
	})
}

// The group commit follows the disk: right after each write where that is cheap, every Sync where it is not.
func TestCommitsFollowTheDisk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ took, most, want time.Duration }{
		{0, time.Second, 250 * time.Millisecond},
		{5 * time.Millisecond, time.Second, 250 * time.Millisecond},
		{40 * time.Millisecond, time.Second, 400 * time.Millisecond},
		{2 * time.Second, time.Second, time.Second},
		{0, 50 * time.Millisecond, 50 * time.Millisecond},
	} {
		if got := syncAfter(c.took, c.most); got != c.want {
			t.Errorf("commit of %v, at most every %v: next after %v, want %v", c.took, c.most, got, c.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Sync, l.size = time.Second, 10_000
		disk := quickFS()
		var syncs atomic.Int64
		create := disk.create
		disk.create = func(p string) (file, error) {
			w, err := create(p)
			return countingFile{w, &syncs}, err
		}
		run(t, cfg, Deps{Shipper: a}, disk, l, func(*Spool) { l.shoot(500) })
		if n := syncs.Load(); n < 40 || n > 90 { // a write and a commit at the same moment may come in either order
			t.Errorf("disk that takes no time: %d fsyncs in 20 s, want about 80", n)
		}
	})
}

// countingFile counts its syncs.
type countingFile struct {
	file
	n *atomic.Int64
}

func (f countingFile) Sync() error {
	f.n.Add(1)
	return f.file.Sync()
}
