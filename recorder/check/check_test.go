package check_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/config/secret"
	"skein/recorder/check"
	"skein/recorder/index"
	"skein/recorder/index/redistest"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/miniotest"
	"skein/recorder/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// archive is a store and an index, filled the way a recorder does.
type archive struct {
	store.Archive
	x    *index.Index
	root string // of a directory store
	all  map[string][]segment.Record
}

// later is a clock by which nothing is in flight any more.
func later() time.Time { return time.Now().Add(time.Hour) }

func dirArchive(t testing.TB) *archive {
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
	return &archive{Archive: s, x: x, root: root, all: make(map[string][]segment.Record)}
}

// realArchive is two MinIO buckets and a Redis.
func realArchive(t testing.TB) *archive {
	t.Helper()
	srv := miniotest.Start(t)
	var cfg store.Config
	for _, name := range []string{"a", "b"} {
		cfg.Shards = append(cfg.Shards, store.ShardConfig{
			Name: name, Endpoint: srv.Endpoint, Bucket: "bucket-" + name,
			AccessKey: miniotest.AccessKey, SecretKey: secret.New(miniotest.SecretKey),
		})
	}
	s, err := store.Open(cfg, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(index.Config{Redis: []string{redistest.Start(t).URL}}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return &archive{Archive: s, x: x, all: make(map[string][]segment.Record)}
}

// fill stores segments 1 to n; every fifth comes after a gap with a cause.
func (a *archive) fill(t testing.TB, camera string, n int) {
	t.Helper()
	for seq := range uint64(n) {
		m, data := storetest.Segment(camera, seq+1, 600)
		if seq%5 == 0 {
			m.Start = m.Start.Add(10 * time.Second)
			m.Duration -= 10 * time.Second
			m.Gap = &segment.Gap{
				Range: segment.Range{From: m.Start.Add(-10 * time.Second), To: m.Start}, Cause: segment.CauseNetwork,
			}
		}
		shard, err := a.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Record(shard)
		if err := a.x.Add(t.Context(), camera, r); err != nil {
			t.Fatal(err)
		}
		a.all[camera] = append(a.all[camera], r)
	}
}

func (a *archive) run(t testing.TB, o check.Options) check.Report {
	t.Helper()
	o.Now = later
	r, err := check.Run(t.Context(), o, a, a.x)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// same fails unless the index holds exactly what was stored.
func (a *archive) same(t testing.TB) {
	t.Helper()
	for camera, want := range a.all {
		got, err := a.x.Range(t.Context(), camera, segment.Range{From: time.Unix(0, 0), To: later().AddDate(10, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("camera %s:\n got %+v\nwant %+v", camera, got, want)
		}
	}
}

func kinds(r check.Report) string {
	var list []string
	for k, n := range r.Counts {
		list = append(list, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestCleanAndRebuilt(t *testing.T) {
	t.Parallel()
	pairs := map[string]func(testing.TB) *archive{"dir, embedded": dirArchive, "minio, redis": realArchive}
	for name, open := range pairs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t)
			for i := range 6 {
				a.fill(t, fmt.Sprintf("cam%d", i), 12)
			}
			r := a.run(t, check.Options{Deep: true})
			if r.ExitCode(nil) != check.ExitClean || r.Objects != 72 || r.Records != 72 || len(r.Findings) != 0 {
				t.Fatalf("clean archive: %+v", r)
			}
			if err := a.x.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r := a.run(t, check.Options{}); r.Counts[check.Unindexed] != 72 || r.ExitCode(nil) != check.ExitFound {
				t.Fatalf("flushed index: %s", kinds(r))
			}
			var last check.Progress
			r = a.run(t, check.Options{Rebuild: true, Progress: func(p check.Progress) { last = p }})
			if r.Added != 72 || r.ExitCode(nil) != check.ExitClean {
				t.Fatalf("rebuild: %+v", r)
			}
			if last.Done != 6 || last.Segments != 72 {
				t.Fatalf("progress: %+v", last)
			}
			a.same(t)
			if err := a.x.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r := a.run(t, check.Options{Repair: true}); r.Added != 72 || r.ExitCode(nil) != check.ExitClean {
				t.Fatalf("repair: %+v", r)
			}
			a.same(t)
		})
	}
}

// Each kind of damage is named, and repaired where that is possible.
func TestDamage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		damage func(t *testing.T, a *archive, r segment.Record, path string) error
		deep   bool
		want   check.Kind
		mends  bool
	}{
		{"object gone", func(t *testing.T, a *archive, r segment.Record, path string) error {
			a.all["cam"] = slices.Delete(a.all["cam"], 7, 8)
			return a.Delete(t.Context(), r.Shard, r.Key("cam"))
		}, false, check.MissingObject, true},
		{"record gone", func(t *testing.T, a *archive, r segment.Record, path string) error {
			return a.x.Remove(t.Context(), "cam", r)
		}, false, check.Unindexed, true},
		{"record of another size", func(t *testing.T, a *archive, r segment.Record, path string) error {
			r.Bytes++
			return a.x.Add(t.Context(), "cam", r)
		}, false, check.WrongSize, true},
		{"record of another shard", func(t *testing.T, a *archive, r segment.Record, path string) error {
			r.Shard = "gone"
			return a.x.Add(t.Context(), "cam", r)
		}, false, check.MissingObject, true},
		{"object cut", func(t *testing.T, a *archive, r segment.Record, path string) error {
			return os.Truncate(path, 10)
		}, false, check.WrongSize, false},
		{"byte flipped", func(t *testing.T, a *archive, r segment.Record, path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[300] ^= 4
			return os.WriteFile(path, data, 0o600)
		}, true, check.WrongHash, false},
		{"manifest gone", func(t *testing.T, a *archive, r segment.Record, path string) error {
			return os.Remove(path + ".json")
		}, true, check.BadManifest, false},
		{"manifest damaged", func(t *testing.T, a *archive, r segment.Record, path string) error {
			return os.WriteFile(path+".json", []byte(`{"camera":"other"}`), 0o600)
		}, true, check.BadManifest, false},
		{"stray file", func(t *testing.T, a *archive, r segment.Record, path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "copy.mp4"), []byte("x"), 0o600)
		}, false, check.BadKey, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := dirArchive(t)
			a.fill(t, "cam", 9)
			a.fill(t, "other", 2)
			r := a.all["cam"][7]
			if err := c.damage(t, a, r, filepath.Join(a.root, r.Key("cam"))); err != nil {
				t.Fatal(err)
			}
			rep := a.run(t, check.Options{Deep: c.deep})
			if len(rep.Findings) != 1 || rep.Findings[0].Kind != c.want || rep.Findings[0].Camera != "cam" {
				t.Fatalf("found %+v, want one %s", rep.Findings, c.want)
			}
			if rep.ExitCode(nil) != check.ExitFound {
				t.Fatalf("exit code %d", rep.ExitCode(nil))
			}
			rep = a.run(t, check.Options{Deep: c.deep, Repair: true})
			if got := rep.ExitCode(nil) == check.ExitClean; got != c.mends {
				t.Fatalf("repaired: %v, findings %+v", got, rep.Findings)
			}
			if c.mends {
				if rep = a.run(t, check.Options{Deep: true}); len(rep.Findings) != 0 {
					t.Fatalf("after repair: %+v", rep.Findings)
				}
				a.same(t)
			}
		})
	}
}

