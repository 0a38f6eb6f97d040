package check_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"skein/config/secret"
	"skein/recorder/check"
	"skein/recorder/index"
	"skein/recorder/index/redistest"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/miniotest"
	"skein/recorder/store/storetest"
)

// Emptying a shard moves everything, documents and holds too; it may be interrupted, and reading goes on.
func TestDrain(t *testing.T) {
	t.Parallel()
	srv := miniotest.Start(t)
	open := func(drained string) *store.Shards {
		var cfg []store.ShardConfig
		for _, name := range []string{"a", "b", "c"} {
			cfg = append(cfg, store.ShardConfig{
				Name: name, Endpoint: srv.Endpoint, Bucket: "bucket-" + name, Drain: name == drained, Lock: true,
				AccessKey: miniotest.AccessKey, SecretKey: secret.New(miniotest.SecretKey),
			})
		}
		s, err := store.OpenShards(cfg, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if _, err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	x, err := index.Open(index.Config{Redis: []string{redistest.Start(t).URL}}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	s := open("")
	const cameras, each = 6, 8
	for c := range cameras {
		for i := range each {
			m, shard := storetest.Put(t, s, fmt.Sprintf("cam%d", c), uint64(i+1), 3000)
			if err := x.Add(t.Context(), m.Camera, m.Record(shard)); err != nil {
				t.Fatal(err)
			}
			if i == 3 {
				if err := s.Hold(t.Context(), shard, m.Key(), true); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range 10 {
		if err := s.PutBlob(t.Context(), fmt.Sprintf("locks/%d.json", i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	count := func(s *store.Shards, shard string) (n int) {
		for _, err := range s.ListShard(t.Context(), shard, "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	full := s.Order("cam0")[0]
	before := count(s, full)
	if _, err := check.Drain(t.Context(), check.DrainOptions{Shard: full}, s, x); err == nil {
		t.Fatal("a shard that takes new segments was drained")
	}
	s = open(full)
	ctx, cancel := context.WithCancel(t.Context())
	first, err := check.Drain(ctx, check.DrainOptions{Shard: full, Workers: 1, Progress: func(check.DrainReport) {
		cancel()
	}}, s, x)
	if !errors.Is(err, context.Canceled) || first.ExitCode(err) != check.ExitFailed {
		t.Fatalf("interrupted: %+v %v", first, err)
	}
	r, err := check.Drain(t.Context(), check.DrainOptions{Shard: full}, s, x)
	if err != nil || r.Failed != 0 || r.ExitCode(err) != check.ExitClean || r.Documents == 0 {
		t.Fatalf("%+v %v", r, err)
	}
	if first.Moved+r.Moved != int64(before) || count(s, full) != 0 {
		t.Errorf("moved %d and %d of %d, %d left", first.Moved, r.Moved, before, count(s, full))
	}
	for c := range cameras {
		id := fmt.Sprintf("cam%d", c)
		records, err := x.Range(t.Context(), id, segment.Range{From: storetest.Base(), To: storetest.Base().Add(time.Hour)})
		if err != nil || len(records) != each {
			t.Fatalf("%s: %d records, %v", id, len(records), err)
		}
		for _, rec := range records {
			m, data := storetest.Segment(id, rec.Seq, 3000)
			o, err := s.Open(t.Context(), rec.Shard, m.Key())
			if err != nil || rec.Shard == full {
				t.Fatalf("%s on %s: %v", m.Key(), rec.Shard, err)
			}
			got := make([]byte, o.Size())
			if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s differs: %v", m.Key(), err)
			}
			o.Close()
			if err := s.Delete(t.Context(), rec.Shard, m.Key()); rec.Seq == 4 && !errors.Is(err, store.ErrLocked) {
				t.Errorf("%s is no longer held: %v", m.Key(), err)
			}
		}
	}
	for i := range 10 {
		if b, err := s.GetBlob(t.Context(), fmt.Sprintf("locks/%d.json", i)); err != nil || string(b) != fmt.Sprint(i) {
			t.Errorf("document %d: %q %v", i, b, err)
		}
	}
}
