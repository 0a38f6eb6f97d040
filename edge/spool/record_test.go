package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/edge/media"
	"skein/recorder/segment"
)

func testConfig(t testing.TB) Config { return Config{Dir: t.TempDir()} }

func TestEveryFrameIsArchivedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		l.audio = true
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			l.shoot(25 * 100)
			if r := s.Recording("cam"); !r.Active || !r.Wanted || r.LastWrite.IsZero() {
				t.Errorf("recording state %+v", r)
			}
		})
		wantFrames(t, a.frames("cam"), 1, l.frame)
		list := a.segments("cam")
		for i, m := range list {
			if m.Gap != nil {
				t.Errorf("segment %d has a gap %+v", m.Seq, m.Gap)
			}
			if i > 0 {
				if d := m.Start.Sub(list[i-1].End()).Abs(); d > 2*time.Millisecond {
					t.Errorf("segment %d starts %v from the end of the one before", m.Seq, d)
				}
			}
			if i > 0 && i < len(list)-1 && (m.Duration < 29*time.Second || m.Duration > 31*time.Second) {
				t.Errorf("segment %d lasts %v", m.Seq, m.Duration)
			}
			if m.Codecs != "avc1.640028,alaw" || m.Profile != "main" || m.Epoch != 1 {
				t.Errorf("manifest %+v", m)
			}
		}
		if n := len(list); n < 4 || list[n-1].Sealed != segment.SealedStop || list[0].Sealed != segment.SealedDuration {
			t.Errorf("%d segments, sealed %v", n, list)
		}
		wantFiles(t, cfg, sealedName(list[len(list)-1].Seq)+manifestSuffix)
	})
}

// Pictures that were damaged on the way are recorded as they are, and the manifest counts them.
func TestDamagedPicturesAreRecordedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l := newArchive(t), newLens()
		l.harm = 40
		run(t, testConfig(t), Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(25 * 100) })
		wantFrames(t, a.frames("cam"), 1, l.frame)
		damaged := 0
		for _, m := range a.segments("cam") {
			damaged += m.Damaged
		}
		if want := int(l.frame / l.harm); damaged != want {
			t.Errorf("%d damaged pictures in the manifests, want %d", damaged, want)
		}
	})
}

// wantFiles fails unless the camera's folder holds just these files.
func wantFiles(t *testing.T, cfg Config, want ...string) {
	t.Helper()
	var have []string
	list, _ := os.ReadDir(filepath.Join(cfg.Dir, camerasDir, "cam"))
	for _, e := range list {
		have = append(have, e.Name())
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", have, want)
	}
}

func TestRotationIsStaggeredOverCameras(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	seconds := map[int]int{}
	for i := range 200 {
		at := nextCut("cam-"+string(rune('a'+i%26))+string(rune('a'+i/26)), start, 30*time.Second)
		d := at.Sub(start)
		if d < 7500*time.Millisecond || d >= 37500*time.Millisecond {
			t.Fatalf("first segment of %v", d)
		}
		if again := nextCut("x", nextCut("x", start, 30*time.Second), 30*time.Second); again.Sub(
			nextCut("x", start, 30*time.Second)) != 30*time.Second {
			t.Fatal("the second cut is not one length later")
		}
		seconds[int(d/time.Second)]++
	}
	for s, n := range seconds {
		if n > 25 {
			t.Errorf("%d of 200 cameras rotate in second %d", n, s)
		}
	}
}

func TestRestartContinuesTheChainAndTypesTheGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(50) })
		time.Sleep(10 * time.Minute) // nobody runs
		l2 := newLens()
		l2.frame = 50
		run(t, cfg, Deps{Shipper: a}, quickFS(), l2, func(*Spool) { l2.shoot(50) })
		wantFrames(t, a.frames("cam"), 1, 100)
		g := a.segments("cam")[1].Gap
		if g == nil || g.Cause != segment.CauseEdgeDown || g.Duration() < 10*time.Minute {
			t.Fatalf("gap %+v", g)
		}
	})
}

