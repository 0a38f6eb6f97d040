// Package indextest is the conformance suite of the segment index: every implementation passes it unchanged.
package indextest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"skein/recorder/index"
	"skein/recorder/segment"
)

// Base is the time around which the suite's records lie: a full hour that is also midnight.
func Base() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

// Record returns a plausible record of the given start and length; equal arguments give equal records.
func Record(start time.Time, dur time.Duration, seq uint64) segment.Record {
	r := segment.Record{
		Start: start, Duration: dur, Seq: seq, Bytes: 15_000_000 + int64(seq), Shard: "a",
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", start.UnixMilli(), seq))
	copy(r.Hash[:], sum[:])
	return r
}

// Run runs the suite. open returns an empty index that lives until the test ends.
func Run(t *testing.T, open func(t *testing.T) *index.Index) {
	cases := []struct {
		name string
		f    func(*testing.T, *index.Index)
	}{
		{"fields survive", fields},
		{"any order gives the same", anyOrder},
		{"adding twice changes nothing", twice},
		{"a later add replaces shard, size and gap", replaces},
		{"range takes what overlaps", overlaps},
		{"range reaches back over the hour", overTheHour},
		{"long range", longRange},
		{"many cameras", many},
		{"remove", remove},
		{"days and cameras", daysAndCameras},
		{"reset", reset},
		{"what does not fit is refused", refuses},
		{"many shards", shards},
		{"concurrent writers", concurrent},
		{"canceled", canceled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := open(t)
			if err := x.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.f(t, x)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want compares what Range finds with the given records in this order.
func want(t *testing.T, x *index.Index, camera string, within segment.Range, list ...segment.Record) {
	t.Helper()
	got, err := x.Range(t.Context(), camera, within)
	must(t, err)
	if !slices.Equal(got, list) {
		t.Fatalf("range of %s:\n got %d %+v\nwant %d %+v", camera, len(got), got, len(list), list)
	}
}

func day() segment.Range { return segment.Range{From: Base(), To: Base().AddDate(0, 0, 1)} }

func fields(t *testing.T, x *index.Index) {
	r := segment.Record{
		Start: Base().Add(59*time.Minute + 59*time.Second + 999*time.Millisecond), Duration: 60_123 * time.Millisecond,
		Seq: index.MaxSeq, Bytes: index.MaxBytes, Hash: [6]byte{0, 255, 10, 13, 0, 1}, Shard: "disk-7",
	}
	for i, c := range []segment.Cause{
		"", segment.CauseCameraOff, segment.CauseNetwork, segment.CauseEdgeDown, segment.CauseSpoolFull,
		segment.CauseStoreRefused, segment.CauseClock, segment.CausePrivacy, segment.CausePlanned, segment.CauseUnknown,
		segment.CauseConfig,
	} {
		r.Gap = c
		camera := fmt.Sprintf("cam-%d", i)
		must(t, x.Add(t.Context(), camera, r))
		want(t, x, camera, day(), r)
	}
	r.Gap, r.Shard, r.Bytes, r.Seq, r.Duration = "made-up", "", 0, 0, 0
	must(t, x.Add(t.Context(), "cam-x", r))
	r.Gap = segment.CauseUnknown
	want(t, x, "cam-x", day(), r)
}

func sample(n int) []segment.Record {
	list := make([]segment.Record, n)
	for i := range list {
		list[i] = Record(Base().Add(time.Duration(i)*30*time.Second), 30*time.Second, uint64(i+1))
	}
	return list
}

func anyOrder(t *testing.T, x *index.Index) {
	list := sample(300)
	mixed := slices.Clone(list)
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for _, r := range mixed[:100] {
		must(t, x.Add(t.Context(), "cam", r))
	}
	must(t, x.AddMany(t.Context(), "cam", mixed[80:]))
	want(t, x, "cam", day(), list...)
}

func twice(t *testing.T, x *index.Index) {
	list := sample(10)
	same := Record(list[3].Start, 20*time.Second, 99) // another segment with the same start
	for range 3 {
		must(t, x.AddMany(t.Context(), "cam", list))
		must(t, x.Add(t.Context(), "cam", same))
		must(t, x.Add(t.Context(), "cam", list[3]))
	}
	all := slices.Insert(slices.Clone(list), 3, same) // shorter first
	want(t, x, "cam", day(), all...)
}

func replaces(t *testing.T, x *index.Index) {
	list := sample(5)
	must(t, x.AddMany(t.Context(), "cam", list))
	list[2].Shard, list[2].Bytes, list[2].Gap = "b", 7, segment.CauseNetwork
	must(t, x.Add(t.Context(), "cam", list[2]))
	want(t, x, "cam", day(), list...)
	must(t, x.AddMany(t.Context(), "cam", []segment.Record{Record(list[2].Start, 30*time.Second, 3), list[2]}))
	want(t, x, "cam", day(), list...)
}

func overlaps(t *testing.T, x *index.Index) {
	list := sample(10)
	must(t, x.AddMany(t.Context(), "cam", list))
	at := func(s float64) time.Time { return Base().Add(time.Duration(s * float64(time.Second))) }
	want(t, x, "cam", segment.Range{From: at(60), To: at(90)}, list[2])
	want(t, x, "cam", segment.Range{From: at(59.999), To: at(90.001)}, list[1:4]...)
	want(t, x, "cam", segment.Range{From: at(61), To: at(62)}, list[2])
	want(t, x, "cam", segment.Range{From: at(-5), To: at(0)})
	want(t, x, "cam", segment.Range{From: at(300), To: at(400)})
	want(t, x, "cam", segment.Range{From: at(62), To: at(61)})
	want(t, x, "other", day())
}

func overTheHour(t *testing.T, x *index.Index) {
	hour := Base().Add(24 * time.Hour)
	a := Record(hour.Add(-10*time.Second), 40*time.Second, 1)
	b := Record(hour.Add(30*time.Second), 30*time.Second, 2)
	long := Record(hour.Add(-time.Hour), time.Hour+0, 3)
	must(t, x.AddMany(t.Context(), "cam", []segment.Record{b, a, long}))
	want(t, x, "cam", segment.Range{From: hour.Add(time.Second), To: hour.Add(40 * time.Second)}, a, b)
	want(t, x, "cam", segment.Range{From: hour.Add(-time.Second), To: hour}, long, a)
}

func longRange(t *testing.T, x *index.Index) {
	var list []segment.Record
	for i := range 40 {
		list = append(list, Record(Base().AddDate(0, 0, 5*i).Add(time.Duration(i)*time.Hour), 30*time.Second, uint64(i)))
	}
	edge := Record(Base().Add(-10*time.Second), 30*time.Second, 1000)
	must(t, x.AddMany(t.Context(), "cam", append(slices.Clone(list), edge)))
	year := segment.Range{From: Base(), To: Base().AddDate(1, 0, 0)}
	want(t, x, "cam", year, append([]segment.Record{edge}, list...)...)
	want(t, x, "cam", segment.Range{From: time.Unix(0, 0), To: Base().AddDate(50, 0, 0)},
		append([]segment.Record{edge}, list...)...)
}

func many(t *testing.T, x *index.Index) {
	list := sample(20)
	ids := make([]string, 50)
	for i := range ids {
		ids[i] = fmt.Sprintf("cam%d", i)
		if i%2 == 0 {
			must(t, x.AddMany(t.Context(), ids[i], list))
		}
	}
	got, err := x.RangeMany(t.Context(), ids, segment.Range{From: Base(), To: Base().Add(time.Minute)})
	must(t, err)
	for i, g := range got {
		if w := list[:2*(1-i%2)]; !slices.Equal(g, w) {
			t.Fatalf("camera %d: got %v, want %v", i, g, w)
		}
	}
}

func remove(t *testing.T, x *index.Index) {
	list := sample(125)
	must(t, x.AddMany(t.Context(), "cam", list))
	must(t, x.Remove(t.Context(), "cam", list[7]))
	must(t, x.Remove(t.Context(), "cam", list[7]))
	moved := list[8]
	moved.Shard = "elsewhere"
	must(t, x.Remove(t.Context(), "cam", moved))
	want(t, x, "cam", day(), slices.Delete(slices.Clone(list), 7, 8)...)
	moved.Shard = ""
	must(t, x.Remove(t.Context(), "cam", moved))
	n, err := x.RemoveMany(t.Context(), "cam", list)
	must(t, err)
	if n != 123 {
		t.Fatalf("removed %d, want 123", n)
	}
	want(t, x, "cam", day())
	if ids, err := x.Cameras(t.Context()); err != nil || len(ids) != 0 {
		t.Fatalf("cameras after removing everything: %v, %v", ids, err)
	}
	must(t, x.AddMany(t.Context(), "cam", list))
	want(t, x, "cam", day(), list...)
}

func daysAndCameras(t *testing.T, x *index.Index) {
	for _, d := range []int{9, 2, 30, 2, 0} {
		must(t, x.Add(t.Context(), "b", Record(Base().AddDate(0, 0, d).Add(5*time.Hour), time.Second, uint64(d))))
	}
	must(t, x.Add(t.Context(), "a", Record(Base(), time.Second, 1)))
	must(t, x.Remove(t.Context(), "b", Record(Base().AddDate(0, 0, 9).Add(5*time.Hour), time.Second, 9)))
	days, err := x.Days(t.Context(), "b")
	must(t, err)
	w := []time.Time{Base(), Base().AddDate(0, 0, 2), Base().AddDate(0, 0, 30)}
	if !slices.Equal(days, w) {
		t.Fatalf("days %v, want %v", days, w)
	}
	ids, err := x.Cameras(t.Context())
	must(t, err)
	if !slices.Equal(ids, []string{"a", "b"}) {
		t.Fatalf("cameras %v", ids)
	}
}

func reset(t *testing.T, x *index.Index) {
	for i := range 30 {
		must(t, x.AddMany(t.Context(), fmt.Sprintf("cam%d", i), sample(150)))
	}
	must(t, x.Reset(t.Context()))
	ids, err := x.Cameras(t.Context())
	must(t, err)
	if len(ids) != 0 {
		t.Fatalf("cameras after reset: %v", ids)
	}
	want(t, x, "cam3", day())
	must(t, x.Add(t.Context(), "cam3", sample(1)[0]))
	want(t, x, "cam3", day(), sample(1)...)
}

func refuses(t *testing.T, x *index.Index) {
	good := sample(1)[0]
	for name, f := range map[string]func(*segment.Record){
		"long":     func(r *segment.Record) { r.Duration = index.MaxDuration + time.Millisecond },
		"negative": func(r *segment.Record) { r.Duration = -1 },
		"sequence": func(r *segment.Record) { r.Seq = index.MaxSeq + 1 },
		"size":     func(r *segment.Record) { r.Bytes = -1 },
		"early":    func(r *segment.Record) { r.Start = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) },
		"late":     func(r *segment.Record) { r.Start = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := good
		f(&r)
		if err := x.Add(t.Context(), "cam", r); !errors.Is(err, index.ErrRecord) {
			t.Errorf("%s: got %v, want ErrRecord", name, err)
		}
	}
	for _, id := range []string{"", "a}b", "a b", "a/b"} {
		if err := x.Add(t.Context(), id, good); !errors.Is(err, index.ErrRecord) {
			t.Errorf("camera %q: got %v, want ErrRecord", id, err)
		}
	}
	want(t, x, "cam", day())
}

func shards(t *testing.T, x *index.Index) {
	list := sample(200)
	for i := range list {
		list[i].Shard = fmt.Sprintf("shard-%d", (i*7)%23)
	}
	for _, r := range list[:50] {
		must(t, x.Add(t.Context(), "cam", r))
	}
	must(t, x.AddMany(t.Context(), "cam", list[50:]))
	want(t, x, "cam", day(), list...)
}

func concurrent(t *testing.T, x *index.Index) {
	list := sample(240)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for w := range 8 {
		wg.Go(func() {
			for i, r := range list {
				if i%8 == w || i%5 == 0 {
					r.Shard = fmt.Sprintf("s%d", i%4)
					if err := x.Add(context.WithoutCancel(t.Context()), "cam", r); err != nil {
						errs <- err
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	for i := range list {
		list[i].Shard = fmt.Sprintf("s%d", i%4)
	}
	want(t, x, "cam", day(), list...)
}

func canceled(t *testing.T, x *index.Index) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Add(ctx, "cam", sample(1)[0]); err == nil {
		t.Error("Add with a canceled context succeeded")
	}
	if _, err := x.Range(ctx, "cam", day()); err == nil {
		t.Error("Range with a canceled context succeeded")
	}
}
