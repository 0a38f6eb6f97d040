package sim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
)

func start() time.Time { return time.Date(2026, 11, 23, 15, 16, 8, 40e6, time.UTC) }

func newSource(t testing.TB, cam sim.Camera, p media.Profile) *sim.Source {
	t.Helper()
	s, err := sim.NewSource(cam, p, start())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record writes n pictures of a source as a byte stream file and checks their marks.
func record(t *testing.T, s *sim.Source, codec media.Codec, n int) string {
	t.Helper()
	var out []byte
	var last sim.Unit
	for i := range n {
		u := s.Next()
		marks := 0
		for _, nalu := range u.NALUs {
			out = append(append(out, 0, 0, 0, 1), nalu...)
			if m, ok := sim.ParseSEI(nalu, codec); ok {
				marks++
				if m.Frame != u.Frame || !m.Wall.Equal(u.Wall) || m.Camera != sim.CameraHash("cam-1") {
					t.Fatalf("picture %d is marked %+v", u.Frame, m)
				}
			}
		}
		if marks != 1 {
			t.Fatalf("picture %d has %d marks", i, marks)
		}
		if i > 0 && (u.Frame != last.Frame+1 || u.PTS <= last.PTS || !u.Wall.After(last.Wall)) {
			t.Fatalf("picture %d at %s follows %d at %s", u.Frame, u.Wall, last.Frame, last.Wall)
		}
		last = u
	}
	file := filepath.Join(t.TempDir(), "x."+strings.ToLower(codec.String()))
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func demuxer(codec media.Codec) string {
	if codec == media.H265 {
		return "hevc"
	}
	return "h264"
}

// TestFFmpegDecodes proves that an independent decoder finds nothing to complain about in any kind of stream, and what
// it says of their shape.
func TestFFmpegDecodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cam     sim.Camera
		profile media.Profile
		want    string
	}{
		"main":      {sim.Camera{}, media.Main, "1920,1080,25/1"},
		"main h265": {sim.Camera{Video: sim.Video{Codec: media.H265}}, media.Main, "1920,1080,25/1"},
		"sub":       {sim.Camera{Sub: &sim.Video{}}, media.Sub, "640,360,15/1"},
		"sub h265":  {sim.Camera{Sub: &sim.Video{Codec: media.H265}}, media.Sub, "640,360,15/1"},
		"720p": {
			sim.Camera{Video: sim.Video{Width: 1280, Height: 720, Bitrate: 2e6, FPS: 30}}, media.Main, "1280,720,30/1",
		},
		"lies": {sim.Camera{Sub: &sim.Video{FPS: 10, DeclaredFPS: 20, GOP: 300}}, media.Sub, "640,360,20/1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cam.ID, c.cam.Name = "cam-1", "白沙洲街道 路口 1"
			codec := media.H264
			if strings.HasSuffix(name, "h265") {
				codec = media.H265
			}
			file := record(t, newSource(t, c.cam, c.profile), codec, 75)
			quiet(t, "ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-f", demuxer(codec), "-i", file,
				"-f", "null", "-")
			got := quiet(t, "ffprobe", "-v", "warning", "-f", demuxer(codec), "-of", "csv=p=0", "-count_frames",
				"-show_entries", "stream=width,height,r_frame_rate,nb_read_frames", file)
			if s := strings.TrimSpace(string(got)); s != c.want+",75" {
				t.Errorf("ffprobe says %s, want %s,75", s, c.want)
			}
		})
	}
}

// TestSourceIsDeterministic: golden tests rely on equal bytes.
func TestSourceIsDeterministic(t *testing.T) {
	t.Parallel()
	cam := sim.Camera{ID: "cam-1", Name: "一号", Sub: &sim.Video{}}
	a, b := newSource(t, cam, media.Sub), newSource(t, cam, media.Sub)
	for range 40 {
		x, y := a.Next(), b.Next()
		if x.Key != y.Key || !bytes.Equal(bytes.Join(x.NALUs, nil), bytes.Join(y.NALUs, nil)) {
			t.Fatalf("picture %d differs", x.Frame)
		}
	}
	begun, later := newSource(t, cam, media.Sub), start().Add(7*time.Second)
	begun.Next()
	begun.Skip(later)
	there, err := sim.NewSource(cam, media.Sub, later)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		x, y := begun.Next(), there.Next()
		if x.Wall.Before(later) || x.Frame != y.Frame || !bytes.Equal(bytes.Join(x.NALUs, nil), bytes.Join(y.NALUs, nil)) {
			t.Fatalf("picture %d of %v after a skip to %v, want %d", x.Frame, x.Wall, later, y.Frame)
		}
	}
	if a.Next().Frame == 0 || len(a.ParameterSets()) != 2 {
		t.Error("no number or parameter sets")
	}
}

// TestBitrate holds the coder to what it is asked for, once there is room beside the text.
func TestBitrate(t *testing.T) {
	t.Parallel()
	for _, codec := range []media.Codec{media.H264, media.H265} {
		const want = 4_000_000
		s := newSource(t, sim.Camera{ID: "cam-1", Video: sim.Video{Codec: codec, Bitrate: want}}, media.Main)
		size, keys := 0, 0
		for range 200 {
			u := s.Next()
			for _, n := range u.NALUs {
				size += len(n)
			}
			if u.Key {
				keys++
			}
		}
		if got := size * 8 / 8; got < want*9/10 || got > want*11/10 || keys != 4 {
			t.Errorf("%s: %d bit/s and %d key frames in 8 s, want %d and 4", codec, got, keys, want)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for name, c := range map[string]struct {
		cam     sim.Camera
		profile media.Profile
	}{
		"main-h264": {sim.Camera{ID: "cam-1"}, media.Main},
		"main-h265": {sim.Camera{ID: "cam-1", Video: sim.Video{Codec: media.H265}}, media.Main},
		"sub-h264":  {sim.Camera{ID: "cam-1", Sub: &sim.Video{}}, media.Sub},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSource(b, c.cam, c.profile)
			b.ReportAllocs()
			for b.Loop() {
				s.Next()
			}
		})
	}
}
