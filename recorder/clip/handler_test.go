package clip_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/recorder/clip"
	"skein/recorder/fmp4/fmp4test"
	"skein/recorder/segment"
)

func TestByteRangesAddUp(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: "alaw", Seconds: 8})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 3*time.Second)
	url := a.serve(t) + "/v1/clips/cam0.mp4" + span(start.Add(sec(1.5)), start.Add(sec(7.2)))
	whole, header := get(t, url, http.StatusOK)
	if header.Get("Accept-Ranges") != "bytes" || header.Get("Etag") == "" || header.Get("Content-Type") != "video/mp4" {
		t.Errorf("header %v", header)
	}
	if d := header.Get("Content-Disposition"); !strings.HasPrefix(d, `inline; filename="cam0_20261103T0759`) {
		t.Errorf("disposition %s", d)
	}
	for _, r := range []string{"bytes=0-99", "bytes=3000-", "bytes=20000-20001", "bytes=-77", "bytes=101-40000"} {
		part, h := get(t, url, http.StatusPartialContent, "Range", r)
		at := strings.TrimPrefix(h.Get("Content-Range"), "bytes ")
		from, _, _ := strings.Cut(at, "-")
		n := 0
		for _, c := range from {
			n = n*10 + int(c-'0')
		}
		if n+len(part) > len(whole) || !bytes.Equal(part, whole[n:n+len(part)]) {
			t.Errorf("%s: %d bytes at %d differ from the whole", r, len(part), n)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(whole)) {
		t.Errorf("HEAD: %d, length %d, want %d", resp.StatusCode, resp.ContentLength, len(whole))
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 2})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 30*time.Second)
	url := a.serve(t)
	at := start.Add(time.Hour)
	cases := map[string]struct {
		path   string
		status int
		detail string
	}{
		"no footage": {"/v1/clips/cam0.mp4" + span(at, at.Add(time.Minute)), 404, "ends at 2026-11-03T08:00:00.1"},
		"before footage": {"/v1/clips/cam0.m3u8" + span(start.Add(-time.Hour), start.Add(-time.Minute)), 404,
			"begins at 2026-11-03T07:59:58.123Z"},
		"unknown camera":  {"/v1/clips/cam9.mp4" + span(start, at), 404, "none within a day"},
		"reversed":        {"/v1/clips/cam0.mp4" + span(at, start), 400, "from is not before to"},
		"too long":        {"/v1/clips/cam0.mp4" + span(start, start.Add(25*time.Hour)), 400, "at most 24h"},
		"other sound":     {"/v1/clips/cam0.mp4" + span(start, at) + "&sound=loud", 400, "sound=original"},
		"no times":        {"/v1/clips/cam0.mp4", 400, "RFC 3339"},
		"other form":      {"/v1/clips/cam0.avi" + span(start, at), 404, ".m3u8"},
		"unknown segment": {"/v1/clips/cam0/hls/1-2-3-000000000000/init.mp4", 404, "playlist"},
		"bad segment":     {"/v1/clips/cam0/hls/x/0-1.m4s", 404, "playlist"},
		"no cameras":      {"/v1/coverage" + span(start, at), 400, "camera"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			body, header := get(t, url+c.path, c.status)
			var p struct {
				Status        int
				Title, Detail string
			}
			if err := json.Unmarshal(body, &p); err != nil || header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%s: %v", body, err)
			}
			if p.Status != c.status || !strings.Contains(p.Detail, c.detail) || p.Title == "" {
				t.Errorf("got %+v, want %q", p, c.detail)
			}
		})
	}
	a.broken.Store(true)
	get(t, a.serve(t)+"/v1/clips/cam0.mp4"+span(start, at), http.StatusServiceUnavailable)
}

func TestCoverageAddsUp(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 2})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 30*time.Second)
	a.record(t, src.Desc, src.At(start.Add(5*time.Second)), 30*time.Second)
	a.recs[1].Gap = segment.CauseNetwork
	query := span(start, start.Add(10*time.Second)) + "&camera=cam0&camera=cam1"
	body, _ := get(t, a.serve(t)+"/v1/coverage"+query, http.StatusOK)
	var got struct {
		segment.Range
		Cameras []clip.Coverage
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Cameras) != 2 || len(got.Cameras[0].Spans) != 2 || len(got.Cameras[0].Gaps) != 2 ||
		got.Cameras[0].Gaps[0].Cause != segment.CauseNetwork || len(got.Cameras[1].Spans) != 0 {
		t.Fatalf("%s", body)
	}
	var sum time.Duration
	for _, s := range got.Cameras[0].Spans {
		sum += s.Duration()
	}
	for _, g := range got.Cameras[0].Gaps {
		sum += g.Duration()
	}
	if sum != 10*time.Second {
		t.Errorf("spans and gaps last %v", sum)
	}
}