// A fresh object without a record is work under way, not a fault.
func TestInFlight(t *testing.T) {
	t.Parallel()
	a := dirArchive(t)
	a.fill(t, "cam", 3)
	storetest.Put(t, a, "cam", 50, 600)
	r, err := check.Run(t.Context(), check.Options{}, a, a.x)
	if err != nil || r.InFlight != 1 || len(r.Findings) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// A check and a rebuild beside live recording report nothing wrong and lose nothing.
func TestBesideRecording(t *testing.T) {
	t.Parallel()
	a := dirArchive(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				a.fill(t, fmt.Sprintf("cam%d", n%5), 3+n%7)
				a.all = make(map[string][]segment.Record)
			}
		}
	})
	for range 10 {
		r, err := check.Run(t.Context(), check.Options{Repair: true}, a, a.x)
		if err != nil || len(r.Findings) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, err := check.Run(t.Context(), check.Options{Rebuild: true}, a, a.x); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if r := a.run(t, check.Options{Deep: true}); len(r.Findings) != 0 {
		t.Fatalf("afterwards: %+v", r.Findings)
	}
}

// (d): footage deleted although locked is found from tombstone and lock.
func TestLockedGone(t *testing.T) {
	t.Parallel()
	a := dirArchive(t)
	a.fill(t, "cam", 6)
	locks := &retain.Locks{Docs: a}
	o := check.Options{Evidence: check.Register{Register: locks, Docs: a}}
	lock := retain.Lock{
		Cameras: []string{"cam"}, Reason: "r", Owner: "o", Until: later(),
		Range: segment.Range{From: a.all["cam"][2].Start, To: a.all["cam"][3].End()},
	}
	if _, err := locks.Add(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	if r := a.run(t, o); !r.ProvedD || len(r.Findings) != 0 {
		t.Fatalf("%+v", r)
	}
	k, err := retain.New(retain.Options{ // a keeper that knows of no locks
		Index: a.x, Store: a, Policy: func(string) int { return 1 },
		Now: func() time.Time { return later().AddDate(1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := a.run(t, o); r.Counts[check.LockedGone] != 2 || r.ExitCode(nil) != check.ExitFound {
		t.Fatalf("%s", kinds(r))
	}
}

// listless is a store one of whose shards does not answer.
type listless struct{ *archive }

func (l listless) List(context.Context, string) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		yield(store.Entry{}, &store.ShardError{Shard: "b", Op: "list", Err: store.ErrUnavailable})
	}
}

// A shard that does not answer ends the check; it must not look like lost footage.
func TestShardDown(t *testing.T) {
	t.Parallel()
	a := dirArchive(t)
	a.fill(t, "cam", 3)
	r, err := check.Run(t.Context(), check.Options{Repair: true}, listless{a}, a.x)
	if !errors.Is(err, store.ErrUnavailable) || r.ExitCode(err) != check.ExitFailed || r.Dropped != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	a.same(t)
}

// An index that lost what it held is a finding, however young the objects are: a recorder is about to write records of
// a few, not of all.
func TestEmptiedIndexIsFound(t *testing.T) {
	t.Parallel()
	a := dirArchive(t)
	a.fill(t, "cam", 5)
	o := check.Options{Marked: a.x.Marked}
	if err := a.x.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := a.run(t, o); r.ExitCode(nil) != check.ExitClean {
		t.Fatalf("%+v", r)
	}
	if err := a.x.Reset(t.Context()); err != nil { // as FLUSHALL
		t.Fatal(err)
	}
	r := a.run(t, o)
	if r.ExitCode(nil) != check.ExitFound || r.Counts[check.Emptied] != 1 || r.Findings[0].Invariant != "c" {
		t.Errorf("%+v", r)
	}
}
