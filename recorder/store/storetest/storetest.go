// Package storetest is the conformance suite of the archive's stores: every implementation passes it unchanged.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// Base is the time around which the suite's segments lie.
func Base() time.Time { return time.Date(2026, 3, 1, 23, 59, 30, 0, time.UTC) }

// Segment returns a manifest and its content: size pseudo-random bytes that depend on camera and sequence only.
func Segment(camera string, seq uint64, size int) (segment.Manifest, []byte) {
	data := make([]byte, size)
	seed := sha256.Sum256(fmt.Appendf(nil, "%s/%d", camera, seq))
	src := rand.NewChaCha8(seed)
	_, _ = src.Read(data)
	return segment.Manifest{
		Camera: camera, Profile: "main", Seq: seq, Epoch: 1, Start: Base().Add(time.Duration(seq-1) * 30 * time.Second),
		Duration: 30 * time.Second, Bytes: int64(size), SHA256: sha256.Sum256(data), Codecs: "avc1.64001f", Frames: 750,
		Sealed: segment.SealedDuration,
	}, data
}

// Put stores a segment of the given size and returns its manifest and shard.
func Put(t testing.TB, s store.Store, camera string, seq uint64, size int) (segment.Manifest, string) {
	t.Helper()
	m, data := Segment(camera, seq, size)
	shard, err := s.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	return m, shard
}

