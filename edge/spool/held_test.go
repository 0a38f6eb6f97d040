package spool

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/segment"
)

// board is a machine whose clock knows nothing of the time until it is set.
type board struct {
	boot  string
	began time.Time    // of the boot, true time
	skew  atomic.Int64 // of its wall clock, ns
}

func newBoard(boot string) *board {
	b := &board{boot: boot, began: time.Now()}
	b.skew.Store(int64(time.Until(time.Unix(0, 0)))) // it believes to be in 1970
	return b
}

func (b *board) off() time.Duration { return time.Duration(b.skew.Load()) }

// disk is the real one, on that machine.
func (b *board) disk() fsys {
	f := quickFS()
	f.clocks = clocks{
		now:    func() time.Time { return time.Now().Add(b.off()) },
		boot:   func() (string, time.Duration) { return b.boot, time.Since(b.began) },
		synced: func() bool { return false }, least: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	return f
}

// learn sets the clock right, as NTP does: cameras' footage begins a new epoch.
func (b *board) learn(l *lens) {
	b.skew.Store(0)
	l.skew = 0
	l.epoch++
	l.desc = testDesc()
}

// wantTimes fails unless every segment of the camera is labelled with when its frames were shot: frame n at first +
// 40 ms times n-1.
func (a *archive) wantTimes(first time.Time) {
	a.t.Helper()
	n := 0
	for _, m := range a.segments("cam") {
		if want := first.Add(time.Duration(n) * 40 * time.Millisecond); m.Start.Sub(want).Abs() > 5*time.Millisecond {
			a.t.Errorf("segment %d starts at %v, want %v", m.Seq, m.Start, want)
		}
		n += m.Frames
	}
}

func TestEdgeThatBootsIn1970LearnsTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment = 4 * time.Second
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(100) })
		time.Sleep(10 * time.Minute)
		b, l2 := newBoard("00000000000b"), newLens()
		time.Sleep(20 * time.Second)
		l2.frame, l2.skew = 100, b.off()
		begun := time.Now()
		run(t, cfg, Deps{Shipper: a}, b.disk(), l2, func(s *Spool) {
			l2.shoot(500)
			if n := len(a.segments("cam")); n != 2 && n != 1 {
				t.Errorf("%d segments went out under a wrong time", n)
			}
			b.learn(l2)
			l2.shoot(500)
		})
		wantFrames(t, a.frames("cam"), 1, 1100)
		list := a.segments("cam")
		var later []segment.Manifest
		for _, m := range list {
			if m.Start.Year() < 1999 {
				t.Errorf("segment %d of %v", m.Seq, m.Start)
			}
			if !m.Start.Before(begun.Add(-time.Second)) {
				later = append(later, m)
			}
		}
		n := 0
		for i, m := range later {
			if want := begun.Add(time.Duration(n) * 40 * time.Millisecond); m.Start.Sub(want).Abs() > 5*time.Millisecond {
				t.Errorf("segment %d starts at %v, want %v", m.Seq, m.Start, want)
			}
			n += m.Frames
			if i == 0 && (m.Gap == nil || m.Gap.Cause != segment.CauseEdgeDown || m.Gap.Duration() < 10*time.Minute) {
				t.Errorf("gap before the boot: %+v", m.Gap)
			}
			if i > 0 && m.Gap != nil {
				t.Errorf("gap %+v before segment %d", m.Gap, m.Seq)
			}
		}
		if n != 1000 {
			t.Errorf("%d frames since the boot", n)
		}
	})
}

// The process dies and comes back within one boot, before the time is known.
func TestTimeIsLearntAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg, b := newArchive(t), newLens(), testConfig(t), newBoard("00000000000c")
		cfg.Segment = 4 * time.Second
		l.skew = b.off()
		begun := time.Now()
		killed := t.TempDir()
		run(t, cfg, Deps{Shipper: a}, b.disk(), l, func(*Spool) {
			l.shoot(250)
			copyDir(t, cfg.Dir, killed) // kill -9
		})
		cfg.Dir = killed
		got := 0
		run(t, cfg, Deps{Shipper: a}, b.disk(), nil, func(s *Spool) {
			time.Sleep(time.Minute)
			if len(a.segments("cam")) != 0 {
				t.Error("shipped under a wrong time")
			}
			b.skew.Store(0)
			time.Sleep(time.Minute)
			got = len(a.frames("cam"))
		})
		if got < 200 {
			t.Errorf("%d of 250 frames", got)
		}
		wantFrames(t, a.frames("cam"), 1, uint64(got))
		a.wantTimes(begun)
	})
}

// The boot ends before the time was known: what it recorded keeps its order and its distances, behind what is known,
// and gaps of the clock stand around it.
func TestBootWithoutTimeIsPlacedAndTyped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment = 4 * time.Second
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(100) })
		known := a.segments("cam")
		end := known[len(known)-1].End()
		time.Sleep(time.Hour)
		b, l2 := newBoard("00000000000d"), newLens()
		l2.frame, l2.skew = 100, b.off()
		run(t, cfg, Deps{Shipper: a}, b.disk(), l2, func(*Spool) { l2.shoot(400) })
		time.Sleep(time.Hour)
		c, l3 := newBoard("00000000000e"), newLens()
		l3.frame, l3.skew = 500, c.off()
		run(t, cfg, Deps{Shipper: a}, c.disk(), l3, func(*Spool) {
			l3.shoot(200)
			c.learn(l3)
			l3.shoot(200)
		})
		wantFrames(t, a.frames("cam"), 1, 900)
		list := a.segments("cam")[len(known):]
		if g := list[0].Gap; g == nil || g.Cause != segment.CauseClock || !g.From.Equal(end) || list[0].Start.Sub(end) > 2*time.Second {
			t.Errorf("first segment of the boot without time: %v, gap %+v", list[0].Start, g)
		}
		clock := 0
		for i, m := range list {
			if m.Start.Year() < 1999 {
				t.Errorf("segment %d of %v", m.Seq, m.Start)
			}
			if m.Gap != nil && m.Gap.Cause == segment.CauseClock {
				clock++
			}
			if i > 0 && m.Start.Before(list[i-1].End().Add(-2*time.Millisecond)) {
				t.Errorf("segment %d starts before the end of the one before", m.Seq)
			}
		}
		if clock != 2 {
			t.Errorf("%d gaps of the clock, want one before and one behind", clock)
		}
		if left, _ := filepath.Glob(filepath.Join(cfg.Dir, camerasDir, "cam", "*~*")); len(left) > 0 {
			t.Errorf("held files left: %v", left)
		}
	})
}

// A clock that stands before what an earlier process has seen, and follows no reference, is not believed either.
func TestClockBehindTheNewestKnownTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(100) })
		b, l2 := newBoard("00000000000f"), newLens()
		b.skew.Store(int64(-5 * time.Hour))
		l2.frame, l2.skew = 100, b.off()
		begun := time.Now()
		run(t, cfg, Deps{Shipper: a}, b.disk(), l2, func(*Spool) {
			l2.shoot(100)
			b.learn(l2)
			l2.shoot(100)
		})
		wantFrames(t, a.frames("cam"), 1, 300)
		n := 0
		for _, m := range a.segments("cam") {
			if n += m.Frames; n > 100 && m.Start.Before(begun.Add(-time.Second)) {
				t.Errorf("segment %d starts at %v", m.Seq, m.Start)
			}
		}
	})
}
