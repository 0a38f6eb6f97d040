package spool

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/segment"
)

var errDown = errors.New("down")

// The newest segment is dropped for want of room, the process dies, and no later footage ever comes: the archive learns
// of the loss all the same, with what bridges the chain.
func TestLossOfTheNewestSegmentSurvivesAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment = 4 * time.Second
		cfg.MaxBytes = 1000 // nothing has room
		a.fail = func(segment.Manifest, int) error { return errDown }
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(250) })
		after := t.TempDir() // as a kill -9 leaves it: everything but the media is there
		copyDir(t, cfg.Dir, after)
		if list, _ := filepath.Glob(filepath.Join(after, camerasDir, "cam", "*"+mediaSuffix)); len(list) != 0 {
			t.Fatalf("media left: %v", list)
		}
		cfg.Dir, cfg.MaxBytes = after, 0
		a.fail = nil
		time.Sleep(time.Hour)
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(*Spool) { time.Sleep(time.Minute) })
		told := a.told()
		if len(told) != 1 || told[0].Lost == nil {
			t.Fatalf("told %+v", told)
		}
		d := told[0]
		if d.Cause != segment.CauseSpoolFull || d.Duration().Round(100*time.Millisecond) != 10*time.Second ||
			d.Lost.First != 1 || d.Lost.Frames != 250 || !d.Lost.Prev.IsZero() {
			t.Errorf("told %+v %+v", d, d.Lost)
		}
		// The next footage continues the chain, and its gap begins where footage was lost.
		l2 := newLens()
		l2.frame = 250
		run(t, cfg, Deps{Shipper: a}, quickFS(), l2, func(*Spool) { l2.shoot(50) })
		list := a.segments("cam")
		if len(list) != 1 || list[0].Seq != d.Lost.Last+1 || list[0].Prev != d.Lost.SHA256 {
			t.Fatalf("segments %+v after %+v", list, d.Lost)
		}
		if g := list[0].Gap; g == nil || g.Cause != segment.CauseSpoolFull || !g.From.Equal(d.From) {
			t.Errorf("gap %+v", g)
		}
		if list, _ := filepath.Glob(filepath.Join(after, camerasDir, "cam", "*"+lostSuffix)); len(list) != 0 {
			t.Errorf("records of losses left: %v", list)
		}
	})
}

// A camera that is off is told of while it is off, and the document ends when pictures are back.
func TestCameraThatIsOffIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		var off atomic.Bool
		deps := Deps{Shipper: a, GapCause: func(string) segment.Cause {
			if off.Load() {
				return segment.CauseCameraOff
			}
			return segment.CauseNetwork
		}}
		run(t, cfg, deps, quickFS(), l, func(*Spool) {
			l.shoot(50)
			end := time.Now()
			time.Sleep(20 * time.Second)
			told := a.told()
			if len(told) != 1 || told[0].Due.IsZero() || told[0].Cause != segment.CauseNetwork ||
				told[0].From.Sub(end).Abs() > time.Second {
				t.Fatalf("told %+v", told)
			}
			time.Sleep(100 * time.Second)
			off.Store(true)
			time.Sleep(10 * time.Minute)
			told = a.told()
			if len(told) != 2 || told[0].Cause != segment.CauseNetwork || !told[0].Due.IsZero() ||
				told[1].Cause != segment.CauseCameraOff || !told[1].From.Equal(told[0].To) {
				t.Fatalf("told %+v", told)
			}
			if !time.Now().Before(told[1].Until()) {
				t.Errorf("nobody knows at %v: %+v", time.Now(), told[1])
			}
			l.epoch++
			l.desc = testDesc()
			l.shoot(50)
			time.Sleep(3 * time.Second)
			if d := a.told()[1]; !d.Due.IsZero() || time.Since(d.To).Round(time.Second) != 5*time.Second {
				t.Errorf("told %+v", d)
			}
		})
		if a.words > 15 {
			t.Errorf("%d words about two gaps", a.words)
		}
	})
}

