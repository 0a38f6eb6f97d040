package clip_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// footage returns an archive of segments of 30 s with 25 frames/s of that size and G.711 (20000 bytes: 4 Mbit/s).
func footage(b testing.TB, segments, frameSize int) *archive {
	b.Helper()
	a := &archive{dir: b.TempDir()}
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.MJPEG, ClockRate: 90000, Width: 1920, Height: 1080, FPS: 25},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	frame, sound := make([]byte, frameSize), make([]byte, 320)
	for s := range segments {
		began := start.Truncate(time.Second).Add(time.Duration(s) * 30 * time.Second)
		r := segment.Record{Start: began, Duration: 30 * time.Second, Seq: uint64(s + 1)}
		f, err := os.Create(filepath.Join(a.dir, filepath.Base(r.Key(camera))))
		if err != nil {
			b.Fatal(err)
		}
		w, err := fmp4.NewWriter(f, desc, began)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 750 {
			at := began.Add(time.Duration(i) * 40 * time.Millisecond)
			v := &media.AccessUnit{Desc: desc, Wall: at, Key: i%50 == 0, NALUs: [][]byte{frame}}
			u := &media.AccessUnit{Desc: desc, Track: 1, Wall: at, NALUs: [][]byte{sound}}
			if _, err := w.Write(v); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(u); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(began.Add(30 * time.Second)); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		a.recs = append(a.recs, r)
	}
	return a
}

// BenchmarkExportHour measures a whole export over HTTP on loopback, the time to its first byte and the memory in use.
func BenchmarkExportHour(b *testing.B) {
	export(b, footage(b, 120, 20000), time.Hour)
	b.SetBytes(3600 * 25 * 20000)
}

// BenchmarkExportDay is the same for 24 hours of very small frames: what matters is the size of the sample tables.
func BenchmarkExportDay(b *testing.B) {
	export(b, footage(b, 2880, 100), 24*time.Hour)
}

func export(b *testing.B, a *archive, length time.Duration) {
	b.Helper()
	from := start.Truncate(time.Second)
	url := a.serve(b) + "/v1/clips/cam0.mp4" + span(from, from.Add(length))
	var first time.Duration
	var peak uint64
	sample := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse+m.StackInuse)
	}
	b.ResetTimer()
	for b.Loop() {
		began := time.Now()
		body := open(b, url)
		buf := make([]byte, 256<<10)
		n, err := body.Read(buf)
		first += time.Since(began)
		sample()
		for total := n; err == nil; total += n {
			if total > 64<<20 {
				sample()
				total = 0
			}
			n, err = body.Read(buf)
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "ms/first-byte")
	b.ReportMetric(float64(peak)/(1<<20), "MB-heap")
}

// BenchmarkFirstByte measures the first byte of a 20 s clip, never the same twice.
func BenchmarkFirstByte(b *testing.B) {
	a := footage(b, 120, 20000)
	base := a.serve(b) + "/v1/clips/cam0.mp4"
	b.ResetTimer()
	i := 0
	for b.Loop() {
		from := start.Truncate(time.Second).Add(time.Duration(i*37%3500) * time.Second)
		i++
		body := open(b, base+span(from, from.Add(20*time.Second)))
		if _, err := body.Read(make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func open(b *testing.B, url string) io.ReadCloser {
	b.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	return resp.Body
}
