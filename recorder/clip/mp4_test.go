package clip_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what ffprobe shows
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"

	"skein/edge/media"
	"skein/recorder/clip"
	"skein/recorder/fmp4/fmp4test"
)

// fetch writes the clip of [from, to) to a file.
func fetch(t testing.TB, url string, from, to time.Time) string {
	t.Helper()
	body, _ := get(t, url+"/v1/clips/cam0.mp4"+span(from, to), http.StatusOK)
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sec(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// checkClip proves that the clip shows exactly the frames [first, last) of the source.
func checkClip(t *testing.T, path string, want []string, seconds float64) {
	t.Helper()
	if w := fmp4test.Warnings(t, path); w != "" {
		t.Errorf("ffprobe: %s", w)
	}
	got := fmp4test.FrameHashes(t, path)
	if len(got) != len(want) {
		t.Fatalf("%d pictures, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("picture %d of %d is not the right one", i, len(want))
		}
	}
	if d := fmp4test.Duration(t, path, "v:0"); math.Abs(d-seconds) > 0.041 {
		t.Errorf("video lasts %v s, want %v", d, seconds)
	}
	if d := fmp4test.Duration(t, path, ""); math.Abs(d-seconds) > 0.041 {
		t.Errorf("file lasts %v s, want %v", d, seconds)
	}
}

func TestClipShowsExactlyTheRange(t *testing.T) {
	t.Parallel()
	cases := map[string]fmp4test.Spec{
		"h264":          {Video: "h264", GOP: 50},
		"h264 b-frames": {Video: "h264", BFrames: 3, GOP: 50},
		"h264 aac":      {Video: "h264", Audio: "aac", GOP: 50},
		"h264 alaw":     {Video: "h264", Audio: "alaw", GOP: 50},
		"h264 opus":     {Video: "h264", Audio: "opus", GOP: 50},
		"h265 b-frames": {Video: "h265", BFrames: 3, GOP: 50},
		"mjpeg ulaw":    {Video: "mjpeg", Audio: "ulaw"},
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec.Seconds = 10
			src := fmp4test.Make(t, spec)
			a := &archive{dir: t.TempDir()}
			a.record(t, src.Desc, src.At(start), 4*time.Second)
			if len(a.recs) < 3 {
				t.Fatalf("%d segments", len(a.recs))
			}
			url := a.serve(t)
			for _, r := range [][2]float64{{0, 10}, {3.3, 9.71}, {4, 8}} {
				t.Run(fmt.Sprint(r), func(t *testing.T) {
					path := fetch(t, url, start.Add(sec(r[0])), start.Add(sec(r[1])))
					first := int(r[0]*25 + 1e-6)
					last := int(math.Ceil(r[1]*25 - 1e-6))
					checkClip(t, path, src.Frames[first:last], r[1]-r[0])
				})
			}
		})
	}
}

func TestClipAcrossGapKeepsTime(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: "alaw", Seconds: 4})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 30*time.Second)
	a.record(t, src.Desc, src.At(start.Add(10*time.Second)), 30*time.Second)
	url := a.serve(t)
	path := fetch(t, url, start.Add(2*time.Second), start.Add(12*time.Second))
	checkClip(t, path, append(append([]string{}, src.Frames[50:]...), src.Frames[:50]...), 10)
	if d := fmp4test.Duration(t, path, "a:0"); math.Abs(d-10) > 0.1 {
		t.Errorf("sound lasts %v s, want 10", d)
	}
	// From within the gap: the clip begins with the first frame after it.
	inside := span(start.Add(6*time.Second), start.Add(12*time.Second))
	body, header := get(t, url+"/v1/clips/cam0.mp4"+inside, http.StatusOK)
	if got, want := header.Get("Skein-Clip-From"), start.Add(10*time.Second).Format(time.RFC3339Nano); got != want {
		t.Errorf("clip begins at %s, want %s", got, want)
	}
	path = filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	checkClip(t, path, src.Frames[:50], 2)
}

func TestClipAcrossParameterChange(t *testing.T) {
	t.Parallel()
	one := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 4})
	two := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 4, BFrames: 2, Hue: 90})
	a := &archive{dir: t.TempDir()}
	a.record(t, one.Desc, one.At(start), 30*time.Second)
	a.record(t, two.Desc, two.At(start.Add(4*time.Second)), 30*time.Second)
	path := fetch(t, a.serve(t), start.Add(2*time.Second), start.Add(6*time.Second))
	checkClip(t, path, append(append([]string{}, one.Frames[50:]...), two.Frames[:50]...), 4)
}

func TestClipAcrossCodecChange(t *testing.T) {
	t.Parallel()
	one := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 4})
	two := fmp4test.Make(t, fmp4test.Spec{Video: "h265", Seconds: 4})
	a := &archive{dir: t.TempDir()}
	a.record(t, one.Desc, one.At(start), 30*time.Second)
	a.record(t, two.Desc, two.At(start.Add(4*time.Second)), 30*time.Second)
	path := fetch(t, a.serve(t), start.Add(2*time.Second), start.Add(6*time.Second))
	if w := fmp4test.Warnings(t, path); w != "" {
		t.Errorf("ffprobe: %s", w)
	}
	if d := fmp4test.Duration(t, path, ""); math.Abs(d-4) > 0.041 {
		t.Errorf("file lasts %v s, want 4", d)
	}
	if got := fmp4test.FrameHashes(t, path); fmt.Sprint(got) != fmt.Sprint(one.Frames[50:]) {
		t.Errorf("first track shows %d pictures, want the last 50 of H.264", len(got))
	}
	out, _ := fmp4test.Run(t, "ffmpeg", "-v", "error", "-i", path, "-map", "0:v:1", "-fps_mode", "passthrough",
		"-f", "framemd5", "-")
	if n := bytes.Count([]byte(out), []byte(two.Frames[0])); n != 1 {
		t.Errorf("second track shows the first H.265 picture %d times", n)
	}
}

