package check_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"skein/recorder/check"
	"skein/recorder/index"
	"skein/recorder/index/redistest"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/storetest"
)

// listed is a bucket of any size that only answers listings, one hole a day.
type listed struct {
	store.Archive
	cameras, perCamera int
}

func (l listed) Cameras(context.Context) ([]string, error) {
	var ids []string
	for i := range l.cameras {
		ids = append(ids, fmt.Sprintf("baishazhou-%04d", i))
	}
	return ids, nil
}

func (l listed) List(_ context.Context, prefix string) iter.Seq2[store.Entry, error] {
	camera := prefix[3 : len(prefix)-1]
	return func(yield func(store.Entry, error) bool) {
		at := storetest.Base()
		for i := range l.perCamera {
			if i%2880 == 0 {
				at = at.Add(time.Minute)
			}
			r := segment.Record{Start: at, Duration: 30 * time.Second, Seq: uint64(i), Hash: [6]byte{byte(i), byte(i >> 8)}}
			if !yield(store.Entry{Shard: "a", Key: r.Key(camera), Size: 15e6, Modified: at}, nil) {
				return
			}
			at = at.Add(30 * time.Second)
		}
	}
}

func (l listed) Manifest(_ context.Context, _, key string) (segment.Manifest, error) {
	camera, r, err := segment.ParseKey(key)
	return segment.Manifest{
		Camera: camera, Start: r.Start, Gap: &segment.Gap{Cause: segment.CauseNetwork},
	}, err
}

// BenchmarkRebuild rebuilds a million records in a real Redis from a listing that costs nothing.
func BenchmarkRebuild(b *testing.B) {
	x, err := index.Open(index.Config{Redis: []string{redistest.Start(b).URL}}, index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	l := listed{cameras: 50, perCamera: 20_160}
	for b.Loop() {
		r, err := check.Run(context.Background(), check.Options{Rebuild: true}, l, x)
		if err != nil || r.Added != 50*20_160 {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(50*20_160*b.N)/b.Elapsed().Seconds(), "segments/s")
}

// BenchmarkRebuildDir rebuilds from a real directory store.
func BenchmarkRebuildDir(b *testing.B) {
	a := dirArchive(b)
	const cameras, each = 10, 500
	for c := range cameras {
		for seq := range uint64(each) {
			m, data := storetest.Segment(fmt.Sprintf("cam%d", c), seq+1, 100)
			if _, err := a.Put(b.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		if r, err := check.Run(b.Context(), check.Options{Rebuild: true}, a, a.x); err != nil || r.Added != cameras*each {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(cameras*each*b.N)/b.Elapsed().Seconds(), "segments/s")
}
