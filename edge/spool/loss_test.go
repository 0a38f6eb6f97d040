package spool

import (
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/recorder/segment"
)

// While the archive is away and somebody else has filled the disk, what is sealed goes at once: the state says that
// nothing is kept, why, and since which picture, until the archive has footage again.
func TestStateWhileNothingIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment, cfg.Ship.RetryMax = 4*time.Second, 2*time.Second
		a.fail = func(segment.Manifest, int) error { return errDown }
		disk, free := quickFS(), new(atomic.Int64)
		free.Store(1 << 39)
		disk.statfs = func(string) (fsFill, error) {
			return fsFill{size: 1 << 40, free: free.Load(), inodes: 1000, inodesFree: 900}, nil
		}
		run(t, cfg, Deps{Shipper: a}, disk, l, func(s *Spool) {
			begun := time.Now().UTC()
			l.shoot(25 * 6)
			if r := s.Recording("cam"); !r.Active || r.Loss != nil || r.Held.Sub(begun).Abs() > time.Millisecond {
				t.Errorf("with room: %+v", r)
			}
			free.Store(0)
			l.shoot(25)
			r := s.Recording("cam")
			if r.Active || r.Loss == nil || r.Loss.Cause != string(segment.CauseSpoolFull) || r.Detail == "" ||
				r.Loss.Since.Sub(begun).Abs() > time.Millisecond {
				t.Errorf("from the first lost picture: %+v, loss %+v", r, r.Loss)
			}
			l.shoot(25 * 120)
			if r := s.Recording("cam"); r.Active || r.Loss == nil || !r.Loss.Since.Equal(begun.Truncate(time.Millisecond)) {
				t.Errorf("two minutes later: %+v, loss %+v", r, r.Loss)
			}
			free.Store(1 << 39)
			a.mu.Lock()
			a.fail = nil
			a.mu.Unlock()
			l.shoot(25 * 20)
			if r := s.Recording("cam"); !r.Active || r.Loss != nil || r.Detail != "" {
				t.Errorf("with room again: %+v, loss %+v", r, r.Loss)
			}
		})
		told, prev := a.told(), segment.Hash{}
		if len(told) == 0 || told[0].Lost == nil || told[0].Lost.First != 1 || told[0].Cause != segment.CauseSpoolFull {
			t.Fatalf("told %+v", told)
		}
		next := uint64(1)
		for _, d := range told { // the chain goes on over the gap links
			if d.Lost.First != next || d.Lost.Prev != prev {
				t.Fatalf("link %+v after segment %d", d.Lost, next-1)
			}
			next, prev = d.Lost.Last+1, d.Lost.SHA256
		}
		if m := a.segments("cam")[0]; m.Seq != next || m.Prev != prev {
			t.Errorf("segment %d follows %d", m.Seq, next-1)
		}
	})
}

// A spool that is full of footage nobody takes gives up the oldest and keeps the newest: it records, and says what goes.
func TestStateWhileTheOldestGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		cfg.Segment, cfg.MaxBytes = 4*time.Second, 500_000 // about half a minute
		a.fail = func(segment.Manifest, int) error { return errDown }
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			begun := time.Now().UTC()
			l.shoot(25 * 60)
			r := s.Recording("cam")
			if !r.Active || r.Loss == nil || r.Loss.Cause != string(segment.CauseSpoolFull) || r.Detail == "" ||
				r.Loss.Since.After(begun.Add(20*time.Second)) || r.Held.IsZero() {
				t.Errorf("%+v, loss %+v", r, r.Loss)
			}
		})
	})
}

// A disk that takes nothing costs nothing at first, since pictures wait in memory. From the first that is lost, the state
// says so; and it does not call the recording good again because a file could be opened.
func TestStateWhileTheDiskTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg, disk := newArchive(t), newLens(), testConfig(t), &faultDisk{}
		l.size = 100_000
		var since time.Time
		run(t, cfg, Deps{Shipper: a}, disk.fs(), l, func(s *Spool) {
			l.shoot(50)
			disk.set(nil, func(op, _ string) error {
				if op == "write" {
					return syscall.ENOSPC
				}
				return nil
			})
			l.shoot(25)
			if r := s.Recording("cam"); !r.Active || r.Loss != nil || r.Detail == "" {
				t.Errorf("what waits in memory is not lost: %+v", r)
			}
			for range 100 {
				l.shoot(5)
				r := s.Recording("cam")
				if lost := countOf(t, s.m.lost, "skein_spool_lost_units_total"); lost > 0 != (r.Loss != nil) || r.Loss != nil && r.Active {
					t.Fatalf("%v units lost, %+v", lost, r)
				}
			}
			r := s.Recording("cam")
			if r.Loss == nil || r.Loss.Cause != string(segment.CauseSpoolFull) {
				t.Fatalf("after 20 s: %+v", r)
			}
			disk.set(nil, nil)
			l.shoot(75)
			if n := s.Recording("cam"); !n.Active || n.Loss != nil || n.Detail != "" {
				t.Errorf("with room again: %+v, loss %+v", n, n.Loss)
			}
			l.shoot(25)
			since = r.Loss.Since
		})
		list := a.segments("cam")
		for _, m := range list {
			if m.Gap != nil && m.Gap.Cause == segment.CauseSpoolFull {
				if since.Sub(m.Gap.From).Abs() > 50*time.Millisecond {
					t.Errorf("lost since %v, the gap begins at %v", since, m.Gap.From)
				}
				return
			}
		}
		t.Errorf("no gap in %+v", list)
	})
}

// countOf reads a counter back.
func countOf(t *testing.T, c prometheus.Counter, name string) float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	all, err := reg.Gather()
	if err != nil || len(all) != 1 || all[0].GetName() != name {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0].GetMetric()[0].GetCounter().GetValue()
}
