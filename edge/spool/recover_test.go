package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// torn returns the bytes of an unfinished file of 8 fragments and its name.
func torn(t *testing.T) (name string, data []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg, l := testConfig(t), newLens()
		cfg.Silence = time.Minute
		run(t, cfg, Deps{}, quickFS(), l, func(*Spool) {
			l.shoot(25*7 + 1)
			time.Sleep(2 * flushAfter)
			list, _ := filepath.Glob(filepath.Join(cfg.Dir, camerasDir, "cam", "*"+partSuffix))
			if len(list) != 1 {
				t.Fatalf("unfinished files %q", list)
			}
			name = filepath.Base(list[0])
			data, _ = os.ReadFile(list[0])
		})
	})
	return name, data
}

// spoolWith makes a spool folder with one file in the camera's folder.
func spoolWith(t *testing.T, name string, data []byte) Config {
	t.Helper()
	cfg := testConfig(t)
	dir := filepath.Join(cfg.Dir, camerasDir, "cam")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestTornFileIsCutToItsLastWholeFragment(t *testing.T) {
	t.Parallel()
	name, data := torn(t)
	x, end, err := fmp4.Scan(strings.NewReader(string(data)), int64(len(data)))
	if err != nil || end != int64(len(data)) || len(x.Fragments) < 8 {
		t.Fatalf("%d fragments to %d of %d: %v", len(x.Fragments), end, len(data), err)
	}
	first := x.Fragments[0]
	for i, f := range x.Fragments {
		for _, off := range []int64{-17, -1, 0, 1, 7, 8, 9, 100} {
			for _, junk := range []bool{false, true} {
				n := f.Offset + f.Size + off
				if n > int64(len(data)) {
					continue
				}
				file := slices.Clone(data[:n])
				if junk { // pages that the file system had allotted, but not written
					n -= n % pageSize
					clear(file[n:])
					file = append(file, make([]byte, 5000)...)
				}
				frames := 0
				for _, g := range x.Fragments {
					for _, run := range g.Runs {
						if run.Track == x.Video() && g.Offset+g.Size <= n {
							frames += len(run.Samples)
						}
					}
				}
				wantRecovered(t, spoolWith(t, name, file), frames, fmt.Sprintf("fragment %d%+d junk %v", i, off, junk))
			}
		}
	}
	for _, n := range []int64{0, 1, 8, 40, first.Offset - 1, first.Offset, first.Offset + 50} {
		wantRecovered(t, spoolWith(t, name, data[:n]), 0, fmt.Sprintf("%d bytes", n))
	}
}

// wantRecovered opens the spool and fails unless the file gave one segment of just that many frames.
func wantRecovered(t *testing.T, cfg Config, frames int, what string) {
	t.Helper()
	s, err := open(cfg, Deps{}, quickFS())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	n, _ := s.queue.size()
	if frames == 0 {
		if n != 0 || s.used.Load() != 0 {
			t.Fatalf("%s: %d segments, %d bytes in use", what, n, s.used.Load())
		}
		return
	}
	c := s.known("cam")
	m, err := readManifest("cam", c.path(1, manifestSuffix))
	if err != nil || n != 1 {
		t.Fatalf("%s: %d segments: %v", what, n, err)
	}
	if err := checkLocal(c.path(1, mediaSuffix), m); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	last := uint64(frames)
	wantFrames(t, framesOf(t, c.path(1, mediaSuffix)), 1, last)
	if m.Sealed != segment.SealedRecovered || m.Frames != int(last) || m.Bytes != s.used.Load() ||
		m.Duration != time.Duration(last)*40*time.Millisecond || m.Codecs != "avc1.640028,alaw" && m.Codecs != "avc1.640028" {
		t.Fatalf("%s: manifest %+v", what, m)
	}
}

func TestCorruptedFilesAreSetAsideNotDeleted(t *testing.T) {
	t.Parallel()
	name, data := torn(t)
	for what, cfg := range map[string]Config{
		"media":            spoolWith(t, name, []byte("this was never a segment, whatever its name says")),
		"name":             spoolWith(t, "strange"+partSuffix, data),
		"manifest":         spoolWith(t, sealedName(1)+manifestSuffix, []byte("{")),
		"foreign manifest": spoolWith(t, sealedName(1)+manifestSuffix, []byte(`{"camera":"other","seq":1}`)),
	} {
		s, err := open(cfg, Deps{}, quickFS())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		list, _ := filepath.Glob(filepath.Join(cfg.Dir, camerasDir, "cam", "*"+badSuffix))
		if len(list) != 1 || s.Snapshot().SetAside != 1 {
			t.Errorf("%s: set aside %q, snapshot %+v", what, list, s.Snapshot())
		}
		s.Close()
		if s, err = open(cfg, Deps{}, quickFS()); err != nil || s.Snapshot().SetAside != 1 {
			t.Errorf("%s: second opening: %v", what, err)
		}
		s.Close()
	}
}

// A sealed segment that the disk has cut short is set aside, and leaves its link in the chain.
func TestSpoiledSegmentLeavesItsGapLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, l, cfg := newArchive(t), newLens(), testConfig(t)
		a.fail = func(segment.Manifest, int) error { return errDown }
		cfg.Segment = 4 * time.Second
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(*Spool) { l.shoot(400) })
		a.fail = nil
		if err := os.Truncate(filepath.Join(cfg.Dir, camerasDir, "cam", sealedName(2)+mediaSuffix), 100); err != nil {
			t.Fatal(err)
		}
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(*Spool) { time.Sleep(time.Minute) })
		list, told := a.segments("cam"), a.told()
		if len(told) != 1 || told[0].Lost == nil || told[0].Lost.First != 2 || told[0].Lost.Last != 2 ||
			told[0].Cause != segment.CauseStoreRefused {
			t.Fatalf("told %+v", told)
		}
		if len(list) < 3 || list[1].Seq != 3 || list[1].Prev != told[0].Lost.SHA256 || told[0].Lost.Prev != list[0].SHA256 {
			t.Fatalf("segments %+v, link %+v", list, told[0].Lost)
		}
		if g := list[1].Gap; g == nil || g.Cause != segment.CauseStoreRefused {
			t.Errorf("gap before the next segment: %+v", g)
		}
	})
}

