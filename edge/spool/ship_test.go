package spool

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/segment"
)

// backlog records n short segments into the spool of cfg without shipping them.
func backlog(t *testing.T, cfg Config, n int) *lens {
	t.Helper()
	l := newLens()
	cfg.Segment = minSegment
	run(t, cfg, Deps{}, quickFS(), l, func(*Spool) { l.shoot(100 * n) })
	return l
}

func TestBacklogKeepsUnderItsCap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Ship.BacklogRate = 20_000
		l, a := backlog(t, cfg, 10), newArchive(t)
		var total int64
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			_, total = s.queue.size()
			began := time.Now()
			time.Sleep(5 * time.Second)
			snap := s.Snapshot()
			if snap.BacklogBytes == 0 || snap.OldestAge == 0 {
				t.Errorf("snapshot %+v", snap)
			}
			time.Sleep(15 * time.Second)
			if eta := s.Snapshot().ETA; eta <= 0 || eta > time.Minute {
				t.Errorf("estimate %v, %+v", eta, s.Snapshot())
			}
			for n, _ := s.queue.size(); n > 0; n, _ = s.queue.size() {
				time.Sleep(time.Second)
			}
			want := time.Duration(float64(total-pace) / 20_000 * float64(time.Second))
			if took := time.Since(began); took < want-time.Second || took > want+15*time.Second {
				t.Errorf("%d bytes took %v, want about %v", total, took, want)
			}
		})
		wantFrames(t, a.frames("cam"), 1, l.frame)
	})
}

func TestFreshFootageDoesNotWaitForTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		backlog(t, cfg, 10)
		cfg.Ship.BacklogRate, cfg.Segment = 1000, minSegment
		a, l := newArchive(t), newLens()
		l.frame = 10_000
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) {
			l.shoot(25 * 30)
			fresh := 0
			for _, m := range a.segments("cam") {
				if m.Seq > 9 {
					fresh++
				}
			}
			if fresh < 4 {
				t.Errorf("%d fresh segments after 30 s", fresh)
			}
		})
	})
}

func TestOutageIsProbedWithGrowingPausesAndNothingIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment = minSegment
		a.fail = func(segment.Manifest, int) error { return errors.New("connection refused") }
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			l.shoot(25 * 60 * 10)
			a.mu.Lock()
			tries := a.tries
			a.fail = nil
			a.mu.Unlock()
			if tries < 10 || tries > 80 {
				t.Errorf("%d attempts in 10 minutes", tries)
			}
			if s.Snapshot().LastShipError == "" || s.Recording("cam").Backlog < 100 {
				t.Errorf("snapshot %+v", s.Snapshot())
			}
			l.shoot(25 * 90)
			if n, _ := s.queue.size(); n > 2 {
				t.Errorf("%d segments left 90 s after the outage", n)
			}
		})
		wantFrames(t, a.frames("cam"), 1, l.frame)
	})
}

func TestOneRefusedSegmentDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, cfg := newArchive(t), testConfig(t)
		backlog(t, cfg, 10)
		a.fail = func(m segment.Manifest, _ int) error {
			if m.Seq == 2 {
				return &RefusedError{Status: 409, Detail: "another one"}
			}
			return nil
		}
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			time.Sleep(5 * time.Minute)
			if n := len(a.segments("cam")); n < 9 {
				t.Errorf("%d segments shipped", n)
			}
			if n, _ := s.queue.size(); n != 1 {
				t.Errorf("%d segments left, want the refused one", n)
			}
			if _, err := os.Stat(s.known("cam").path(2, mediaSuffix)); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestWrongReceiptDeletesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*segment.Receipt){
		"hash":   func(r *segment.Receipt) { r.SHA256[0]++ },
		"camera": func(r *segment.Receipt) { r.Camera = "other" },
		"size":   func(r *segment.Receipt) { r.Bytes-- },
		"seq":    func(r *segment.Receipt) { r.Seq++ },
		"empty":  func(r *segment.Receipt) { *r = segment.Receipt{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			a, cfg := newArchive(t), testConfig(t)
			backlog(t, cfg, 3)
			a.spoil = spoil
			run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
				before, _ := s.queue.size()
				time.Sleep(time.Hour)
				after, _ := s.queue.size()
				if before == 0 || before != after {
					t.Errorf("%s: %d segments before, %d after", name, before, after)
				}
			})
		})
	}
}

func TestSegmentThatRottedOnDiskIsSetAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, cfg := newArchive(t), testConfig(t)
		backlog(t, cfg, 4)
		a.fail = func(m segment.Manifest, _ int) error {
			if m.Seq == 2 {
				return &RefusedError{Status: 400, Detail: "content does not match"}
			}
			return nil
		}
		run(t, cfg, Deps{}, quickFS(), nil, func(s *Spool) {
			path := s.known("cam").path(2, mediaSuffix)
			data, _ := os.ReadFile(path)
			data[len(data)/2] ^= 1
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		})
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			time.Sleep(time.Minute)
			if n, _ := s.queue.size(); n != 0 || s.Snapshot().SetAside != 1 {
				t.Errorf("%d left, snapshot %+v", n, s.Snapshot())
			}
		})
	})
}