func TestSameStreamRecordedAgainIsNotDoubled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l := newArchive(t), newLens()
		run(t, testConfig(t), Deps{Shipper: a}, quickFS(), nil, func(s *Spool) {
			for range 3 {
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Record(ctx, "cam", l.st) }()
				synctest.Wait()
				l.shoot(40)
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
		got := a.frames("cam")
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				t.Fatalf("frame %d after %d", got[i], got[i-1])
			}
		}
	})
}

func TestCauseOfAGapComesFromTheEdge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pause  time.Duration
		sealed segment.Sealed
	}{
		{time.Minute, segment.SealedSilence},
		{7 * time.Second, segment.SealedEpoch}, // too short for that, but the segment's time is over
	} {
		synctest.Test(t, func(t *testing.T) {
			a, l, cfg := newArchive(t), newLens(), testConfig(t)
			cfg.Segment = 4 * time.Second
			deps := Deps{Shipper: a, GapCause: func(string) segment.Cause { return segment.CauseCameraOff }}
			run(t, cfg, deps, quickFS(), l, func(*Spool) {
				l.shoot(50)
				time.Sleep(c.pause)
				l.epoch++
				l.desc = testDesc()
				l.shoot(50)
			})
			wantFrames(t, a.frames("cam"), 1, 100)
			list := a.segments("cam")
			if len(list) != 2 || list[0].Sealed != c.sealed {
				t.Fatalf("segments %+v", list)
			}
			if g := list[1].Gap; g == nil || g.Cause != segment.CauseCameraOff || g.Duration().Round(time.Second) != c.pause {
				t.Errorf("gap %+v", g)
			}
			if list[0].Duration != 2*time.Second {
				t.Errorf("the last frame before the silence is stretched: %v", list[0].Duration)
			}
		})
	}
}

func TestClockStepInTheMiddleOfAGroupLosesNothing(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			a, l := newArchive(t), newLens()
			l.audio = true
			run(t, testConfig(t), Deps{Shipper: a}, quickFS(), l, func(*Spool) {
				l.shoot(60) // ten frames into a group
				l.epoch++
				l.skew = step
				l.shoot(65)
			})
			wantFrames(t, a.frames("cam"), 1, 125)
			list := a.segments("cam")
			if len(list) != 2 || list[0].Sealed != segment.SealedEpoch || list[1].Epoch != 2 {
				t.Fatalf("segments %+v", list)
			}
			if d := list[0].Duration; d < 2900*time.Millisecond || d > 3100*time.Millisecond {
				t.Errorf("first segment lasts %v", d)
			}
			g := list[1].Gap
			if step > 0 && (g == nil || g.Cause != segment.CauseClock) {
				t.Errorf("gap %+v", g)
			}
			if step < 0 && g != nil {
				t.Errorf("gap %+v after the clock went back", g)
			}
		})
	}
}

func TestCodecChangeBeginsANewSegment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l := newArchive(t), newLens()
		run(t, testConfig(t), Deps{Shipper: a}, quickFS(), l, func(*Spool) {
			l.shoot(50)
			l.desc = testDesc()
			l.desc.Tracks[0].PPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1}
			l.shoot(50)
			l.desc = testDesc() // an equal description with another address is no change
			l.desc.Tracks[0].PPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc1}
			l.shoot(50)
		})
		wantFrames(t, a.frames("cam"), 1, 150)
		list := a.segments("cam")
		if len(list) != 2 || list[0].Sealed != segment.SealedCodec || list[1].Gap != nil {
			t.Errorf("segments %+v", list)
		}
	})
}

func TestStreamThatNoSegmentHoldsIsAnErrorWithAReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLens()
		l.desc = &media.Description{Tracks: []media.Track{{Codec: 99, ClockRate: 90000}}}
		s, err := open(testConfig(t), Deps{}, quickFS())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		go func() {
			time.Sleep(time.Second)
			l.st.Publish(&media.AccessUnit{Desc: l.desc, Key: true, NALUs: [][]byte{{1}}, Wall: time.Now()})
		}()
		if err := s.Record(t.Context(), "cam", l.st); err == nil {
			t.Fatal("no error")
		}
		if d := s.Recording("cam").Detail; d == "" {
			t.Error("no detail")
		}
	})
}