func TestMediaWithoutItsManifestIsSealedAgain(t *testing.T) {
	t.Parallel()
	_, data := torn(t)
	wantRecovered(t, spoolWith(t, sealedName(7)+mediaSuffix, data), 25*7+1, "no manifest")
}

// TestCrashAtAnyMoment copies the folder while the spool works, as a power cut would leave it if all writes had reached
// the disk, tears the tails of unfinished files, and opens each copy.
func TestCrashAtAnyMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, l, a := testConfig(t), newLens(), newArchive(t)
		cfg.Segment = 4 * time.Second
		l.gop, l.size = 12, 100
		rnd := rand.New(rand.NewPCG(7, 7))
		run(t, cfg, Deps{Shipper: a}, quickFS(), l, func(s *Spool) {
			for i := range 40 {
				l.shoot(5 + rnd.IntN(40))
				shipped := a.segments("cam")
				copied := testConfig(t)
				copied.Segment = cfg.Segment
				copyDir(t, cfg.Dir, copied.Dir)
				tear(t, copied, rnd)
				after := newArchive(t)
				run(t, copied, Deps{Shipper: after}, quickFS(), nil, func(*Spool) { time.Sleep(5 * time.Second) })
				got := archivedFrames(t, a, shipped)
				fresh := archivedFrames(t, after, after.segments("cam"))
				wantUnion(t, fmt.Sprintf("crash %d", i), got, fresh, l.frame)
			}
		})
		wantFrames(t, a.frames("cam"), 1, l.frame)
	})
}

// tear cuts a random piece off unfinished files: what the last commit had not covered.
func tear(t *testing.T, cfg Config, rnd *rand.Rand) {
	t.Helper()
	list, _ := filepath.Glob(filepath.Join(cfg.Dir, camerasDir, "cam", "*"+partSuffix))
	for _, p := range list {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(p, max(0, st.Size()-rnd.Int64N(1000))); err != nil {
			t.Fatal(err)
		}
	}
}