// A range that ends within a gap names its cause: the segment behind the range knows it.
func TestCoverageThatEndsWithinAGap(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 2})
	a := &archive{dir: t.TempDir()}
	a.record(t, src.Desc, src.At(start), 30*time.Second)
	a.record(t, src.Desc, src.At(start.Add(time.Hour)), 30*time.Second)
	a.recs[1].Gap = segment.CauseNetwork
	for name, c := range map[string]struct {
		from, to time.Duration
		want     segment.Cause
	}{
		"ends within":    {0, 10 * time.Minute, segment.CauseNetwork},
		"lies within":    {10 * time.Minute, 20 * time.Minute, segment.CauseNetwork},
		"nothing behind": {time.Hour, 2 * time.Hour, segment.CauseUnknown},
	} {
		body, _ := get(t, a.serve(t)+"/v1/coverage"+span(start.Add(c.from), start.Add(c.to))+"&camera=cam0", http.StatusOK)
		var got struct{ Cameras []clip.Coverage }
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		gaps := got.Cameras[0].Gaps
		if n := len(gaps); n == 0 || gaps[n-1].Cause != c.want {
			t.Errorf("%s: %+v, want the last to be %s", name, gaps, c.want)
		}
	}
}

func TestPlaylistPlays(t *testing.T) {
	t.Parallel()
	cases := map[string]fmp4test.Spec{
		"h264 alaw":  {Video: "h264", Audio: "alaw"},
		"h264 aac b": {Video: "h264", Audio: "aac", BFrames: 3, GOP: 50},
		"h265 opus":  {Video: "h265", Audio: "opus"},
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec.Seconds = 11
			src := fmp4test.Make(t, spec)
			a := &archive{dir: t.TempDir()}
			a.record(t, src.Desc, src.At(start), 5*time.Second)
			url := a.serve(t) + "/v1/clips/cam0.m3u8" + span(start, start.Add(11*time.Second)) + "&retrieval=r1"
			text, _ := get(t, url, http.StatusOK)
			if n := strings.Count(string(text), "retrieval=r1"); n < 3 || strings.Contains(string(text), "DISCONTINUITY") {
				t.Errorf("playlist:\n%s", text)
			}
			if got := fmp4test.FrameHashes(t, url); strings.Join(got, " ") != strings.Join(src.Frames, " ") {
				t.Errorf("%d pictures, want %d, the same ones\n%s", len(got), len(src.Frames), text)
			}
		})
	}
}

func TestPlaylistMarksGapsAndChanges(t *testing.T) {
	t.Parallel()
	one := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: "ulaw", Seconds: 6})
	two := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 4, Size: "160x90"})
	a := &archive{dir: t.TempDir()}
	a.record(t, one.Desc, one.At(start), 30*time.Second)
	a.record(t, one.Desc, one.At(start.Add(10*time.Second)), 30*time.Second)
	a.record(t, two.Desc, two.At(start.Add(16*time.Second)), 30*time.Second)
	url := a.serve(t)
	text, _ := get(t, url+"/v1/clips/cam0.m3u8"+span(start.Add(time.Second), start.Add(20*time.Second)), http.StatusOK)
	for want, n := range map[string]int{
		"#EXT-X-DISCONTINUITY\n": 2, "#EXT-X-MAP:": 2, "#EXT-X-PROGRAM-DATE-TIME:": 3, "#EXT-X-ENDLIST": 1,
		"#EXT-X-START:TIME-OFFSET=1.000,PRECISE=YES": 1, "#EXT-X-PROGRAM-DATE-TIME:2026-11-03T08:00:08.123Z": 1,
	} {
		if got := strings.Count(string(text), want); got != n {
			t.Errorf("%q: %d times, want %d\n%s", want, got, n, text)
		}
	}
	// Every part alone, with its initialisation, is a file without fault.
	var head []byte
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m, ok := strings.CutPrefix(line, `#EXT-X-MAP:URI="`); ok {
			head, _ = get(t, url+"/v1/clips/"+strings.TrimSuffix(m, `"`), http.StatusOK)
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		body, _ := get(t, url+"/v1/clips/"+line, http.StatusOK)
		path := filepath.Join(t.TempDir(), "part.mp4")
		if err := os.WriteFile(path, append(bytes.Clone(head), body...), 0o600); err != nil {
			t.Fatal(err)
		}
		if w := fmp4test.Warnings(t, path); w != "" {
			t.Errorf("%s: %s", line, w)
		}
	}
}
