package index_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/recorder/index"
	"skein/recorder/index/redistest"
	"skein/recorder/segment"
)

// bucket stands for the footage from which an index is rebuilt.
func bucket(x *index.Index, rebuilds *atomic.Int64, fail *atomic.Bool) index.Rebuild {
	return func(ctx context.Context) (int64, error) {
		rebuilds.Add(1)
		if fail.Load() {
			return 0, errors.New("the bucket is away")
		}
		records := []segment.Record{
			{Seq: 1, Start: time.UnixMilli(1_764_000_000_000), Duration: 30 * time.Second, Bytes: 1000},
			{Seq: 2, Start: time.UnixMilli(1_764_000_030_000), Duration: 30 * time.Second, Bytes: 1000},
		}
		return 2, x.AddMany(ctx, "gate", records)
	}
}

var day = segment.Range{From: time.UnixMilli(1_764_000_000_000), To: time.UnixMilli(1_764_086_400_000)}

// An index server that is emptied beside its users answers nothing until it is filled again, which they do by
// themselves: footage that is there is never called a gap.
func TestAnEmptiedIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	x := open(t, index.Config{Redis: []string{s.URL}})
	var rebuilds atomic.Int64
	var fail atomic.Bool
	w := index.NewWhole(x, bucket(x, &rebuilds, &fail), nil)
	if _, err := w.Range(t.Context(), "gate", day); !errors.Is(err, segment.ErrIndexIncomplete) {
		t.Fatalf("a new server that nobody has filled: %v", err)
	}
	if err := w.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := w.Range(t.Context(), "gate", day); err != nil || len(list) != 2 {
		t.Fatalf("%v %v", list, err)
	}
	if err := w.Begin(t.Context()); err != nil || rebuilds.Load() != 1 {
		t.Fatalf("what is whole is rebuilt: %v, %d times", err, rebuilds.Load())
	}

	if err := client(t, s).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Range(t.Context(), "gate", day); !errors.Is(err, segment.ErrIndexIncomplete) {
		t.Fatalf("the first question to an emptied index: %v", err)
	}
	for name, ask := range map[string]func() error{
		"cameras": func() error { _, err := w.Cameras(t.Context()); return err },
		"days":    func() error { _, err := w.Days(t.Context(), "gate"); return err },
		"many":    func() error { _, err := w.RangeMany(t.Context(), []string{"gate"}, day); return err },
	} {
		if err := ask(); !errors.Is(err, segment.ErrIndexIncomplete) {
			t.Errorf("%s of an emptied index: %v", name, err)
		}
	}
	late := segment.Record{Seq: 3, Start: time.UnixMilli(1_764_000_060_000), Duration: 30 * time.Second, Bytes: 1000}
	if err := w.Add(t.Context(), "gate", late); err != nil {
		t.Errorf("recording does not go on: %v", err)
	}
	fail.Store(true)
	if err := w.Begin(t.Context()); err == nil {
		t.Error("a rebuild that failed counts")
	}
	if _, err := w.Range(t.Context(), "gate", day); !errors.Is(err, segment.ErrIndexIncomplete) {
		t.Errorf("after a rebuild that failed: %v", err)
	}
	fail.Store(false)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	eventually(t, func() bool { list, err := w.Range(t.Context(), "gate", day); return err == nil && len(list) == 3 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time")
		}
	}
}

// Of several recorders that find the index emptied one rebuilds it, and the others wait for that.
func TestOneRebuildsForAll(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var rebuilds atomic.Int64
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer wg.Wait()
	defer stop()
	var all []*index.Whole
	for range 4 {
		x := open(t, index.Config{Redis: []string{s.URL}})
		inner := bucket(x, &rebuilds, new(atomic.Bool))
		w := index.NewWhole(x, func(ctx context.Context) (int64, error) {
			time.Sleep(50 * time.Millisecond)
			return inner(ctx)
		}, nil)
		all = append(all, w)
		wg.Go(func() { _ = w.Run(ctx) })
	}
	for _, w := range all {
		eventually(t, func() bool { list, err := w.Range(t.Context(), "gate", day); return err == nil && len(list) == 2 })
	}
	if n := rebuilds.Load(); n != 1 {
		t.Errorf("%d rebuilds, want one", n)
	}
}
