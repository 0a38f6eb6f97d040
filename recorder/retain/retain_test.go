package retain_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/recorder/index"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// archive is a directory store with an embedded index, filled the way a recorder does.
type archive struct {
	store.Archive
	x   *index.Index
	now time.Time
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	s, err := store.OpenDir(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(index.Config{Embedded: true}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return &archive{Archive: s, x: x, now: storetest.Base().AddDate(0, 0, 10)}
}

// fill stores n consecutive segments of 30 s and 1000 bytes.
func (a *archive) fill(t *testing.T, camera string, n int) []segment.Manifest {
	t.Helper()
	var list []segment.Manifest
	for seq := range n {
		m, shard := storetest.Put(t, a, camera, uint64(seq+1), 1000)
		if err := a.x.Add(t.Context(), camera, m.Record(shard)); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func (a *archive) keeper(t *testing.T, change func(*retain.Options)) *retain.Keeper {
	t.Helper()
	o := retain.Options{Index: a.x, Store: a, Rate: 1e6, Now: func() time.Time { return a.now }}
	change(&o)
	k, err := retain.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// seqs returns the sequence numbers that are left, and fails if index and store differ.
func (a *archive) seqs(t *testing.T, camera string) []uint64 {
	t.Helper()
	records, err := a.x.Range(t.Context(), camera, segment.Range{From: time.Unix(0, 0), To: a.now.AddDate(10, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	var stored, indexed []uint64
	for _, r := range records {
		indexed = append(indexed, r.Seq)
	}
	for e, err := range a.List(t.Context(), "v1/"+camera+"/") {
		if err != nil {
			t.Fatal(err)
		}
		_, r, err := segment.ParseKey(e.Key)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, r.Seq)
	}
	if !slices.Equal(stored, indexed) {
		t.Fatalf("stored %v, indexed %v", stored, indexed)
	}
	return indexed
}

func sweep(t *testing.T, k *retain.Keeper) retain.Result {
	t.Helper()
	r, err := k.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func from(a, b int) (out []uint64) {
	for i := a; i <= b; i++ {
		out = append(out, uint64(i))
	}
	return out
}

// Each camera loses exactly what has ended before its class's horizon, and leaves tombstones.
func TestAge(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	old := a.fill(t, "short", 10)
	a.fill(t, "long", 10)
	a.fill(t, "forever", 10)
	days := map[string]int{"short": 7, "long": 30}
	k := a.keeper(t, func(o *retain.Options) { o.Policy = func(id string) int { return days[id] } })
	a.now = old[4].End().AddDate(0, 0, 7) // the fifth is just old enough
	if r := sweep(t, k); r.Deleted != 5 || r.Bytes != 5000 {
		t.Fatalf("sweep: %+v", r)
	}
	if got := a.seqs(t, "short"); !slices.Equal(got, from(6, 10)) {
		t.Fatalf("left %v", got)
	}
	for _, id := range []string{"long", "forever"} {
		if got := a.seqs(t, id); len(got) != 10 {
			t.Fatalf("%s: left %v", id, got)
		}
	}
	stones, err := retain.Tombstones(t.Context(), a, "short", segment.Range{From: old[0].Start, To: old[9].End()})
	if err != nil || len(stones) != 5 {
		t.Fatalf("%d tombstones, %v", len(stones), err)
	}
	for i, s := range stones {
		if s.SHA256 != old[i].SHA256 || s.Key != old[i].Key() || s.Rule != retain.RuleAge || !s.Deleted.Equal(a.now) {
			t.Errorf("tombstone %+v", s)
		}
	}
	a.now = a.now.AddDate(1, 0, 0)
	sweep(t, k)
	if got := a.seqs(t, "short"); len(got) != 0 {
		t.Fatalf("left %v", got)
	}
	if got := a.seqs(t, "forever"); len(got) != 10 {
		t.Fatalf("forever: left %v", got)
	}
}

// Locked footage stays, however old, until the lock ends or is released; the store holds its objects too.
func TestLocked(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	list := a.fill(t, "cam", 10)
	unsupported := func(err error) bool { return errors.Is(err, store.ErrUnsupported) }
	locks := &retain.Locks{
		Docs: a, Finder: a.x, Holder: a, Unsupported: unsupported, Now: func() time.Time { return a.now },
	}
	lock := retain.Lock{
		Cameras: []string{"cam"}, Range: segment.Range{From: list[3].Start, To: list[5].End()},
		Reason: "case 17", Owner: "zhang", Until: a.now.AddDate(0, 1, 0),
	}
	for _, bad := range []func(*retain.Lock){
		func(l *retain.Lock) { l.Reason = " " }, func(l *retain.Lock) { l.Owner = "" },
		func(l *retain.Lock) { l.Until = a.now }, func(l *retain.Lock) { l.Cameras = nil },
	} {
		l := lock
		bad(&l)
		if _, err := locks.Add(t.Context(), l); err == nil {
			t.Errorf("accepted %+v", l)
		}
	}
	first, err := locks.Add(t.Context(), lock)
	if err != nil {
		t.Fatal(err)
	}
	lock.Range = segment.Range{From: list[5].Start, To: list[6].End()}
	second, err := locks.Add(t.Context(), lock)
	if err != nil {
		t.Fatal(err)
	}
	k := a.keeper(t, func(o *retain.Options) {
		o.Policy = func(string) int { return 1 }
		o.Guard = locks
	})
	if r := sweep(t, k); r.Deleted != 6 || r.Locked != 4 {
		t.Fatalf("sweep: %+v", r)
	}
	if got := a.seqs(t, "cam"); !slices.Equal(got, from(4, 7)) {
		t.Fatalf("left %v", got)
	}
	if err := a.Delete(t.Context(), store.LocalShard, list[4].Key()); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("the store deleted a held segment: %v", err)
	}
	if err := locks.Release(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	sweep(t, k)
	if got := a.seqs(t, "cam"); !slices.Equal(got, from(6, 7)) { // 6 is in both locks
		t.Fatalf("left after release: %v", got)
	}
	a.now = second.Until
	if n, err := locks.Expire(t.Context()); n != 1 || err != nil {
		t.Fatalf("expired %d, %v", n, err)
	}
	sweep(t, k)
	if got := a.seqs(t, "cam"); len(got) != 0 {
		t.Fatalf("left after the lock's end: %v", got)
	}
}

// broken answers nothing, as a register whose shard is down.
type broken struct{}

func (broken) Locked(context.Context, string) ([]segment.Range, error) {
	return nil, errors.New("shard down")
}

func TestNothingIsDeletedWhenLocksCannotBeRead(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.fill(t, "cam", 3)
	k := a.keeper(t, func(o *retain.Options) {
		o.Policy = func(string) int { return 1 }
		o.Guard = broken{}
	})
	if r, err := k.Sweep(t.Context()); err == nil || r.Deleted != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := a.seqs(t, "cam"); len(got) != 3 {
		t.Fatalf("left %v", got)
	}
}

// An object that the store will not delete keeps its record: invariant (a) and (b) hold either way.
func TestRefusedDeletionKeepsRecord(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	list := a.fill(t, "cam", 5)
	if err := a.Hold(t.Context(), store.LocalShard, list[2].Key(), true); err != nil {
		t.Fatal(err)
	}
	k := a.keeper(t, func(o *retain.Options) { o.Policy = func(string) int { return 1 } })
	if r := sweep(t, k); r.Deleted != 4 || r.Failed != 1 {
		t.Fatalf("%+v", r)
	}
	if got := a.seqs(t, "cam"); !slices.Equal(got, []uint64{3}) {
		t.Fatalf("left %v", got)
	}
}

// What is chosen to make room goes with a tombstone that says what was promised, and locked footage stays.
func TestEvict(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	list := a.fill(t, "cam", 4)
	locks := &retain.Locks{
		Docs: a, Finder: a.x, Holder: a, Now: func() time.Time { return a.now },
		Unsupported: func(err error) bool { return errors.Is(err, store.ErrUnsupported) },
	}
	if _, err := locks.Add(t.Context(), retain.Lock{
		Cameras: []string{"cam"}, Range: segment.Range{From: list[1].Start, To: list[1].End()},
		Reason: "case 17", Owner: "zhang", Until: a.now.AddDate(0, 1, 0),
	}); err != nil {
		t.Fatal(err)
	}
	keep := 9 // the archive's clock is ten days later
	k := a.keeper(t, func(o *retain.Options) {
		o.Guard, o.Policy = locks, func(string) int { return keep }
	})
	evict := func(m segment.Manifest) retain.Result {
		r, err := k.Evict(t.Context(), "cam", []segment.Record{m.Record(store.LocalShard), list[1].Record(store.LocalShard)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := evict(list[0]); r.Deleted != 1 || r.Bytes != 1000 || r.Locked != 1 {
		t.Fatalf("%+v", r)
	}
	keep = 30
	evict(list[2])
	if got := a.seqs(t, "cam"); !slices.Equal(got, []uint64{2, 4}) {
		t.Fatalf("left %v", got)
	}
	stones, err := retain.Tombstones(t.Context(), a, "cam", segment.Range{From: list[0].Start, To: list[3].End()})
	if err != nil || len(stones) != 2 || stones[0].Rule != retain.RuleCap || stones[0].Promised != 0 ||
		stones[1].Promised != 30 {
		t.Errorf("%+v %v, want the second to say that 30 days were promised", stones, err)
	}
}

// The rate limit holds: 20 deletions at 10 a second take about two seconds. Run ends with its context.
func TestRateAndRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		a.fill(t, "cam", 20)
		k := a.keeper(t, func(o *retain.Options) {
			o.Policy = func(string) int { return 1 }
			o.Rate = 10
		})
		began := time.Now()
		sweep(t, k)
		if d := time.Since(began); d < 1800*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("20 deletions at 10 a second took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
		defer cancel()
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
		_ = a.x.Close()
	})
}