// Run runs the suite. open returns an empty archive that lives until the test ends.
func Run(t *testing.T, open func(t *testing.T) store.Archive) {
	cases := []struct {
		name string
		f    func(*testing.T, store.Archive)
	}{
		{"put and read", putAndRead},
		{"put a file", putFile},
		{"put again is a success", putAgain},
		{"wrong content is refused", wrongContent},
		{"another object under the key is refused", conflict},
		{"bad names are refused", badNames},
		{"what is missing", missing},
		{"ranged reads", ranged},
		{"delete", remove},
		{"list", list},
		{"list resumes", listResumes},
		{"cameras", cameras},
		{"concurrent puts of one segment", concurrent},
		{"canceled", canceled},
		{"documents", documents},
		{"hold", hold},
		{"probe", probe},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.f(t, open(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s store.Store, shard, key string) []byte {
	t.Helper()
	o, err := s.Open(t.Context(), shard, key)
	must(t, err)
	defer o.Close()
	data, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	must(t, err)
	return data
}

func putAndRead(t *testing.T, s store.Archive) {
	clock := int64(-1234)
	for i, size := range []int{1, 100, 16 << 10, 16<<10 + 1, 1 << 20} {
		m, data := Segment("cam0", uint64(i+1), size)
		m.Clock = &clock
		m.Profile = "main \u4e3b \U0001f986  <&>"
		m.Gap = &segment.Gap{Range: segment.Range{From: Base(), To: Base().Add(time.Second)}, Cause: segment.CauseNetwork}
		shard, err := s.Put(t.Context(), m, store.Source{Reader: iotest.HalfReader(bytes.NewReader(data)), Size: m.Bytes})
		must(t, err)
		if shard == "" {
			t.Fatal("put returned no shard")
		}
		if got := read(t, s, shard, m.Key()); !bytes.Equal(got, data) {
			t.Fatalf("%d bytes: content differs", size)
		}
		got, err := s.Manifest(t.Context(), shard, m.Key())
		must(t, err)
		if g, w := fmt.Sprintf("%+v %v %v", got, *got.Clock, *got.Gap), fmt.Sprintf("%+v %v %v", m, clock, *m.Gap); len(g) != len(w) ||
			got.SHA256 != m.SHA256 || got.Profile != m.Profile || *got.Clock != clock || got.Gap.Cause != m.Gap.Cause {
			t.Fatalf("manifest\n got %s\nwant %s", g, w)
		}
	}
}

func putFile(t *testing.T, s store.Archive) {
	m, data := Segment("cam0", 1, 300_000)
	path := filepath.Join(t.TempDir(), "sealed.mp4")
	must(t, os.WriteFile(path, data, 0o600))
	shard, err := s.Put(t.Context(), m, store.Source{Path: path})
	must(t, err)
	must(t, os.Remove(path)) // what the spool does after the receipt
	if got := read(t, s, shard, m.Key()); !bytes.Equal(got, data) {
		t.Fatal("content differs")
	}
	if _, err := s.Put(t.Context(), m, store.Source{Path: path + "-missing"}); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("missing source file: %v", err)
	}
}

func putAgain(t *testing.T, s store.Archive) {
	m, shard := Put(t, s, "cam0", 1, 50_000)
	for range 2 {
		if _, again := Put(t, s, "cam0", 1, 50_000); again != shard {
			t.Fatalf("second put went to %s, first to %s", again, shard)
		}
	}
	n := 0
	for _, err := range s.List(t.Context(), "v1/cam0/") {
		must(t, err)
		n++
	}
	if n != 1 {
		t.Fatalf("%d objects of %s", n, m.Key())
	}
}

func wrongContent(t *testing.T, s store.Archive) {
	m, data := Segment("cam0", 1, 200_000)
	flipped := slices.Clone(data)
	flipped[100_000] ^= 1
	path := filepath.Join(t.TempDir(), "flipped.mp4")
	must(t, os.WriteFile(path, flipped, 0o600))
	short := filepath.Join(t.TempDir(), "short.mp4")
	must(t, os.WriteFile(short, data[:len(data)-1], 0o600))
	long := filepath.Join(t.TempDir(), "long.mp4")
	must(t, os.WriteFile(long, append(slices.Clone(data), 0), 0o600))
	for name, src := range map[string]store.Source{
		"flipped":    {Reader: bytes.NewReader(flipped), Size: m.Bytes},
		"cut":        {Reader: bytes.NewReader(data[:1000]), Size: m.Bytes},
		"longer":     {Reader: bytes.NewReader(append(slices.Clone(data), 0)), Size: m.Bytes},
		"size":       {Reader: bytes.NewReader(data), Size: m.Bytes + 1},
		"file":       {Path: path},
		"short file": {Path: short},
		"long file":  {Path: long},
	} {
		if _, err := s.Put(t.Context(), m, src); !errors.Is(err, store.ErrHash) {
			t.Errorf("%s: got %v, want ErrHash", name, err)
		}
	}
	broken := errors.New("cable cut")
	src := store.Source{Reader: io.MultiReader(bytes.NewReader(data[:1000]), iotest.ErrReader(broken)), Size: m.Bytes}
	if _, err := s.Put(t.Context(), m, src); !errors.Is(err, broken) {
		t.Errorf("failing reader: got %v", err)
	}
	if _, err := s.Open(t.Context(), "", m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("refused content left an object: %v", err)
	}
	shard, err := s.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
	must(t, err)
	if got := read(t, s, shard, m.Key()); !bytes.Equal(got, data) {
		t.Fatal("content differs")
	}
}

// conflict offers another segment whose first 48 bits of hash are the same, so that it has the same key.
func conflict(t *testing.T, s store.Archive) {
	m, shard := Put(t, s, "cam0", 1, 1000)
	other := m
	other.SHA256[31] ^= 1
	_, data := Segment("cam0", 1, 1000)
	_, err := s.Put(t.Context(), other, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
	if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrHash) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	if got := read(t, s, shard, m.Key()); !bytes.Equal(got, data) {
		t.Fatal("the stored object changed")
	}
}

func badNames(t *testing.T, s store.Archive) {
	for _, camera := range []string{"", "..", "a/b", "../../etc", "a b", "a\x00b", "\u4e3b", ".tmp"} {
		m, data := Segment("x", 1, 10)
		m.Camera = camera
		if _, err := s.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}); err == nil {
			t.Errorf("camera %q was accepted", camera)
		}
	}
	for _, key := range []string{"", "/etc/passwd", "../x", "v1/../../x", "v1//x"} {
		if _, err := s.Open(t.Context(), "", key); err == nil {
			t.Errorf("open %q succeeded", key)
		}
		if err := s.Delete(t.Context(), "", key); err == nil {
			t.Errorf("delete %q succeeded", key)
		}
		if err := s.PutBlob(t.Context(), key, nil); err == nil {
			t.Errorf("document %q was accepted", key)
		}
	}
}

