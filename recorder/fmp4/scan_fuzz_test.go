package fmp4_test

import (
	"bytes"
	"testing"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
)

// small returns a segment of three fragments without help from ffmpeg.
func small(t testing.TB) []byte {
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.MJPEG, ClockRate: 90000, Width: 16, Height: 16, FPS: 5},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	var units []*media.AccessUnit
	for i := range 6 {
		at := start.Add(time.Duration(i) * 200 * time.Millisecond)
		units = append(units,
			&media.AccessUnit{Desc: desc, Wall: at, Key: i%2 == 0, NALUs: [][]byte{{0xff, 0xd8, byte(i)}}},
			&media.AccessUnit{Desc: desc, Track: 1, Wall: at, NALUs: [][]byte{make([]byte, 160)}})
	}
	file, _, _ := write(t, desc, units)
	return file
}

func FuzzScan(f *testing.F) {
	file := small(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov"))
	f.Fuzz(func(t *testing.T, p []byte) {
		x, end, err := fmp4.Scan(bytes.NewReader(p), int64(len(p)))
		if err == nil {
			if end < 0 || end > int64(len(p)) {
				t.Fatalf("end %d of %d", end, len(p))
			}
			check(t, x, end)
			sealed := x.AppendTrailer(bytes.Clone(p[:end]))
			y, err := fmp4.ReadIndex(bytes.NewReader(sealed), int64(len(sealed)))
			if err != nil || len(y.Fragments) != len(x.Fragments) {
				t.Fatalf("sealed again: %v", err)
			}
		}
		if x, err := fmp4.ReadIndex(bytes.NewReader(p), int64(len(p))); err == nil {
			check(t, x, int64(len(p)))
		}
	})
}

// check fails if a sample lies outside the file.
func check(t *testing.T, x *fmp4.Index, size int64) {
	t.Helper()
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if r.Offset < f.Offset || r.Offset+r.Size > f.Offset+f.Size || f.Offset+f.Size > size {
				t.Fatalf("run [%d,+%d) outside of fragment [%d,+%d) of %d", r.Offset, r.Size, f.Offset, f.Size, size)
			}
		}
	}
	_, _, _ = x.Duration(), x.Frames(), x.Bytes()
}

func BenchmarkWriter(b *testing.B) {
	track := media.Track{Codec: media.MJPEG, ClockRate: 90000, Width: 16, Height: 16, FPS: 25}
	desc := &media.Description{Tracks: []media.Track{track}}
	frame := make([]byte, 20000)
	w, err := fmp4.NewWriter(discard{}, desc, start)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		u := &media.AccessUnit{
			Desc: desc, Wall: start.Add(time.Duration(i) * 40 * time.Millisecond), Key: i%50 == 0, NALUs: [][]byte{frame},
		}
		if _, err := w.Write(u); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