func TestKilledBetweenReceiptAndDeletionShipsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, cfg := newArchive(t), testConfig(t)
		l := backlog(t, cfg, 3)
		copied := testConfig(t)
		copyDir(t, cfg.Dir, copied.Dir)
		for _, c := range []Config{cfg, copied} {
			run(t, c, Deps{Shipper: a}, quickFS(), nil, func(*Spool) { time.Sleep(time.Minute) })
		}
		wantFrames(t, a.frames("cam"), 1, l.frame)
	})
}

func TestShippedFootageStaysAsLongAsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, cfg := newArchive(t), testConfig(t)
		cfg.Keep = time.Hour
		backlog(t, cfg, 3)
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			time.Sleep(time.Minute)
			if n, _ := s.queue.size(); n != 0 || s.used.Load() == 0 {
				t.Errorf("%d left, %d bytes", n, s.used.Load())
			}
		})
		tries := a.tries
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			time.Sleep(time.Minute)
			if s.used.Load() == 0 || a.tries != tries {
				t.Errorf("%d bytes, %d attempts after a restart", s.used.Load(), a.tries-tries)
			}
			time.Sleep(2 * time.Hour)
			if s.used.Load() != 0 {
				t.Errorf("%d bytes after the time was over", s.used.Load())
			}
		})
	})
}

func TestFullSpoolDropsTheOldestUnderATypedGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment, cfg.MaxBytes = minSegment, 1_000_000
		l.size = 1000
		a.fail = func(segment.Manifest, int) error { return errors.New("no link") }
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			seen := map[Level]bool{}
			for range 120 {
				l.shoot(25)
				seen[s.Level()] = true
				if b := s.used.Load(); b > cfg.MaxBytes {
					t.Fatalf("%d bytes in use", b)
				}
			}
			for v := LevelNormal; v <= LevelShed; v++ {
				if !seen[v] {
					t.Errorf("level %v was never reported", v)
				}
			}
			if s.Snapshot().Dropped == 0 {
				t.Error("nothing was dropped")
			}
			a.mu.Lock()
			a.fail = nil
			a.mu.Unlock()
			l.shoot(25 * 60)
		})
		wantGapsTyped(t, a, l, segment.CauseSpoolFull)
	})
}

// wantGapsTyped fails unless the archived segments and their gaps account for all frames.
func wantGapsTyped(t *testing.T, a *archive, l *lens, cause segment.Cause) {
	t.Helper()
	last, end, holes := uint64(0), l.begun, 0
	for _, m := range a.segments("cam") {
		f := framesOf(t, a.path(m))
		if f[0] != last+1 {
			holes++
			if m.Gap == nil || m.Gap.Cause != cause || !m.Gap.To.Equal(m.Start) ||
				m.Gap.From.Sub(end).Abs() > 100*time.Millisecond {
				t.Errorf("frames %d to %d are missing before segment %d, its gap is %+v, the footage ended %v",
					last+1, f[0]-1, m.Seq, m.Gap, end)
			}
		} else if m.Gap != nil {
			t.Errorf("segment %d has a gap %+v, but nothing is missing", m.Seq, m.Gap)
		}
		last, end = f[len(f)-1], m.End()
	}
	if last != l.frame || holes == 0 {
		t.Errorf("last frame is %d of %d, %d holes", last, l.frame, holes)
	}
}

func TestFileSystemLevels(t *testing.T) {
	t.Parallel()
	s := &Spool{cfg: Config{}}
	const gb = 1 << 30
	for _, c := range []struct {
		st    fsFill
		level Level
		must  bool
	}{
		{fsFill{size: 100 * gb, free: 50 * gb}, LevelNormal, false},
		{fsFill{size: 100 * gb, free: 19 * gb}, LevelWarn, false},
		{fsFill{size: 100 * gb, free: 9 * gb}, LevelShed, false},
		{fsFill{size: 100 * gb, free: 4 * gb}, LevelEmergency, false}, // somebody else's: unshipped footage stays
		{fsFill{size: 100 * gb, free: gb / 2}, LevelEmergency, true},
		{fsFill{size: gb, free: gb / 50}, LevelEmergency, true},
		{fsFill{size: 100 * gb, free: 90 * gb, inodes: 100, inodesFree: 4}, LevelEmergency, false},
	} {
		r := s.look(c.st)
		if r.level != c.level || (r.must > 0) != c.must {
			t.Errorf("%+v: %+v", c.st, r)
		}
	}
}

func TestGateLetsOneAttemptThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Second, 30*time.Second)
		g.report(true)
		passed := make(chan time.Time, 10)
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			go func() {
				if g.pass(ctx) == nil {
					passed <- time.Now()
				}
			}()
		}
		time.Sleep(10 * time.Second)
		if n := len(passed); n != 1 {
			t.Fatalf("%d passed", n)
		}
		g.report(false)
		synctest.Wait()
		if n := len(passed); n != 5 {
			t.Fatalf("%d passed after a success", n)
		}
		cancel()
	})
}

func TestRateByHour(t *testing.T) {
	t.Parallel()
	c := ShipConfig{BacklogRate: 10, NightRate: 99, NightFrom: 22, NightTo: 6}
	for hour, want := range map[int]int64{0: 99, 5: 99, 6: 10, 12: 10, 21: 10, 22: 99} {
		if got := c.rate(time.Date(2026, 1, 1, hour, 30, 0, 0, time.Local)); got != want {
			t.Errorf("hour %d: %d", hour, got)
		}
	}
}