func missing(t *testing.T, s store.Archive) {
	_, shard := Put(t, s, "cam0", 1, 10)
	m, _ := Segment("cam0", 2, 10)
	if _, err := s.Open(t.Context(), shard, m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	if _, err := s.Manifest(t.Context(), shard, m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("manifest: %v", err)
	}
	if err := s.Delete(t.Context(), shard, m.Key()); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.GetBlob(t.Context(), "no/such"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("document: %v", err)
	}
	if err := s.DeleteBlob(t.Context(), "no/such"); err != nil {
		t.Errorf("delete document: %v", err)
	}
}

func ranged(t *testing.T, s store.Archive) {
	const size = 100_000
	m, shard := Put(t, s, "cam0", 1, size)
	_, data := Segment("cam0", 1, size)
	o, err := s.Open(t.Context(), "no such shard", m.Key())
	must(t, err)
	must(t, o.Close())
	o, err = s.Open(t.Context(), shard, m.Key())
	must(t, err)
	defer o.Close()
	if o.Size() != size {
		t.Fatalf("size %d", o.Size())
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for range 20 {
				off := rnd.Int64N(size + 10)
				p := make([]byte, 1+rnd.IntN(1<<(3+rnd.IntN(14))))
				n, err := o.ReadAt(p, off)
				want := data[min(off, size):min(off+int64(len(p)), size)]
				if !bytes.Equal(p[:n], want) || (n < len(p)) != (err == io.EOF) || (err != nil && err != io.EOF) {
					t.Errorf("read %d at %d: %d bytes, %v", len(p), off, n, err)
				}
			}
		})
	}
	wg.Wait()
	for _, r := range [][2]int64{{0, size}, {1, 70_000}, {size - 1, 1}, {5, 0}} {
		body, err := o.Stream(r[0], r[1])
		must(t, err)
		got, err := io.ReadAll(body)
		must(t, errors.Join(err, body.Close()))
		if !bytes.Equal(got, data[r[0]:r[0]+r[1]]) {
			t.Errorf("stream %v differs", r)
		}
	}
	if _, err := o.Stream(size-1, 2); err == nil {
		t.Error("stream past the end succeeded")
	}
}

func remove(t *testing.T, s store.Archive) {
	m, shard := Put(t, s, "cam0", 1, 1000)
	keep, keepShard := Put(t, s, "cam0", 2, 1000)
	must(t, s.Delete(t.Context(), shard, m.Key()))
	must(t, s.Delete(t.Context(), shard, m.Key()))
	if _, err := s.Open(t.Context(), shard, m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("open after delete: %v", err)
	}
	if _, err := s.Manifest(t.Context(), keepShard, keep.Key()); err != nil {
		t.Fatal(err)
	}
	Put(t, s, "cam0", 1, 1000)
	must(t, s.Delete(t.Context(), shard, m.Key()))
	must(t, s.Delete(t.Context(), keepShard, keep.Key()))
	if ids, err := s.Cameras(t.Context()); err != nil || len(ids) != 0 {
		t.Fatalf("cameras after deleting everything: %v, %v", ids, err)
	}
}

func keys(t *testing.T, s store.Archive, prefix, after string) []string {
	t.Helper()
	var out []string
	for e, err := range s.ListAfter(t.Context(), prefix, after) {
		must(t, err)
		if e.Size != 77 || e.Shard == "" || e.Modified.IsZero() {
			t.Fatalf("entry %+v", e)
		}
		out = append(out, e.Key)
	}
	if !slices.IsSorted(out) {
		t.Fatalf("not in order: %v", out)
	}
	return out
}

func fill(t *testing.T, s store.Archive) []string {
	t.Helper()
	var all []string
	for _, camera := range []string{"cam", "cam-2", "cam2", "a"} {
		for seq := uint64(1); seq <= 3; seq++ { // the second begins on another day
			m, _ := Put(t, s, camera, seq, 77)
			all = append(all, m.Key())
		}
	}
	must(t, s.PutBlob(t.Context(), "locks/x.json", []byte("{}")))
	slices.Sort(all)
	return all
}

func list(t *testing.T, s store.Archive) {
	all := fill(t, s)
	for _, prefix := range []string{"", "v1/", "v1/cam", "v1/cam/", "v1/cam-2/2026/03/02", "v1/zzz/", "other/", "v"} {
		var w []string
		for _, k := range all {
			if strings.HasPrefix(k, prefix) {
				w = append(w, k)
			}
		}
		if got := keys(t, s, prefix, ""); !slices.Equal(got, w) {
			t.Errorf("list %q:\n got %v\nwant %v", prefix, got, w)
		}
	}
	for range s.List(t.Context(), "") {
		break // stopping early must leave nothing behind
	}
}

func listResumes(t *testing.T, s store.Archive) {
	all := fill(t, s)
	for i, k := range all {
		if got := keys(t, s, "v1/", k); !slices.Equal(got, all[i+1:]) {
			t.Errorf("after %s:\n got %v\nwant %v", k, got, all[i+1:])
		}
	}
}

