package h264_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"skein/bench/sim/h264"
	"skein/bench/sim/raster"
)

// random paints pictures of every difficulty: flat areas, cells, noise.
func random(r *rand.Rand, p *raster.Picture) {
	for y := 0; y < p.H; y += 4 {
		for x := 0; x < p.W; x += 4 {
			if r.IntN(3) > 0 {
				continue
			}
			span := 1 + r.IntN(255)
			size := 4 << r.IntN(5)
			p.Fill(x, y, size, size, raster.Colour{
				Y: uint8(r.IntN(span)), Cb: uint8(r.IntN(256)), Cr: uint8(r.IntN(256)),
			})
		}
	}
}

// TestDecodersAgree codes random pictures with every kind of macroblock and compares what ffmpeg decodes, sample by
// sample, with what the coder says a decoder shows.
func TestDecodersAgree(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip("needs ffmpeg")
	}
	const width, height, frames = 176, 142, 24
	r := rand.New(rand.NewPCG(1, 2))
	params := h264.Params{Width: width, Height: height, FPS: 25}
	src := raster.New(width, height)
	coder := h264.NewCoder(raster.New(width, height))
	var stream, want []byte
	start := []byte{0, 0, 0, 1}
	for f := range frames {
		var w raster.Bits
		coder.Begin()
		random(r, src)
		idr := f%8 == 0
		if idr {
			stream = append(append(stream, start...), params.SPS()...)
			stream = append(append(stream, start...), params.PPS()...)
			h264.PutIDRHeader(&w, uint32(f/8%2))
		} else {
			h264.PutPHeader(&w, uint32(f%8))
		}
		skip := 0
		for mb := range src.Cols() * src.Rows() {
			kind := raster.Kind(r.IntN(3))
			if idr {
				coder.CodeI(&w, src, mb, max(kind, raster.Flat))
				continue
			}
			if kind == raster.Skip {
				skip++
				continue
			}
			coder.CodeP(&w, src, mb, kind, skip)
			skip = 0
		}
		if skip > 0 {
			w.UE(uint32(skip))
		}
		w.Trail()
		stream = h264.AppendNALU(append(stream, start...), w.Buf, idr)
		want = append(want, crop(coder.Out, width, height)...)
	}
	file := filepath.Join(t.TempDir(), "x.h264")
	if err := os.WriteFile(file, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(ffmpeg, "-v", "warning", "-xerror", "-err_detect", "explode", "-f", "h264", "-i", file,
		"-f", "rawvideo", "-")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg: %v: %s", err, stderr.String())
	}
	if len(got) != len(want) {
		t.Fatalf("decoded %d bytes, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			size := len(want) / frames
			t.Fatalf("frame %d differs first at sample %d: %d, want %d", i/size, i%size, got[i], want[i])
		}
	}
}

func crop(p *raster.Picture, w, h int) []byte {
	var out []byte
	for y := range h {
		out = append(out, p.Y[y*p.W:][:w]...)
	}
	for _, c := range [][]byte{p.Cb, p.Cr} {
		for y := range h / 2 {
			out = append(out, c[y*p.W/2:][:w/2]...)
		}
	}
	return out
}
