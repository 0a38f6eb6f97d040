package spool

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Parameter sets of a real 1920x1080 High stream.
var (
	testSPS = []byte{
		0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00,
		0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
	}
	testPPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
)

func testDesc() *media.Description {
	return &media.Description{Tracks: []media.Track{
		{Codec: media.H264, ClockRate: 90000, SPS: testSPS, PPS: testPPS, Width: 1920, Height: 1080, FPS: 25},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
}

// lens is a camera whose frames are numbered from 1 on.
type lens struct {
	st    *stream.Stream
	desc  *media.Description
	epoch uint32
	gop   int
	size  int
	audio bool
	harm  uint64        // every so many frames lost a part on the way, 0: none
	skew  time.Duration // wall clock minus the bubble's

	frame uint64
	begun time.Time
	rnd   *rand.Rand
}

func newLens() *lens {
	return &lens{
		st: stream.New(stream.Options{}), desc: testDesc(), epoch: 1, gop: 25, size: 400,
		rnd: rand.New(rand.NewPCG(1, 2)),
	}
}

// shoot publishes n frames, one every 40 ms.
func (l *lens) shoot(n int) {
	for range n {
		l.one(l.frame%uint64(l.gop) == 0)
		time.Sleep(40 * time.Millisecond)
	}
}

// key publishes one key frame at once and begins a new group of pictures with it.
func (l *lens) one(key bool) {
	now := time.Now()
	if l.begun.IsZero() {
		l.begun = now
	}
	l.frame++
	nalu := make([]byte, l.size+l.rnd.IntN(l.size))
	nalu[0] = 0x41
	if key {
		nalu[0] = 0x65
	}
	binary.BigEndian.PutUint64(nalu[1:], l.frame)
	nalu[len(nalu)-1] = 0x80
	l.st.Publish(&media.AccessUnit{
		Desc: l.desc, Track: 0, Epoch: l.epoch, PTS: int64(now.Sub(l.begun)) * 9 / 100000, Wall: now.Add(l.skew).UTC(),
		Arrival: now, Key: key, NALUs: [][]byte{nalu},
		Damaged: l.harm > 0 && l.frame%l.harm == 0,
	})
	if l.audio {
		l.st.Publish(&media.AccessUnit{
			Desc: l.desc, Track: 1, Epoch: l.epoch, PTS: int64(now.Sub(l.begun)) * 8 / 1000000,
			Wall: now.Add(l.skew).UTC(), Arrival: now, NALUs: [][]byte{make([]byte, 320)},
		})
	}
}

// framesOf returns the numbers of the frames in a segment, in file order.
func framesOf(t testing.TB, path string) []uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := fmp4.Scan(f, st.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var out []uint64
	for _, fr := range x.Fragments {
		for _, run := range fr.Runs {
			if run.Track != x.Video() {
				continue
			}
			at := run.Offset
			for _, s := range run.Samples {
				var b [13]byte
				if _, err := f.ReadAt(b[:], at); err != nil {
					t.Fatal(err)
				}
				out = append(out, binary.BigEndian.Uint64(b[5:]))
				at += int64(s.Size)
			}
		}
	}
	return out
}

// archive is a Shipper that keeps what it gets, checks it, and fails when told.
type archive struct {
	t   testing.TB
	dir string

	mu    sync.Mutex // guards the fields below
	got   []segment.Manifest
	at    []time.Time
	tries int
	fail  func(m segment.Manifest, try int) error
	spoil func(r *segment.Receipt)
	gaps  map[int64]segment.GapDoc // by From, unix ms
	words int                      // gap documents received
}

// ShipGap implements GapShipper.
func (a *archive) ShipGap(_ context.Context, d segment.GapDoc) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries++
	if a.fail != nil {
		if err := a.fail(segment.Manifest{}, a.tries); err != nil {
			return err
		}
	}
	if err := d.Validate(); err != nil {
		a.t.Error(err)
	}
	if a.gaps == nil {
		a.gaps = map[int64]segment.GapDoc{}
	}
	a.gaps[d.From.UnixMilli()] = d
	a.words++
	return nil
}

// told returns the gap documents by From.
func (a *archive) told() []segment.GapDoc {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []segment.GapDoc
	for _, d := range a.gaps {
		out = append(out, d)
	}
	slices.SortFunc(out, func(x, y segment.GapDoc) int { return x.From.Compare(y.From) })
	return out
}

func newArchive(t testing.TB) *archive { return &archive{t: t, dir: t.TempDir()} }

func (a *archive) Ship(_ context.Context, m segment.Manifest, path string) (segment.Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries++
	if a.fail != nil {
		if err := a.fail(m, a.tries); err != nil {
			return segment.Receipt{}, err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return segment.Receipt{}, err
	}
	if int64(len(data)) != m.Bytes || sha256.Sum256(data) != m.SHA256 {
		return segment.Receipt{}, errors.New("content does not match")
	}
	if i := slices.IndexFunc(a.got, func(h segment.Manifest) bool {
		return h.Camera == m.Camera && h.Seq == m.Seq && h.SHA256 == m.SHA256
	}); i < 0 {
		a.got = append(a.got, m)
		a.at = append(a.at, time.Now())
	}
	if err := os.WriteFile(a.path(m), data, 0o600); err != nil {
		return segment.Receipt{}, err
	}
	r := segment.Receipt{Camera: m.Camera, Start: m.Start, Seq: m.Seq, SHA256: m.SHA256, Bytes: m.Bytes, Key: m.Key()}
	if a.spoil != nil {
		a.spoil(&r)
	}
	return r, nil
}

func (a *archive) path(m segment.Manifest) string {
	return filepath.Join(a.dir, m.Camera+"-"+sealedName(m.Seq)+"-"+m.SHA256.String()[:8])
}

// segments returns the camera's manifests in order.
func (a *archive) segments(camera string) []segment.Manifest {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []segment.Manifest
	for _, m := range a.got {
		if m.Camera == camera {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(x, y segment.Manifest) int { return int(x.Seq) - int(y.Seq) })
	return out
}

// frames returns the camera's frames over all segments, and fails if the chain is broken.
func (a *archive) frames(camera string) []uint64 {
	a.t.Helper()
	var out []uint64
	var prev segment.Manifest
	for _, m := range a.segments(camera) {
		if m.Seq != prev.Seq+1 || m.Prev != prev.SHA256 {
			a.t.Errorf("segment %d does not follow %d", m.Seq, prev.Seq)
		}
		list := framesOf(a.t, a.path(m))
		if len(list) != m.Frames {
			a.t.Errorf("segment %d has %d frames, its manifest says %d", m.Seq, len(list), m.Frames)
		}
		out = append(out, list...)
		prev = m
	}
	return out
}

// wantFrames fails unless list is first, first+1, … last.
func wantFrames(t testing.TB, list []uint64, first, last uint64) {
	t.Helper()
	want := first
	for i, n := range list {
		if n != want {
			t.Fatalf("frame %d at place %d, want %d (%d frames in all, want %d)", n, i, want, len(list), last-first+1)
		}
		want++
	}
	if want != last+1 {
		t.Fatalf("frames %d to %d, want to %d", first, want-1, last)
	}
}

// run opens a spool, records the lens while f runs, stops in order and closes.
func run(t *testing.T, cfg Config, deps Deps, disk fsys, l *lens, f func(s *Spool)) {
	t.Helper()
	s, err := open(cfg, deps, disk)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	record, stop := context.WithCancel(ctx)
	if l != nil {
		wg.Go(func() {
			if err := s.Record(record, "cam", l.st); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Millisecond)
	}
	f(s)
	stop()
	time.Sleep(3 * time.Second) // let the lanes finish
	cancel()
	wg.Wait()
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it went while we looked
		}
		rel, _ := filepath.Rel(from, path)
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o750)
		}
		in, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer in.Close()
		out, err := os.Create(dst)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		if st, serr := in.Stat(); serr == nil { // the lock's time is the sign of life
			err = errors.Join(err, os.Chtimes(dst, st.ModTime(), st.ModTime()))
		}
		return errors.Join(err, out.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// faultFile fails where its disk says so.
type faultFile struct {
	file
	d    *faultDisk
	path string
}

// faultDisk is the real disk with failures.
type faultDisk struct {
	mu     sync.Mutex // guards the fields below
	onSync func(path string) error
	onOp   func(op, path string) error // "write", "create", "rename"
}

func (d *faultDisk) ask(op, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op == "sync" {
		if d.onSync != nil {
			return d.onSync(path)
		}
		return nil
	}
	if d.onOp != nil {
		return d.onOp(op, path)
	}
	return nil
}

func (d *faultDisk) set(onSync func(string) error, onOp func(op, path string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onSync, d.onOp = onSync, onOp
}

func (f faultFile) Sync() error {
	if err := f.d.ask("sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faultFile) Write(p []byte) (int, error) {
	if err := f.d.ask("write", f.path); err != nil {
		n, _ := f.file.Write(p[:len(p)/3]) // a torn write
		return n, err
	}
	return f.file.Write(p)
}

// quickFS is the real disk without waiting for it: tests cut files themselves.
func quickFS() fsys {
	f := osFS()
	f.clocks = clocks{
		now: time.Now, boot: func() (string, time.Duration) { return "000000000001", time.Since(time.Unix(0, 0)) },
		synced: func() bool { return false },
	}
	f.syncDir = func(string) error { return nil }
	f.statfs = func(string) (fsFill, error) {
		return fsFill{size: 1 << 40, free: 1 << 39, inodes: 1000, inodesFree: 900}, nil
	}
	create, reopen := f.create, f.reopen
	f.create = func(p string) (file, error) { w, err := create(p); return unsynced{w}, err }
	f.reopen = func(p string) (file, error) { w, err := reopen(p); return unsynced{w}, err }
	return f
}

type unsynced struct{ file }

func (unsynced) Sync() error { return nil }

func (d *faultDisk) fs() fsys {
	f := quickFS()
	create, reopen, rename := f.create, f.reopen, f.rename
	f.create = func(p string) (file, error) {
		if err := d.ask("create", p); err != nil {
			return nil, err
		}
		w, err := create(p)
		return faultFile{w, d, p}, err
	}
	f.reopen = func(p string) (file, error) {
		w, err := reopen(p)
		return faultFile{w, d, p}, err
	}
	f.rename = func(a, b string) error {
		if err := d.ask("rename", b); err != nil {
			return err
		}
		return rename(a, b)
	}
	return f
}