func archivedFrames(t *testing.T, a *archive, list []segment.Manifest) map[segment.Hash][]uint64 {
	t.Helper()
	out := map[segment.Hash][]uint64{}
	for _, m := range list {
		out[m.SHA256] = framesOf(t, a.path(m))
	}
	return out
}

// wantUnion fails unless what was shipped before and after the crash has every frame once, but for the newest ones.
func wantUnion(t *testing.T, what string, before, after map[segment.Hash][]uint64, last uint64) {
	t.Helper()
	var all []uint64
	for _, f := range before {
		all = append(all, f...)
	}
	for h, f := range after {
		if _, ok := before[h]; !ok { // shipped again after the crash: the same key and hash
			all = append(all, f...)
		}
	}
	slices.Sort(all)
	for i, n := range all {
		if n != uint64(i+1) {
			t.Fatalf("%s: frame %d at place %d", what, n, i)
		}
	}
	if lost := last - uint64(len(all)); lost > 12+7+24 { // in the making, not yet taken, torn off
		t.Fatalf("%s: %d of %d frames lost", what, lost, last)
	}
}

func TestInterruptedSealingIsCompleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, l := testConfig(t), newLens()
		run(t, cfg, Deps{}, quickFS(), l, func(*Spool) { l.shoot(50) })
		dir := filepath.Join(cfg.Dir, camerasDir, "cam")
		m, err := readManifest("cam", filepath.Join(dir, sealedName(1)+manifestSuffix))
		if err != nil {
			t.Fatal(err)
		}
		// the manifest is there, the new name is not yet
		p := part{number: 1, start: m.Start, epoch: m.Epoch}
		if err := os.Rename(filepath.Join(dir, sealedName(1)+mediaSuffix), filepath.Join(dir, p.name())); err != nil {
			t.Fatal(err)
		}
		a := newArchive(t)
		run(t, cfg, Deps{Shipper: a}, quickFS(), nil, func(*Spool) { time.Sleep(time.Second) })
		if list := a.segments("cam"); len(list) != 1 || list[0].SHA256 != m.SHA256 || list[0].Sealed != m.Sealed {
			t.Fatalf("segments %+v", list)
		}
		wantFrames(t, a.frames("cam"), 1, 50)
	})
}

func TestSpoolBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s, err := Open(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, Deps{}); err == nil {
		t.Fatal("a second one opened it")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func FuzzParseManifest(f *testing.F) {
	good, _ := json.Marshal(segment.Manifest{
		Camera: "cam", Profile: "main", Seq: 3, Start: time.Unix(1e9, 0).UTC(), Bytes: 5, SHA256: segment.Hash{1},
	})
	f.Add(good)
	f.Add([]byte(`{"camera":"cam","seq":1,"bytes":-1}`))
	f.Add([]byte(`{"camera":"cam","start":"9999999-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest("cam", data)
		if err != nil {
			return
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseManifest("cam", raw)
		if err != nil || again.SHA256 != m.SHA256 || !again.Start.Equal(m.Start) || again.Seq != m.Seq {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
	})
}

func FuzzParsePart(f *testing.F) {
	f.Add("00000012-1763912345678-3-network--120.part")
	f.Add("00000012-1763912345678-3--x.part")
	f.Add("-1-2-3-4-5.part")
	f.Fuzz(func(t *testing.T, name string) {
		p, err := parsePart(name)
		if err == nil && p.name() != name {
			t.Fatalf("%q is %+v, whose name is %q", name, p, p.name())
		}
	})
}

func TestLeft(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "cameras/phone/7.json": false, "cameras/phone/7.mp4": true, "cameras/phone/00000001-1-1--x.part": true,
		"cameras/phone/1700000000000.gap": true, "cameras/phone/7.network.lost": true,
	} {
		dir := filepath.Join(t.TempDir(), "a [spool]")
		if name != "" {
			file := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := Left(dir); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
