package clip_test

import (
	"bytes"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skein/recorder/clip"
	"skein/recorder/fmp4/fmp4test"
)

// thumbnails serves thumbnails of the archive; calls returns how often the program was run.
func thumbnails(t *testing.T, a *archive, change func(*clip.ThumbnailConfig)) (h http.Handler, calls func() int) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "decode")
	script := "#!/bin/sh\necho x >>" + filepath.Join(dir, "calls") + "\nexec ffmpeg \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c := clip.ThumbnailConfig{Dir: filepath.Join(dir, "pictures"), FFmpeg: program}
	if change != nil {
		change(&c)
	}
	return clip.NewHandler(clip.Config{Records: a, Objects: a}).NewThumbnails(c), func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return bytes.Count(b, []byte("\n"))
	}
}

func thumbnail(h http.Handler, at time.Time) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	q := url.Values{"at": {at.Format(time.RFC3339Nano)}}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/thumbnails/cam0.jpg?"+q.Encode(), nil))
	return w
}

// Every codec's key frame becomes a JPEG of 320 pixels' width; one program run a key frame, however many ask.
func TestThumbnail(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"h264", "h265"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			src := fmp4test.Make(t, fmp4test.Spec{Video: codec, Audio: "alaw", Seconds: 6})
			a := &archive{dir: t.TempDir()}
			a.record(t, src.Desc, src.At(start), 3*time.Second)
			h, calls := thumbnails(t, a, nil)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					w := thumbnail(h, start.Add(sec(4.9)))
					if w.Code != http.StatusOK {
						t.Errorf("%d %s", w.Code, w.Body)
						return
					}
					c, err := jpeg.DecodeConfig(w.Body)
					if err != nil || c.Width > 320 || c.Width < 100 {
						t.Errorf("%v, %v", c, err)
					}
					at, err := time.Parse(time.RFC3339Nano, w.Header().Get("Skein-Frame-Time"))
					if err != nil || at.After(start.Add(sec(4.9))) || at.Before(start) {
						t.Errorf("frame of %v, %v", at, err)
					}
				})
			}
			wg.Wait()
			if n := calls(); n != 1 {
				t.Errorf("decoded %d times", n)
			}
			if w := thumbnail(h, start.Add(time.Hour)); w.Code != http.StatusNotFound {
				t.Errorf("without footage: %d", w.Code)
			}
		})
	}
}

// Pictures on disk are bounded, survive a restart, and one that is damaged is made again.
func TestThumbnailsAreKept(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 6})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 2*time.Second)
	dir := t.TempDir()
	h, _ := thumbnails(t, a, func(c *clip.ThumbnailConfig) { c.Dir = dir })
	size := thumbnail(h, start.Add(sec(0.5))).Body.Len()
	again, calls := thumbnails(t, a, func(c *clip.ThumbnailConfig) { c.Dir, c.MaxBytes = dir, int64(size)*3/2 })
	if w := thumbnail(again, start.Add(sec(0.5))); w.Code != http.StatusOK || calls() != 0 {
		t.Errorf("after a restart: %d, %d runs", w.Code, calls())
	}
	if w := thumbnail(again, start.Add(sec(5.5))); w.Code != http.StatusOK || calls() != 1 {
		t.Errorf("another: %d, %d runs", w.Code, calls())
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("kept %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w := thumbnail(again, start.Add(sec(5.5))); w.Code != http.StatusOK || w.Body.Len() < 100 || calls() != 2 {
		t.Errorf("damaged: %d, %d bytes, %d runs", w.Code, w.Body.Len(), calls())
	}
}

func TestThumbnailProblems(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 2})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 2*time.Second)
	none, _ := thumbnails(t, a, func(c *clip.ThumbnailConfig) { c.FFmpeg = filepath.Join(t.TempDir(), "absent") })
	if w := thumbnail(none, start); w.Code != http.StatusNotImplemented || !bytes.Contains(w.Body.Bytes(), []byte("ffmpeg")) {
		t.Errorf("without ffmpeg: %d %s", w.Code, w.Body)
	}
	fails, _ := thumbnails(t, a, func(c *clip.ThumbnailConfig) { c.FFmpeg = "false" })
	if w := thumbnail(fails, start.Add(sec(1))); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("undecodable: %d %s", w.Code, w.Body)
	}
	h, _ := thumbnails(t, a, nil)
	a.broken.Store(true)
	if w := thumbnail(h, start.Add(sec(1))); w.Code != http.StatusServiceUnavailable {
		t.Errorf("store down: %d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/thumbnails/cam0.jpg?at=now", nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("bad time: %d", w.Code)
	}
}
