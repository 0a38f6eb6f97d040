package sim_test

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
)

// What a picture shows can be read after it was decoded, made smaller and compressed anew.
func TestReaderReadsWhatIsDrawn(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	for name, c := range map[string]struct {
		video sim.Video
		scale string
	}{
		"as it is":   {sim.Video{Width: 640, Height: 360, FPS: 15}, "640:360"},
		"half size":  {sim.Video{Width: 640, Height: 360, FPS: 15}, "320:180"},
		"H.265":      {sim.Video{Codec: media.H265, Width: 1280, Height: 720}, "1280:720"},
		"large text": {sim.Video{Width: 1920, Height: 1080}, "960:540"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := sim.Camera{ID: "cam-1", Name: "雁峰 A1", Video: c.video}
			src, err := sim.NewSource(cam, media.Main, time.Date(2026, 11, 30, 17, 47, 39, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			reader, err := sim.NewReader(cam, media.Main)
			if err != nil {
				t.Fatal(err)
			}
			format := map[media.Codec]string{0: "h264", media.H265: "hevc"}[c.video.Codec]
			var stream []byte
			var want []sim.Unit
			for range 12 {
				u := src.Next()
				want = append(want, u)
				for _, nalu := range u.NALUs {
					stream = append(append(stream, 0, 0, 0, 1), nalu...)
				}
			}
			dir := t.TempDir()
			in := filepath.Join(dir, "in")
			if err := os.WriteFile(in, stream, 0o600); err != nil {
				t.Fatal(err)
			}
			quiet(t, "ffmpeg", "-v", "error", "-f", format, "-i", in, "-vf", "scale="+c.scale, "-q:v", "4",
				filepath.Join(dir, "%02d.jpg"))
			files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
			if err != nil || len(files) != len(want) {
				t.Fatalf("%d pictures, %v", len(files), err)
			}
			for i, file := range files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				m, err := jpeg.Decode(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				got, err := reader.Read(m)
				if err != nil || !got.Wall.Equal(want[i].Wall.Truncate(time.Millisecond)) || got.Counter != want[i].Frame%sim.CounterWrap {
					t.Errorf("picture %d shows %+v, %v; want %v and %d", i, got, err, want[i].Wall, want[i].Frame)
				}
			}
		})
	}
}