// A process that dies while a camera is off, and a next one that finds it off, leave no moment untold.
func TestCameraIsOffOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		deps := Deps{Shipper: a, GapCause: func(string) segment.Cause { return segment.CauseCameraOff }}
		copied := t.TempDir()
		var end time.Time
		run(t, cfg, deps, quickFS(), l, func(*Spool) {
			l.shoot(50)
			end = time.Now()
			time.Sleep(5 * time.Minute)
			copyDir(t, cfg.Dir, copied)
			if st, err := os.Stat(filepath.Join(cfg.Dir, lockName)); err == nil {
				_ = os.Chtimes(filepath.Join(copied, lockName), st.ModTime(), st.ModTime())
			}
		})
		time.Sleep(10 * time.Minute)
		cfg.Dir = copied
		var gaps []segment.Gap
		run(t, cfg, deps, quickFS(), newLens(), func(*Spool) {
			time.Sleep(2 * time.Minute)
			_, gaps = segment.Refine(nil, []segment.Gap{{
				Range: segment.Range{From: end, To: time.Now()}, Cause: segment.CauseUnknown,
			}}, a.told())
		})
		var causes []segment.Cause
		for _, g := range gaps {
			causes = append(causes, g.Cause)
		}
		if len(gaps) != 3 || gaps[0].Cause != segment.CauseCameraOff || gaps[1].Cause != segment.CauseEdgeDown ||
			gaps[2].Cause != segment.CauseCameraOff {
			t.Errorf("causes %v: %+v", causes, a.told())
		}
	})
}

func TestSilenceInsideASegmentIsInItsManifest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) {
			l.shoot(30) // five frames into a group
			time.Sleep(5 * time.Second)
			l.shoot(60)
			copyDir(t, cfg.Dir, filepath.Join(a.dir, "cut"))
		})
		m := a.segments("cam")[0]
		if len(m.Holes) != 1 || m.Holes[0].Duration().Round(time.Second) != 5*time.Second ||
			m.Holes[0].Cause != segment.CauseNetwork {
			t.Fatalf("holes %+v", m.Holes)
		}
		cfg.Dir = filepath.Join(a.dir, "cut")
		b := newArchive(t)
		run(t, cfg, Deps{Shipper: b}, quickFS(), nil, func(*Spool) { time.Sleep(time.Second) })
		if r := b.segments("cam")[0]; len(r.Holes) != 1 || r.Holes[0].From.Sub(m.Holes[0].From).Abs() > time.Millisecond ||
			r.Holes[0].To.Sub(m.Holes[0].To).Abs() > time.Millisecond {
			t.Errorf("recovered holes %+v, want %+v", r.Holes, m.Holes)
		}
	})
}

func FuzzGapFile(f *testing.F) {
	f.Add("0000000007.spool_full.lost", []byte(`{"camera":"cam","from":"2026-11-23T12:00:00Z","to":"2026-11-23T12:00:10Z",`+
		`"cause":"camera_off","noted":"2026-11-23T12:00:10Z","due":"2026-11-23T12:01:10Z"}`))
	f.Add("7.spool_full.lost", []byte(`{"camera":"cam","lost":{"first":3,"last":1}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if seq, cause, ok := parseLost(name); ok {
			if l := (lostSegment{m: segment.Manifest{Seq: seq}, cause: cause}); l.name() != name {
				t.Errorf("%q reads as %q", name, l.name())
			}
		}
		if d, err := parseGapFile("cam", data); err == nil {
			if d.Camera != "cam" || d.To.Before(d.From) || d.Until().Before(d.To) {
				t.Errorf("accepted %+v", d)
			}
		}
	})
}

var _ GapShipper = (*HTTPShipper)(nil)

func TestGapsWaitForTheArchive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		a.fail = func(_ segment.Manifest, try int) error {
			if try < 20 {
				return errDown
			}
			return nil
		}
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			l.shoot(50)
			time.Sleep(20 * time.Second)
			if n := s.Snapshot().Gaps; n != 1 {
				t.Errorf("%d gaps wait", n)
			}
			time.Sleep(10 * time.Minute)
			if n := s.Snapshot().Gaps; n != 0 || len(a.told()) != 1 {
				t.Errorf("%d gaps wait, told %+v", n, a.told())
			}
		})
	})
}
