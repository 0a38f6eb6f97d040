package clip_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"skein/edge/media"
	"skein/recorder/clip"
)

// FuzzRequest sends any address to the handler: it must answer, and never read outside of a segment.
func FuzzRequest(f *testing.F) {
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.MJPEG, ClockRate: 90000, Width: 16, Height: 16, FPS: 5},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	var units []*media.AccessUnit
	for i := range 20 {
		at := start.Add(time.Duration(i) * 200 * time.Millisecond)
		units = append(units,
			&media.AccessUnit{Desc: desc, Wall: at, Key: true, NALUs: [][]byte{{0xff, 0xd8, byte(i)}}},
			&media.AccessUnit{Desc: desc, Track: 1, Wall: at, NALUs: [][]byte{make([]byte, 1600)}})
	}
	a := &archive{dir: f.TempDir()}
	a.record(f, desc, units, 2*time.Second)
	h := clip.NewHandler(clip.Config{Records: a, Objects: a})
	for _, name := range []string{"init.mp4", "0-1.m4s", "1-0.m4s", "0-99.m4s"} {
		f.Add("cam0", "1793692798123-2000-1-000000000000", name, "1793692798123", "1793692799000")
	}
	f.Fuzz(func(t *testing.T, cam, segment, part, t0, until string) {
		q := url.Values{"t0": {t0}, "until": {until}}
		path := "/v1/clips/" + url.PathEscape(cam) + "/hls/" + url.PathEscape(segment) + "/" + url.PathEscape(part)
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		u, err := url.Parse(path + "?" + q.Encode())
		if err != nil {
			return
		}
		req.URL = u
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError || w.Code == http.StatusServiceUnavailable {
			t.Fatalf("%s: status %d", u, w.Code)
		}
	})
}