func TestOverlapDoublesNothing(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: "aac", Seconds: 10})
	units := src.At(start)
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, cut(units, 0, 6), 30*time.Second)
	a.record(t, src.Desc, cut(units, 4, 10), 30*time.Second) // overlaps by two seconds
	a.record(t, src.Desc, cut(units, 1, 3), 30*time.Second)  // wholly inside the first
	path := fetch(t, a.serve(t), start, start.Add(10*time.Second))
	checkClip(t, path, src.Frames, 10)
	out, _ := fmp4test.Run(t, "ffprobe", "-v", "error", "-select_streams", "a", "-count_packets",
		"-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", path)
	var n int
	if _, err := fmt.Sscan(out, &n); err != nil || n < 467 || n > 471 {
		t.Errorf("%d packets of sound, want about 469", n)
	}
}

func TestG711IsLossless(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "mjpeg", Audio: "alaw", Seconds: 5})
	units := src.At(start)
	var want []byte
	for i, u := range units {
		if u.IsVideo() {
			continue
		}
		if n := len(want) / 320; n >= 150 && n < 200 { // a second of sound is missing
			units[i] = nil
			want = append(want, make([]byte, 320)...)
			continue
		}
		var pcm g711.Alaw
		pcm.Unmarshal(u.NALUs[0])
		for k := 0; k < len(pcm); k += 2 {
			want = append(want, pcm[k+1], pcm[k])
		}
	}
	units = slices.DeleteFunc(units, func(u *media.AccessUnit) bool { return u == nil })
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, units, 2*time.Second)
	path := fetch(t, a.serve(t), start, start.Add(5*time.Second))
	got, _ := fmp4test.Run(t, "ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-f", "s16le", "-")
	if !bytes.Equal([]byte(got), want) {
		t.Errorf("%d bytes of sound, want %d, the same ones", len(got), len(want))
	}
}

// Sound as it was recorded is the same bytes at the same times, with a hole where some is missing.
func TestOriginalSound(t *testing.T) {
	t.Parallel()
	for audio, entry := range map[string]string{
		"alaw": "pcm_alaw", "ulaw": "pcm_mulaw", "aac": "aac", "opus": "opus",
	} {
		t.Run(audio, func(t *testing.T) {
			t.Parallel()
			src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: audio, Seconds: 6})
			units := src.At(start)
			var want []string
			for i, u := range units {
				at := u.Wall.Sub(start)
				switch {
				case u.IsVideo():
				case at > sec(2.9) && at < sec(4.1) || at >= sec(6):
					units[i] = nil
				default:
					sum := md5.Sum(u.NALUs[0]) //nolint:gosec // no secret
					want = append(want, fmt.Sprintf("%.3f %x", at.Seconds(), sum))
				}
			}
			units = slices.DeleteFunc(units, func(u *media.AccessUnit) bool { return u == nil })
			a := &archive{dir: t.TempDir()}
			a.record(t, src.Desc, units, 2*time.Second)
			url := a.serve(t)
			body, header := get(t, url+"/v1/clips/cam0.mp4"+span(start, start.Add(6*time.Second))+"&sound=original", http.StatusOK)
			_, usual := get(t, url+"/v1/clips/cam0.mp4"+span(start, start.Add(6*time.Second)), http.StatusOK)
			if header.Get("Etag") == usual.Get("Etag") {
				t.Error("both clips have one entity tag")
			}
			path := filepath.Join(t.TempDir(), "clip.mp4")
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			checkClip(t, path, src.Frames, 6)
			out, _ := fmp4test.Run(t, "ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-show_data_hash", "md5",
				"-show_entries", "stream=codec_name:packet=pts_time,data_hash", "-of", "default=nw=1:nk=0", path)
			if !strings.Contains(out, "codec_name="+entry+"\n") {
				t.Errorf("not %s", entry)
			}
			var got []string
			var at string
			for line := range strings.Lines(out) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), "pts_time="); ok {
					at = v
				}
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), "data_hash=MD5:"); ok {
					s, err := strconv.ParseFloat(at, 64)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprintf("%.3f %s", s, v))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d packets, want %d:\n%s\n%s", len(got), len(want), got, want)
			}
		})
	}
}

func TestReadingStopsWithTheClient(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "mjpeg", Size: "1280x720", Seconds: 12})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), time.Second)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet,
		"/v1/clips/cam0.mp4"+span(start, start.Add(12*time.Second)), nil)
	ctx, leave := context.WithCancel(t.Context())
	w := &leaver{ResponseRecorder: httptest.NewRecorder(), leave: leave}
	clip.NewHandler(clip.Config{Records: a, Objects: a}).ServeHTTP(w, req.WithContext(ctx))
	opened := a.opens.Load() - int64(len(a.recs)) // one for each index
	if opened > 2 || w.Body.Len() > 200<<10 {
		t.Errorf("%d segments opened, %d bytes sent after the client left", opened, w.Body.Len())
	}
}

// leaver is a client that leaves after 100 kB.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l *leaver) Write(p []byte) (int, error) {
	if l.Body.Len() > 100<<10 {
		l.leave()
	}
	return l.ResponseRecorder.Write(p)
}
