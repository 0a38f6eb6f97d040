package sim

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"

	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
)

// TestPixelsAreMeant decodes a stream with ffmpeg and compares luma with the drawing, sample by sample, and text with
// the glyphs. Only leaves, which depend on the bytes left over, are left out.
func TestPixelsAreMeant(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip("needs ffmpeg")
	}
	cam, err := Camera{ID: "cam-1", Name: "雁峰 A1", Sub: &Video{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(cam, "sub", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	e := src.encoder
	loop := uint64(e.class.spec.Loop())
	src.next += loop - (src.next+e.offset)%loop
	first := src.next
	const n, w, h = 75, 640, 360
	var stream []byte
	for range n {
		for _, nalu := range src.Next().NALUs {
			stream = append(append(stream, 0, 0, 0, 1), nalu...)
		}
	}
	cmd := exec.Command(ffmpeg, "-v", "error", "-f", "h264", "-i", "-", "-f", "rawvideo", "-")
	cmd.Stdin = bytes.NewReader(stream)
	raw, err := cmd.Output()
	if err != nil || len(raw) != n*w*h*3/2 {
		t.Fatalf("decoded %d bytes: %v", len(raw), err)
	}
	s := scene.New(e.class.spec)
	leaves := make([]bool, len(s.Kinds))
	for i, k := range s.Kinds {
		leaves[i] = k == raster.PCM && !s.IsText(i)
	}
	for i := range n {
		if i > 0 {
			s.Advance(0)
		}
		e.text.Set(frameTime(first+uint64(i), 15).In(e.zone), first+uint64(i))
		for _, p := range e.text.Append(nil, true) {
			s.Picture.SetPCM(p.Index, p.Samples)
		}
		luma := raw[i*w*h*3/2:][:w*h]
		for y := range h {
			for x := range w {
				if b := y/16*s.Picture.Cols() + x/16; !leaves[b] && luma[y*w+x] != s.Picture.Y[y*s.Picture.W+x] {
					t.Fatalf("picture %d, sample %d,%d is %d, want %d", i, x, y, luma[y*w+x], s.Picture.Y[y*s.Picture.W+x])
				}
			}
		}
	}
}