func TestFailedSyncCostsNoFrame(t *testing.T) {
	t.Parallel()
	for nth := 1; nth < 16; nth++ {
		synctest.Test(t, func(t *testing.T) {
			a, l, d := newArchive(t), newLens(), &faultDisk{}
			l.gop = 60 // longer than a fragment
			var n atomic.Int64
			d.set(func(path string) error {
				if strings.HasSuffix(path, partSuffix) {
					if n.Add(1) == int64(nth) {
						return syscall.EIO
					}
				}
				return nil
			}, nil)
			run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(*Spool) {
				l.shoot(1000)
				if n.Load() < int64(nth) {
					t.Error("nothing failed")
				}
			})
			wantFrames(t, a.frames("cam"), 1, 1000)
			for _, m := range a.segments("cam") {
				if m.Gap != nil {
					t.Errorf("gap %+v", m.Gap)
				}
			}
		})
	}
}

func TestFailedWriteCostsNoFrame(t *testing.T) {
	t.Parallel()
	for nth := 1; nth < 30; nth++ {
		synctest.Test(t, func(t *testing.T) {
			a, l, d := newArchive(t), newLens(), &faultDisk{}
			n := 0
			d.set(nil, func(op, path string) error {
				if op == "write" && strings.HasSuffix(path, partSuffix) {
					if n++; n == nth {
						return syscall.EIO
					}
				}
				return nil
			})
			run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(*Spool) { l.shoot(500) })
			wantFrames(t, a.frames("cam"), 1, 500)
		})
	}
}

func TestFullDiskCostsNothingAtFirst(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write"} {
		synctest.Test(t, func(t *testing.T) {
			a, l, d := newArchive(t), newLens(), &faultDisk{}
			run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(s *Spool) {
				l.shoot(260)
				d.set(nil, func(o, _ string) error {
					if o != op {
						return nil
					}
					return syscall.ENOSPC
				})
				l.shoot(1500) // a minute
				if r := s.Recording("cam"); op == "write" && (r.Detail == "" || r.Active) {
					t.Errorf("recording state %+v", r)
				}
				d.set(nil, nil)
				l.shoot(240)
				if r := s.Recording("cam"); r.Detail != "" || !r.Active {
					t.Errorf("recording state %+v", r)
				}
			})
			wantFrames(t, a.frames("cam"), 1, 2000)
			for _, m := range a.segments("cam") {
				if m.Gap != nil {
					t.Errorf("gap %+v before segment %d", m.Gap, m.Seq)
				}
			}
		})
	}
}

func TestFullDiskMakesATypedGapAndRecordingComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, d := newArchive(t), newLens(), &faultDisk{}
		l.size = 30_000 // more than a MB a second
		run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(s *Spool) {
			l.shoot(250)
			d.set(nil, func(string, string) error { return syscall.ENOSPC })
			l.shoot(500)
			if r := s.Recording("cam"); r.Detail == "" || r.Active {
				t.Errorf("recording state %+v", r)
			}
			d.set(nil, nil)
			l.shoot(250)
			if r := s.Recording("cam"); r.Detail != "" || !r.Active {
				t.Errorf("recording state %+v", r)
			}
		})
		got := a.frames("cam")
		if got[0] != 1 || got[len(got)-1] != 1000 || len(got) < 600 || len(got) > 750 {
			t.Errorf("%d frames from %d to %d", len(got), got[0], got[len(got)-1])
		}
		missing := time.Duration(1000-len(got)) * 40 * time.Millisecond
		gaps := 0
		for _, m := range a.segments("cam") {
			if m.Gap == nil {
				continue
			}
			gaps++
			if m.Gap.Cause != segment.CauseSpoolFull || (m.Gap.Duration()-missing).Abs() > 100*time.Millisecond {
				t.Errorf("gap %+v, %v are missing", m.Gap, missing)
			}
		}
		if gaps != 1 {
			t.Errorf("%d gaps are typed", gaps)
		}
	})
}

func TestSealingIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, d := newArchive(t), newLens(), &faultDisk{}
		n := 0
		d.set(nil, func(op, path string) error {
			if op == "rename" {
				if n++; n%3 == 1 {
					return errors.New("no")
				}
			}
			return nil
		})
		run(t, testConfig(t), Deps{Shipper: a}, d.fs(), l, func(*Spool) { l.shoot(2500) })
		wantFrames(t, a.frames("cam"), 1, l.frame)
	})
}
