package fmp4_test

import (
	"bytes"
	"testing"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
)

// A file that was written under a wrong clock becomes, byte for byte, the one written under the right one.
func TestRetime(t *testing.T) {
	t.Parallel()
	record := func(start time.Time) []byte {
		desc := &media.Description{Tracks: []media.Track{
			{Codec: media.G711A, ClockRate: 8000, Channels: 1},
		}}
		var b bytes.Buffer
		w, err := fmp4.NewWriter(&b, desc, start)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			u := &media.AccessUnit{
				Desc: desc, Epoch: 1, PTS: int64(i) * 320, Wall: start.Add(time.Duration(i) * 40 * time.Millisecond),
				NALUs: [][]byte{make([]byte, 320)},
			}
			if _, err := w.Write(u); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(time.Time{}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	wrong, right := time.Unix(17, 250e6).UTC(), time.Date(2026, 11, 23, 12, 0, 0, 500e6, time.UTC)
	file, want := record(wrong), record(right)
	x, end, err := fmp4.Scan(bytes.NewReader(file), int64(len(file)))
	if err != nil || !x.Start.Equal(wrong) || len(x.Fragments) < 5 {
		t.Fatalf("%v, %v", x, err)
	}
	for _, p := range fmp4.Retime(x, right) {
		copy(file[p.At:], p.Bytes)
	}
	y, _, err := fmp4.Scan(bytes.NewReader(file), end)
	if err != nil || !y.Start.Equal(right) {
		t.Fatalf("starts at %v, %v", y.Start, err)
	}
	if got := y.AppendTrailer(file[:end:end]); !bytes.Equal(got, want) {
		t.Error("the file is not as if written under the right clock")
	}
}
