package index_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"skein/recorder/index"
	"skein/recorder/index/indextest"
	"skein/recorder/index/redistest"
	"skein/recorder/segment"
)

// MaxPerSegment is the design's budget of Redis memory, bytes.
const maxPerSegment = 32

// recording returns a camera's segments of the given days: cut at the first key frame after 30 s, GOPs of 1 to 2 s.
func recording(camera, days int) []segment.Record {
	rnd := rand.New(rand.NewPCG(uint64(camera), 7))
	at := indextest.Base().Add(time.Duration(rnd.IntN(30_000)) * time.Millisecond)
	end := indextest.Base().AddDate(0, 0, days)
	var list []segment.Record
	for seq := uint64(1); at.Before(end); seq++ {
		d := 30*time.Second + time.Duration(rnd.IntN(2000))*time.Millisecond
		list = append(list, indextest.Record(at, d, seq))
		at = at.Add(d)
	}
	return list
}

// The memory budget holds however the records arrived: one by one in order, one by one mixed, or in bulk.
func TestMemoryPerSegment(t *testing.T) {
	t.Parallel()
	for _, arrival := range []string{"live", "backlog", "bulk"} {
		t.Run(arrival, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			x := open(t, index.Config{Redis: []string{s.URL}})
			n := 0
			for camera := range 2 {
				list := recording(camera, 1)
				n += len(list)
				id := fmt.Sprintf("baishazhou-%04d", camera)
				if arrival == "backlog" {
					rand.New(rand.NewPCG(1, 1)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				}
				step := 1
				if arrival == "bulk" {
					step = len(list)
				}
				for part := range slices.Chunk(list, step) {
					if err := x.AddMany(t.Context(), id, part); err != nil {
						t.Fatal(err)
					}
				}
			}
			bytes, _ := usage(t, client(t, s))
			per := float64(bytes) / float64(n)
			t.Logf("%d segments, %.2f bytes each", n, per)
			if per > maxPerSegment {
				t.Errorf("%.2f bytes a segment, budget %d", per, maxPerSegment)
			}
		})
	}
}

func percentile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*p)]
}

// BenchmarkMillion fills a real Redis with 90 days of cameras, over a million segments, and reports fill rate, memory a
// segment, and the time of a camera-day and of ten minutes over fifty cameras.
func BenchmarkMillion(b *testing.B) {
	s := redistest.Start(b)
	x := open(b, index.Config{Redis: []string{s.URL}})
	ctx := context.Background()
	const cameras, days = 50, 9
	ids := make([]string, cameras)
	for b.Loop() {
		if err := x.Reset(ctx); err != nil {
			b.Fatal(err)
		}
		n := 0
		var spent time.Duration
		for c := range cameras {
			ids[c] = fmt.Sprintf("baishazhou-%04d", c)
			list := recording(c, days)
			n += len(list)
			began := time.Now()
			if err := x.AddMany(ctx, ids[c], list); err != nil {
				b.Fatal(err)
			}
			spent += time.Since(began)
		}
		bytes, keys := usage(b, client(b, s))
		b.ReportMetric(float64(n), "segments")
		b.ReportMetric(float64(n)/spent.Seconds(), "adds/s")
		b.ReportMetric(float64(bytes)/float64(n), "B/segment")
		b.ReportMetric(float64(keys), "keys")
		rnd := rand.New(rand.NewPCG(3, 3))
		var day, near []time.Duration
		for range 2000 {
			from := indextest.Base().AddDate(0, 0, rnd.IntN(days-1)).Add(time.Duration(rnd.IntN(86400)) * time.Second)
			began := time.Now()
			list, err := x.Range(ctx, ids[rnd.IntN(cameras)], segment.Range{From: from, To: from.AddDate(0, 0, 1)})
			if err != nil || len(list) < 2700 {
				b.Fatal(len(list), err)
			}
			day = append(day, time.Since(began))
			began = time.Now()
			if _, err := x.RangeMany(ctx, ids, segment.Range{From: from, To: from.Add(10 * time.Minute)}); err != nil {
				b.Fatal(err)
			}
			near = append(near, time.Since(began))
		}
		b.ReportMetric(float64(percentile(day, 0.99).Microseconds())/1000, "day-p99-ms")
		b.ReportMetric(float64(percentile(day, 0.5).Microseconds())/1000, "day-p50-ms")
		b.ReportMetric(float64(percentile(near, 0.99).Microseconds())/1000, "50cams-10min-p99-ms")
	}
}

// BenchmarkAdd is what live recording pays for one segment.
func BenchmarkAdd(b *testing.B) {
	s := redistest.Start(b)
	for name, cfg := range map[string]index.Config{"redis": {Redis: []string{s.URL}}, "embedded": {Embedded: true}} {
		b.Run(name, func(b *testing.B) {
			x := open(b, cfg)
			list := recording(0, 30)
			i := 0
			for b.Loop() {
				if err := x.Add(context.Background(), "cam", list[i%len(list)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkEmbeddedFill is the start of a single machine: its index is filled from the store.
func BenchmarkEmbeddedFill(b *testing.B) {
	list := recording(0, 30)
	for b.Loop() {
		x := open(b, index.Config{Embedded: true})
		if err := x.AddMany(context.Background(), "cam", list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(list)*b.N)/b.Elapsed().Seconds(), "adds/s")
}
