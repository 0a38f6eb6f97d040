package recorder_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/recorder"
	"skein/recorder/segment"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// fill ships n segments of each camera, 4 s each, ending now.
func (b *bed) fill(n int, cameras ...string) (bytes int64) {
	b.t.Helper()
	start := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Duration(n) * 4 * time.Second)
	for _, c := range cameras {
		for i := range n {
			bytes += b.ship(c, uint64(i+1), start.Add(time.Duration(i)*4*time.Second))
		}
	}
	return bytes
}

// ship ships one segment of 4 s.
func (b *bed) ship(camera string, seq uint64, start time.Time) (bytes int64) {
	b.t.Helper()
	m, data := footage(b.t, camera, seq, start, 4)
	path := filepath.Join(b.dir, fmt.Sprintf("in-%s-%d", camera, seq))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.rec.Ship(b.t.Context(), m, path); err != nil {
		b.t.Fatal(err)
	}
	_ = os.Remove(path)
	return m.Bytes
}

// runUntil runs the role until ok holds.
func (b *bed) runUntil(ok func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.rec.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() && ctx.Err() == nil {
		<-tick.C
	}
	if ctx.Err() != nil {
		b.t.Error("not in time")
	}
	cancel()
	wg.Wait()
}

func TestArchiveStaysBelowItsBound(t *testing.T) {
	t.Parallel()
	const limit = 700_000
	var locked string
	var b *bed
	b = newBed(t, recorder.Config{MaxBytes: limit}, func(d *recorder.Deps) {
		x, s := d.Index, d.Store
		d.Evict = func(ctx context.Context, camera string, list []segment.Record) (n int, bytes int64, err error) {
			for _, r := range list {
				key := r.Key(camera)
				if locked == "" || locked == key {
					locked = key // the very oldest
					continue
				}
				if err := errors.Join(x.Remove(ctx, camera, r), s.Delete(ctx, r.Shard, key)); err != nil {
					return n, bytes, err
				}
				b.rec.Removed(camera, r)
				n++
				bytes += r.Bytes
			}
			return n, bytes, nil
		}
	})
	total := b.fill(20, "a", "b")
	if total < limit*3/2 {
		t.Fatalf("only %d bytes", total)
	}
	b.runUntil(func() bool { return b.rec.Storage().Bytes <= limit && b.rec.Storage().Measured })
	keys, n := b.stored()
	if len(keys) != n {
		t.Fatalf("%d objects, %d records", len(keys), n)
	}
	var bytes int64
	oldest := map[string]time.Time{}
	for _, k := range keys {
		c, r, err := segment.ParseKey(k)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(b.dir, filepath.FromSlash(k)))
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
		if k != locked && (oldest[c].IsZero() || r.Start.Before(oldest[c])) {
			oldest[c] = r.Start
		}
	}
	if bytes > limit || bytes < limit*9/10 || b.rec.Storage().Bytes != bytes {
		t.Errorf("%d bytes left of %d allowed", bytes, limit)
	}
	if d := oldest["a"].Sub(oldest["b"]).Abs(); d > 4*time.Second {
		t.Errorf("cameras begin %v apart: not the oldest went", d)
	}
}

// A shortage is shared by what was promised, the bound is held while footage goes on coming, and neither is silent.
func TestShortageIsSharedAndTold(t *testing.T) {
	t.Parallel()
	const limit = 700_000
	var log lines
	keep := map[string]int{"long": 60, "short": 20}
	b := newBed(t, recorder.Config{MaxBytes: limit}, func(d *recorder.Deps) {
		d.Keep = func(camera string) int { return keep[camera] }
		d.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.rec.Run(ctx) }()
	for !b.rec.Storage().Measured {
		time.Sleep(time.Millisecond)
	}
	start := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	var most int64
	for i := range 60 {
		for _, c := range []string{"long", "short"} {
			b.ship(c, uint64(i+1), start.Add(time.Duration(i)*4*time.Second))
		}
		for deadline := time.Now().Add(10 * time.Second); b.rec.Storage().Bytes > limit; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the bound is not held")
			}
		}
		most = max(most, b.rec.Storage().Bytes)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := b.rec.Storage()
	if most < limit*9/10 || s.MaxBytes != limit || s.DaysHeld == nil || *s.DaysHeld > 1 {
		t.Errorf("at most %d bytes were held of %d; %+v", most, limit, s)
	}
	long, short := s.Cameras[0], s.Cameras[1]
	if long.Segments < short.Segments*2 {
		t.Errorf("kept of 60 days %d segments, of 20 days %d: want about three times as many", long.Segments, short.Segments)
	}
	r := s.Retention
	if r.Kept || r.Early == 0 || r.Short == 0 || !short.Short || short.KeepDays != 20 {
		t.Errorf("retention is not kept, and nothing tells: %+v %+v", r, short)
	}
	if n := strings.Count(log.String(), "retention is not kept"); n != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log tells %d times: %s", n, &log)
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns what was written.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestMeasuringFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	total := b.fill(30, "a", "b", "c")
	second, err := recorder.New(recorder.Config{MaxBytes: total * 2}, recorder.Deps{Store: b.store, Index: b.index})
	if err != nil {
		t.Fatal(err)
	}
	first := b.rec
	b.rec = second
	b.runUntil(func() bool { return second.Storage().Measured })
	got, want := second.Storage(), first.Storage()
	if got.Bytes != total || want.Bytes != total || got.Segments != 90 || len(got.Cameras) != 3 {
		t.Errorf("measured %+v, counted %+v", got, want)
	}
	if got.DaysLeft == nil || got.BytesPerDay == 0 || *got.DaysLeft <= 0 || *got.DaysHeld <= *got.DaysLeft {
		t.Errorf("forecast %+v", got)
	}
	for i := range got.Cameras {
		a, b := got.Cameras[i], want.Cameras[i]
		if a.Bytes != b.Bytes || !a.Oldest.Equal(b.Oldest) || !a.Newest.Equal(b.Newest) {
			t.Errorf("camera %+v, counted %+v", a, b)
		}
	}
}

func TestStorageOverHTTP(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, func(d *recorder.Deps) {
		d.Free = func() (int64, int64, error) { return 1 << 30, 1 << 40, nil }
	})
	b.fill(2, "a", "b")
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/storage?camera=b", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "bearer "+gatewayToken)
	status, _, body := b.do(q)
	var s recorder.Storage
	if err := json.Unmarshal(body, &s); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if len(s.Cameras) != 1 || s.Cameras[0].Camera != "b" || s.Segments != 4 || s.Free == nil || *s.Free != 1<<30 {
		t.Errorf("%s", body)
	}
}
