package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/recorder/evidence"
	"skein/recorder/index"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// archive is a directory store with an index, filled with chained segments.
type archive struct {
	store.Archive
	x     *index.Index
	root  string
	chain map[string][]segment.Manifest
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	root := filepath.Join(t.TempDir(), "store")
	s, err := store.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(index.Config{Embedded: true}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return &archive{Archive: s, x: x, root: root, chain: make(map[string][]segment.Manifest)}
}

func (a *archive) record(t *testing.T, camera string, n int) {
	t.Helper()
	for range n {
		list := a.chain[camera]
		m, data := storetest.Segment(camera, uint64(len(list)+1), 500)
		if len(list) > 0 {
			m.Prev = list[len(list)-1].SHA256
		}
		a.put(t, m, data)
		a.chain[camera] = append(list, m)
	}
}

func (a *archive) put(t *testing.T, m segment.Manifest, data []byte) {
	t.Helper()
	shard, err := a.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.x.Add(t.Context(), m.Camera, m.Record(shard)); err != nil {
		t.Fatal(err)
	}
}

func (a *archive) keeper(key ed25519.PrivateKey) *evidence.Keeper {
	return &evidence.Keeper{Index: a.x, Manifests: a, Docs: a, Key: key}
}

func (a *archive) verify(t *testing.T, camera string, trusted ed25519.PublicKey) evidence.Report {
	t.Helper()
	within := segment.Range{From: storetest.Base(), To: storetest.Base().AddDate(0, 0, 2)}
	r, err := evidence.VerifyCamera(t.Context(), a, a, camera, within, evidence.Options{Content: true, Trusted: trusted})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (a *archive) path(m segment.Manifest) string { return filepath.Join(a.root, m.Key()) }

// forge gives segment i new content, with manifest and index to match, as somebody with access to the store would.
func (a *archive) forge(t *testing.T, camera string, i int) segment.Manifest {
	t.Helper()
	m := a.chain[camera][i]
	if err := errors.Join(a.x.Remove(t.Context(), camera, m.Record(store.LocalShard)),
		a.Delete(t.Context(), store.LocalShard, m.Key())); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("forged"), 100)
	m.Bytes, m.SHA256 = int64(len(data)), sha256.Sum256(data)
	a.put(t, m, data)
	return m
}

// manipulation is something that somebody with access to the store may do.
type manipulation struct {
	name  string
	do    func(t *testing.T, a *archive)
	fault evidence.Fault
	seq   uint64
}

func manipulations() []manipulation {
	swap := func(x, y string) error {
		tmp := x + ".swap"
		return errors.Join(os.Rename(x, tmp), os.Rename(y, x), os.Rename(tmp, y))
	}
	return []manipulation{
		{"nothing", func(*testing.T, *archive) {}, "", 0},
		{"a byte is flipped", func(t *testing.T, a *archive) {
			p := a.path(a.chain["cam"][4])
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			data[77] ^= 1
			if err := os.WriteFile(p, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultContent, 5},
		{"two segments are swapped", func(t *testing.T, a *archive) {
			x, y := a.path(a.chain["cam"][2]), a.path(a.chain["cam"][6])
			if err := swap(x, y); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultContent, 3},
		{"two segments are swapped with their manifests", func(t *testing.T, a *archive) {
			x, y := a.path(a.chain["cam"][2]), a.path(a.chain["cam"][6])
			if err := errors.Join(swap(x, y), swap(x+".json", y+".json")); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultManifest, 3},
		{"one is dropped", func(t *testing.T, a *archive) {
			if err := a.Delete(t.Context(), store.LocalShard, a.chain["cam"][5].Key()); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultMissing, 6},
		{"one is replaced, manifest and all", func(t *testing.T, a *archive) {
			a.forge(t, "cam", 3)
		}, evidence.FaultOrder, 5},
		{"the rest of the chain is forged", func(t *testing.T, a *archive) {
			a.forge(t, "cam", 9) // the last: nothing follows that would name it, but the checkpoint does
		}, evidence.FaultCheckpoint, 10},
		{"checkpoints are signed again with another key", func(t *testing.T, a *archive) {
			list, err := evidence.Checkpoints(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			c, err := evidence.NewCheckpoint(&list[0], list[1].At, list[1].Heads, keyOf(9))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.PutBlob(t.Context(), c.Name(), doc); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultSignature, 2},
		{"a checkpoint is dropped", func(t *testing.T, a *archive) {
			list, err := evidence.Checkpoints(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.DeleteBlob(t.Context(), list[1].Name()); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultCheckpoint, 3},
	}
}

// Every manipulation is named with the first link that it breaks.
func TestManipulationIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range manipulations() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			k := a.keeper(keyOf(1))
			for _, n := range []int{3, 3, 4} {
				a.record(t, "cam", n)
				a.record(t, "other", 1)
				if _, err := k.Write(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			c.do(t, a)
			r := a.verify(t, "cam", public(keyOf(1)))
			if c.fault == "" {
				if r.Broken != nil || r.Segments != 10 || r.Checkpoints != 3 || r.Bytes != 5000 {
					t.Fatalf("%+v, %v", r, r.Broken)
				}
				return
			}
			if r.Broken == nil || r.Broken.Fault != c.fault || r.Broken.Seq != c.seq {
				t.Fatalf("got %v, want %s at %d", r.Broken, c.fault, c.seq)
			}
			if msg := r.Broken.Error(); !strings.Contains(msg, fmt.Sprint(c.seq)) {
				t.Fatalf("message %q", msg)
			}
		})
	}
}

// Retention leaves the chain whole: tombstones stand in for what is gone.
func TestChainOverTombstones(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.record(t, "cam", 10)
	ck := a.keeper(keyOf(1))
	if _, err := ck.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := a.chain["cam"][5].End()
	k, err := retain.New(retain.Options{
		Index: a.x, Store: a, Policy: func(string) int { return 1 }, Rate: 1e6,
		Now: func() time.Time { return end.AddDate(0, 0, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := k.Sweep(t.Context()); err != nil || r.Deleted != 6 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r := a.verify(t, "cam", public(keyOf(1))); r.Broken != nil || r.Deleted != 6 || r.Segments != 4 {
		t.Fatalf("%+v, %v", r, r.Broken)
	}
	if err := a.Delete(t.Context(), store.LocalShard, a.chain["cam"][7].Key()); err != nil {
		t.Fatal(err)
	}
	if r := a.verify(t, "cam", nil); r.Broken == nil || r.Broken.Fault != evidence.FaultMissing || r.Broken.Seq != 8 {
		t.Fatalf("%v", r.Broken)
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	h := func(n byte) segment.Hash { return segment.Hash{n, n, n, n, n, n, n} }
	link := func(seq uint64, hash, prev byte) evidence.Link {
		return evidence.Link{Camera: "c", Seq: seq, SHA256: h(hash), Prev: h(prev)}
	}
	lost := link(2, 2, 0)
	lost.Lost, lost.Deleted, lost.SHA256 = true, true, segment.Hash{2, 2, 2, 2, 2, 2}
	gone := link(2, 2, 1)
	gone.Deleted = true
	other := link(3, 3, 2)
	other.Camera = "d"
	for _, c := range []struct {
		name  string
		links []evidence.Link
		fault evidence.Fault
	}{
		{"empty", nil, ""},
		{"in any order", []evidence.Link{link(3, 3, 2), link(1, 1, 0), link(2, 2, 1)}, ""},
		{"begins later", []evidence.Link{link(7, 3, 2), link(8, 4, 3)}, ""},
		{"refused deletion", []evidence.Link{gone, link(1, 1, 0), link(2, 2, 1), link(3, 3, 2)}, ""},
		{"tombstone with a short hash", []evidence.Link{link(1, 1, 0), lost, link(3, 3, 2)}, ""},
		{"short hash does not fit", []evidence.Link{link(1, 1, 0), lost, link(3, 3, 9)}, evidence.FaultOrder},
		{"first names a predecessor", []evidence.Link{link(1, 1, 9)}, evidence.FaultOrder},
		{"two of one number", []evidence.Link{link(1, 1, 0), link(2, 2, 1), link(2, 5, 1)}, evidence.FaultDouble},
		{"another camera", []evidence.Link{link(1, 1, 0), link(2, 2, 1), other}, evidence.FaultManifest},
		{"hole", []evidence.Link{link(1, 1, 0), link(4, 2, 1)}, evidence.FaultMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := evidence.VerifyChain(c.links)
			if (b == nil) != (c.fault == "") || (b != nil && b.Fault != c.fault) {
				t.Fatalf("got %v, want %q", b, c.fault)
			}
		})
	}
}

// Proofs lead to the root for every head of trees of every shape, and for nothing else.
func TestMerkle(t *testing.T) {
	t.Parallel()
	var heads []evidence.Head
	for n := range 20 {
		root := evidence.Root(heads)
		for i, h := range heads {
			p := evidence.Proof(heads, i)
			if !evidence.VerifyProof(h, i, n, p, root) {
				t.Fatalf("proof of %d in %d", i, n)
			}
			changed := h
			changed.Seq++
			bad := append(slices.Clone(p), segment.Hash{})
			if evidence.VerifyProof(changed, i, n, p, root) || evidence.VerifyProof(h, i, n, bad, root) ||
				evidence.VerifyProof(h, i+1, n, p, root) {
				t.Fatalf("a wrong proof of %d in %d was accepted", i, n)
			}
		}
		heads = append(heads, evidence.Head{Camera: fmt.Sprintf("c%02d", n), Seq: uint64(n)})
	}
	if got := evidence.Root(nil).String(); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Fatalf("root of nothing: %s", got)
	}
}

// A restarted keeper continues the chain of checkpoints; each goes to the second place too.
func TestKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.record(t, "cam", 2)
		copied := make(map[string][]byte)
		for range 2 {
			k := a.keeper(keyOf(1))
			k.Copy = func(_ context.Context, name string, doc []byte) error {
				copied[name] = doc
				return nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), 16*time.Minute)
			if err := k.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			a.record(t, "cam", 1)
		}
		list, err := evidence.Checkpoints(t.Context(), a)
		if err != nil || len(list) != 6 || len(copied) != 6 {
			t.Fatalf("%d checkpoints, %d copies, %v", len(list), len(copied), err)
		}
		if b := evidence.VerifyCheckpoints(list, public(keyOf(1))); b != nil {
			t.Fatal(b)
		}
		if list[5].Heads[0].Seq != 3 {
			t.Fatalf("last heads: %+v", list[5].Heads)
		}
		_ = a.x.Close()
	})
}

// A stored checkpoint of any content: no crash, and none verifies that was not signed.
func FuzzCheckpoint(f *testing.F) {
	key := keyOf(1)
	c, err := evidence.NewCheckpoint(nil, time.UnixMilli(1_770_000_000_000), []evidence.Head{
		{Camera: "a", Seq: 1, SHA256: segment.Hash{1}}, {Camera: "b", Seq: 2},
	}, key)
	if err != nil {
		f.Fatal(err)
	}
	doc, err := json.Marshal(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"seq":1,"at":"2026-01-01T00:00:00Z","sig":"zz"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := evidence.ParseCheckpoint(b)
		if err != nil {
			return
		}
		if got.Verify(public(key)) == nil && got.ID() != c.ID() {
			t.Fatalf("accepted %s", b)
		}
	})
}

// What a forged segment says of the future, or beyond a hole that nothing explains, does not become the head of a chain.
func TestHeadIsTheEndOfAContinuousChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(t *testing.T, a *archive, k *evidence.Keeper)
		want uint64
	}{
		{"nothing", func(*testing.T, *archive, *evidence.Keeper) {}, 10},
		{"dated 2099", func(t *testing.T, a *archive, _ *evidence.Keeper) {
			m, data := storetest.Segment("cam", 4_000_000_000, 500)
			m.Start, m.Prev = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), segment.Hash{1}
			a.put(t, m, data)
		}, 10},
		{"far above", func(t *testing.T, a *archive, _ *evidence.Keeper) {
			m, data := storetest.Segment("cam", 4_000_000_000, 500)
			m.Start, m.Prev = a.chain["cam"][9].End(), segment.Hash{1}
			a.put(t, m, data)
		}, 10},
		{"a backlog is missing", func(t *testing.T, a *archive, _ *evidence.Keeper) { a.miss(t, 4, 7) }, 3},
		{"a backlog is missing that an earlier checkpoint is beyond", func(t *testing.T, a *archive, k *evidence.Keeper) {
			if _, err := k.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.miss(t, 4, 7)
		}, 10},
		{"given up", func(t *testing.T, a *archive, _ *evidence.Keeper) {
			a.giveUp(t, "cam", 4, 5)
			a.giveUp(t, "cam", 6, 7)
		}, 10},
		{"given up in part", func(t *testing.T, a *archive, _ *evidence.Keeper) {
			a.miss(t, 6, 7)
			a.giveUp(t, "cam", 4, 5)
		}, 3},
		{"begun anew", func(t *testing.T, a *archive, k *evidence.Keeper) {
			if _, err := k.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			m, data := storetest.Segment("cam", 1, 700)
			m.Start = a.chain["cam"][9].End().Add(time.Minute)
			a.put(t, m, data)
			a.miss(t, 1, 8)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.record(t, "cam", 10)
			k := a.keeper(keyOf(1))
			k.Now = func() time.Time { return a.chain["cam"][9].End().Add(time.Minute) }
			c.do(t, a, k)
			cp, err := k.Write(t.Context())
			if err != nil || len(cp.Heads) != 1 || cp.Heads[0].Seq != c.want {
				t.Errorf("heads %+v, %v; want %d", cp.Heads, err, c.want)
			}
		})
	}
}

// miss takes segments first to last (from 1) of cam away without a word.
func (a *archive) miss(t *testing.T, first, last int) {
	t.Helper()
	for _, m := range a.chain["cam"][first-1 : last] {
		if err := a.x.Remove(t.Context(), "cam", m.Record(store.LocalShard)); err != nil {
			t.Fatal(err)
		}
	}
}
