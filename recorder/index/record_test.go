package index

import (
	"math/rand/v2"
	"testing"
	"time"

	"skein/recorder/segment"
)

// What an hour keeps for a range is what Range promises, to the nanosecond, and counting and unpacking agree on it.
func TestHourKeepsWhatOverlaps(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)
	h := hourOf(start)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		r := segment.Record{
			Start:    start.Add(time.Duration(rnd.IntN(5)) * time.Millisecond),
			Duration: time.Duration(rnd.IntN(3)) * time.Millisecond, Seq: 1,
		}
		from := start.Add(time.Duration(rnd.IntN(20)-5) * time.Millisecond / 2)
		within := segment.Range{From: from, To: from.Add(time.Duration(1+rnd.IntN(6)) * time.Millisecond / 2)}
		if rnd.IntN(10) == 0 {
			within.From = time.Time{} // further away than a time.Duration reaches
		}
		want := r.Range().Overlaps(within) ||
			r.Duration == 0 && !r.Start.Before(within.From) && r.Start.Before(within.To)
		p, err := appendRecord(nil, r, 0)
		if err != nil {
			t.Fatal(err)
		}
		n, err := countHour(p, h, within)
		if err != nil {
			t.Fatal(err)
		}
		if list := appendHour(nil, p, h, nil, within); len(list) != n || (n == 1) != want {
			t.Fatalf("%v in %v: counted %d, unpacked %d, want %t", r.Range(), within, n, len(list), want)
		}
	}
}

// A camera-day costs its result and no more: the values of the server are read where they are.
func TestUnpackingAllocatesNothing(t *testing.T) {
	start := time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)
	h := hourOf(start)
	var p []byte
	for i := range 120 {
		var err error
		at := start.Add(time.Duration(i) * 30 * time.Second)
		if p, err = appendRecord(p, segment.Record{Start: at, Duration: 30 * time.Second, Seq: uint64(i)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	value, shards, out := string(p), []string{"a"}, make([]segment.Record, 0, 120)
	within := segment.Range{From: start, To: start.Add(time.Hour)}
	allocs := testing.AllocsPerRun(100, func() {
		n, err := countHour([]byte(value), h, within)
		if err != nil || n != 120 {
			t.Fatal(n, err)
		}
		out = appendHour(out[:0], []byte(value), h, shards, within)
	})
	if allocs != 0 || len(out) != 120 {
		t.Fatalf("%v allocations for %d records", allocs, len(out))
	}
}
