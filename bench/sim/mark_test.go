package sim_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
)

func TestMarkSurvivesSEI(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, codec := range []media.Codec{media.H264, media.H265} {
		for range 1000 {
			want := sim.Mark{
				Frame: r.Uint64() >> r.IntN(64), Camera: r.Uint64() >> r.IntN(64),
				Wall: time.Unix(0, r.Int64()>>r.IntN(63)).UTC(),
			}
			nalu := want.AppendSEI(nil, codec)
			got, ok := sim.ParseSEI(nalu, codec)
			if !ok || got != want {
				t.Fatalf("%s: parsed %+v, %v from %x; want %+v", codec, got, ok, nalu, want)
			}
			for i := range len(nalu) - 2 {
				if nalu[i] == 0 && nalu[i+1] == 0 && nalu[i+2] < 3 {
					t.Fatalf("start code inside %x", nalu)
				}
			}
		}
	}
}

func TestMarkIsFoundAmongOtherMessages(t *testing.T) { // not parallel: it counts allocations
	want := sim.Mark{Frame: 7, Camera: 9, Wall: time.Unix(5, 6).UTC()}
	nalu := want.AppendSEI(nil, media.H264)
	other := append([]byte{6, 1, 2, 0xaa, 0xbb, 5, 0xff, 3}, bytes.Repeat([]byte{0x11}, 258)...)
	got, ok := sim.ParseSEI(append(other, nalu[1:]...), media.H264)
	if !ok || got != want {
		t.Fatalf("parsed %+v, %v; want %+v", got, ok, want)
	}
	if _, ok := sim.ParseSEI(nalu, media.H265); ok {
		t.Error("an H.264 SEI was taken for one of H.265")
	}
	if n := testing.AllocsPerRun(100, func() { sim.ParseSEI(nalu, media.H264) }); n != 0 {
		t.Errorf("ParseSEI allocates %v times", n)
	}
}

func FuzzParseSEI(f *testing.F) {
	mark := sim.Mark{Frame: 44_000_000_000, Camera: sim.CameraHash("cam-1"), Wall: time.Unix(1795446968, 40e6)}
	f.Add(mark.AppendSEI(nil, media.H264), false)
	f.Add(mark.AppendSEI(nil, media.H265), true)
	f.Add([]byte{6, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, b []byte, hevc bool) {
		codec := media.H264
		if hevc {
			codec = media.H265
		}
		m, ok := sim.ParseSEI(b, codec)
		if !ok {
			return
		}
		if again, ok := sim.ParseSEI(m.AppendSEI(nil, codec), codec); !ok || again != m {
			t.Fatalf("%+v came back as %+v, %v", m, again, ok)
		}
	})
}
