package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"skein/recorder/store"
)

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
				if !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) || (err != nil && !errors.Is(err, io.EOF)) {
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
	src := store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}
	if _, err := s.Put(ctx, m, src); !errors.Is(err, context.Canceled) {
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
