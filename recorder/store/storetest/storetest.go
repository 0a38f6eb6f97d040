// Package storetest is the conformance suite of the archive's stores: every implementation passes it unchanged.
package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
		g, err1 := json.Marshal(got)
		w, err2 := json.Marshal(m)
		must(t, errors.Join(err1, err2))
		if !bytes.Equal(g, w) {
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
	_, err = s.Put(t.Context(), m, store.Source{Path: path + "-missing"})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
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