func cameras(t *testing.T, s store.Archive) {
	fill(t, s)
	ids, err := s.Cameras(t.Context())
	must(t, err)
	if !slices.Equal(ids, []string{"a", "cam", "cam-2", "cam2"}) {
		t.Fatalf("cameras %v", ids)
	}
}

func concurrent(t *testing.T, s store.Archive) {
	m, data := Segment("cam0", 1, 100_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, s, "", m.Key()); !bytes.Equal(got, data) {
		t.Fatal("content differs")
	}
}

func canceled(t *testing.T, s store.Archive) {
	kept, shard := Put(t, s, "cam0", 2, 100_000)
	ctx, cancel := context.WithCancel(t.Context())
	o, err := s.Open(ctx, shard, kept.Key())
	must(t, err)
	defer o.Close()
	cancel()
	if _, err := o.ReadAt(make([]byte, 50_000), 40_000); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	m, data := Segment("cam0", 1, 100_000)
	if _, err := s.Put(ctx, m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	var last error
	for _, err := range s.List(ctx, "v1/") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("list: %v", last)
	}
	if _, err := s.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}); err != nil {
		t.Errorf("put after a canceled one: %v", err)
	}
}

func documents(t *testing.T, s store.Archive) {
	ctx := t.Context()
	must(t, s.PutBlob(ctx, "locks/a.json", []byte("one")))
	must(t, s.PutBlob(ctx, "locks/a.json", []byte("two")))
	must(t, s.PutBlob(ctx, "locks/empty", nil))
	must(t, s.CreateBlob(ctx, "locks/b.json", []byte("b")))
	must(t, s.PutBlob(ctx, "other/c.json", bytes.Repeat([]byte("c"), 1<<20)))
	if err := s.CreateBlob(ctx, "locks/b.json", []byte("again")); !errors.Is(err, store.ErrExists) {
		t.Errorf("create twice: %v", err)
	}
	if err := s.PutBlob(ctx, "big", make([]byte, store.MaxBlob+1)); err == nil {
		t.Error("a document over the limit was accepted")
	}
	for name, w := range map[string]string{"locks/a.json": "two", "locks/b.json": "b", "locks/empty": ""} {
		if got, err := s.GetBlob(ctx, name); err != nil || string(got) != w {
			t.Errorf("%s: %q, %v, want %q", name, got, err, w)
		}
	}
	names := func(prefix string) (out []string) {
		for n, err := range s.ListBlobs(ctx, prefix) {
			must(t, err)
			out = append(out, n)
		}
		return out
	}
	if got := names("locks/"); !slices.Equal(got, []string{"locks/a.json", "locks/b.json", "locks/empty"}) {
		t.Errorf("list locks/: %v", got)
	}
	must(t, s.DeleteBlob(ctx, "locks/a.json"))
	if got := names(""); !slices.Equal(got, []string{"locks/b.json", "locks/empty", "other/c.json"}) {
		t.Errorf("list after delete: %v", got)
	}
	if _, err := s.GetBlob(ctx, "locks/a.json"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}
	if got := keys(t, s, "", ""); got != nil {
		t.Errorf("documents are listed as segments: %v", got)
	}
}

func hold(t *testing.T, s store.Archive) {
	m, shard := Put(t, s, "cam0", 1, 1000)
	err := s.Hold(t.Context(), shard, m.Key(), true)
	if errors.Is(err, store.ErrUnsupported) {
		return // the shard has no lock; the archive's own guard remains
	}
	must(t, err)
	if err := s.Delete(t.Context(), shard, m.Key()); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("delete of a held segment: %v", err)
	}
	if _, err := s.Manifest(t.Context(), shard, m.Key()); err != nil {
		t.Fatal(err)
	}
	must(t, s.Hold(t.Context(), shard, m.Key(), false))
	must(t, s.Hold(t.Context(), shard, m.Key(), false))
	must(t, s.Delete(t.Context(), shard, m.Key()))
	if _, err := s.Manifest(t.Context(), shard, m.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("after delete: %v", err)
	}
}

func probe(t *testing.T, s store.Archive) {
	r, err := s.Probe(t.Context())
	must(t, err)
	for _, sh := range r.Shards {
		t.Log(sh.String())
		if !sh.OK() || !sh.Has("conditional create") {
			t.Errorf("shard %s: %+v", sh.Shard, sh)
		}
	}
	if got := keys(t, s, "", ""); got != nil {
		t.Errorf("the probe left %v", got)
	}
}
