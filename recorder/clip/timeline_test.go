package clip_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/recorder/clip"
	"skein/recorder/fmp4/fmp4test"
)

// filmed is a simulated camera whose pictures show the time. The archive has them by its own clock, which a case may
// set otherwise than the camera's.
type filmed struct {
	*archive
	reader *sim.Reader
	wall   map[uint64]time.Time // capture time by the archive, of the number drawn into the picture
	units  []sim.Unit
	desc   *media.Description
}

const filmFPS = 15

// frameTime is how long a picture of the films lasts.
const frameTime = time.Second / filmFPS

// film makes a minute of a camera's pictures, but for [from, to), when it hangs.
func film(t *testing.T, from, to int) *filmed {
	t.Helper()
	cam := sim.Camera{ID: camera, Video: sim.Video{Width: 640, Height: 360, FPS: filmFPS, GOP: 2 * filmFPS, Bitrate: 300_000}}
	src, err := sim.NewSource(cam, media.Main, start)
	if err != nil {
		t.Fatal(err)
	}
	f := &filmed{archive: &archive{dir: t.TempDir()}, wall: map[uint64]time.Time{}}
	if f.reader, err = sim.NewReader(cam, media.Main); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 60*filmFPS; i++ {
		if i == from && from < to {
			src.Drop(to - from)
			f.units = append(f.units, make([]sim.Unit, to-from)...)
			i = to
		}
		f.units = append(f.units, src.Next())
	}
	sets := src.ParameterSets()
	f.desc = &media.Description{Tracks: []media.Track{{
		Codec: media.H264, ClockRate: 90000, Width: 640, Height: 360, SPS: sets[0], PPS: sets[1], FPS: filmFPS,
	}}}
	return f
}

// blank returns the same camera with an empty archive.
func (f *filmed) blank(t *testing.T) *filmed {
	t.Helper()
	g := *f
	g.archive, g.wall = &archive{dir: t.TempDir()}, map[uint64]time.Time{}
	return &g
}

// afterHang returns the pictures that follow a hang and are no use without the one before it.
func (f *filmed) afterHang() []uint64 {
	var all []uint64
	hung := false
	for _, u := range f.units {
		hung = !u.Key && (hung || u.NALUs == nil)
		if hung && u.NALUs != nil {
			all = append(all, u.Frame%sim.CounterWrap)
		}
	}
	return all
}

// at is when the archive takes picture n for captured if its clock is right.
func (f *filmed) at(n int) time.Time { return f.units[0].Wall.Add(time.Duration(n) * frameTime) }

// keep records pictures [first, last), by a clock that is step ahead of the camera's.
func (f *filmed) keep(t *testing.T, step time.Duration, ranges ...[2]int) {
	t.Helper()
	var units []*media.AccessUnit
	for _, r := range ranges {
		for _, u := range f.units[r[0]:r[1]] {
			wall := u.Wall.Add(step)
			f.wall[u.Frame%sim.CounterWrap] = wall
			units = append(units, &media.AccessUnit{Desc: f.desc, Key: u.Key, NALUs: u.NALUs, Wall: wall})
		}
	}
	f.record(t, f.desc, units, 8*time.Second)
}

// sight is a picture that a player shows.
type sight struct {
	pts time.Duration
	n   uint64 // number drawn into it
}

var showinfoPTS = regexp.MustCompile(`pts_time:([0-9.]+)`)

// sights decodes a file as a player does.
func (f *filmed) sights(t *testing.T, file string) []sight {
	t.Helper()
	w, h := f.reader.Size()
	out, said := fmp4test.Run(t, "ffmpeg", "-nostdin", "-hide_banner", "-i", file, "-map", "0:v:0", "-vf", "showinfo",
		"-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-pix_fmt", "gray", "-f", "rawvideo", "-")
	var all []sight
	for _, m := range showinfoPTS.FindAllStringSubmatch(said, -1) {
		s, err := strconv.ParseFloat(m[1], 64)
		if err != nil || len(out) < w*h {
			t.Fatalf("pts %s, %d bytes left", m[1], len(out))
		}
		drawn, err := f.reader.Read(&image.Gray{Pix: []byte(out[:w*h]), Stride: w, Rect: image.Rect(0, 0, w, h)})
		if err != nil {
			t.Fatal(err)
		}
		all, out = append(all, sight{sec(s), drawn.Counter}), out[w*h:]
	}
	return all
}

// mp4 returns the pictures of a clip with the times that its timeline gives them.
func (f *filmed) mp4(t *testing.T, url string, from, to time.Time, tl clip.Timeline) map[uint64]time.Time {
	t.Helper()
	body, header := get(t, url+"/v1/clips/cam0.mp4"+span(from, to), http.StatusOK)
	if got := header.Get("Skein-Clip-From"); got != tl.Start.Format(time.RFC3339Nano) {
		t.Errorf("the clip begins at %s, its timeline at %v", got, tl.Start)
	}
	file := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if w := fmp4test.Warnings(t, file); w != "" {
		t.Errorf("ffprobe: %s", w)
	}
	shown := map[uint64]time.Time{}
	for _, s := range f.sights(t, file) {
		at := tl.Start.Add(s.pts)
		shown[s.n] = at
		i := slices.IndexFunc(tl.Spans, func(x clip.TimelineSpan) bool {
			return !at.Before(x.From.Add(-time.Millisecond)) && at.Before(x.To)
		})
		if i < 0 {
			t.Errorf("picture %d at %v is in no span", s.n, at)
		} else if x := tl.Spans[i]; (x.At - s.pts.Seconds() - x.From.Sub(at).Seconds()) > 1e-6 {
			t.Errorf("span %+v does not hold a picture at %v", x, s.pts)
		}
	}
	return shown
}

// hls returns the pictures of a playlist with the times that it gives them: dates and the lengths of parts alone.
func (f *filmed) hls(t *testing.T, url string, from, to time.Time) map[uint64]time.Time {
	t.Helper()
	list, _ := get(t, url+"/v1/clips/cam0.m3u8"+span(from, to), http.StatusOK)
	shown := map[uint64]time.Time{}
	var head []byte
	var at time.Time
	var length time.Duration
	dated := false
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "#EXT-X-DISCONTINUITY":
			dated = false
		case strings.HasPrefix(line, "#EXT-X-MAP:"):
			head, _ = get(t, url+"/v1/clips/"+strings.Split(line, `"`)[1], http.StatusOK)
		case strings.HasPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:"):
			var err error
			if at, err = time.Parse(time.RFC3339Nano, strings.TrimPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:")); err != nil {
				t.Fatal(err)
			}
			dated = true
		case strings.HasPrefix(line, "#EXTINF:"):
			var s float64
			if _, err := fmt.Sscanf(line, "#EXTINF:%f", &s); err != nil {
				t.Fatal(err)
			}
			length = sec(s)
		case !strings.HasPrefix(line, "#") && line != "":
			if !dated {
				t.Errorf("no date before %s", line)
			}
			part, _ := get(t, url+"/v1/clips/"+line, http.StatusOK)
			file := filepath.Join(t.TempDir(), "part.mp4")
			if err := os.WriteFile(file, slices.Concat(head, part), 0o600); err != nil {
				t.Fatal(err)
			}
			all := f.sights(t, file)
			for _, s := range all {
				shown[s.n] = at.Add(s.pts - all[0].pts)
			}
			at = at.Add(length)
		}
	}
	return shown
}

// Each case is a stretch of time in which something is missing. Every picture of the MP4 and of the playlist has the time
// at which the archive says it was captured, whatever gaps are around it; the timeline names all gaps, and nothing else.
func TestEveryPictureHasItsOwnTime(t *testing.T) {
	t.Parallel()
	type gap [2]float64 // seconds from the first picture on
	whole, hanging := film(t, 0, 0), film(t, 100, 175)
	cases := map[string]struct {
		film *filmed // nil: whole
		keep func(t *testing.T, f *filmed)
		from float64
		to   float64
		gaps []gap
	}{
		"no gap, cut between key frames": {
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{0, 900}) },
			from: 5.31, to: 25.77,
		},
		"inner gap": {
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{0, 210}, [2]int{390, 600}) },
			from: 8.5, to: 32.1, gaps: []gap{{14, 26}},
		},
		"leading gap": {
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{150, 450}) },
			from: 2, to: 20, gaps: []gap{{2, 10}},
		},
		"trailing gap": {
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{0, 210}) },
			from: 3.2, to: 40, gaps: []gap{{14, 40}},
		},
		"gaps at both ends and in between": {
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{60, 180}, [2]int{300, 330}, [2]int{540, 600}) },
			from: 0, to: 60, gaps: []gap{{0, 4}, {12, 20}, {22, 36}, {40, 60}},
		},
		"frozen within a group of pictures": {
			film: hanging,
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{0, 100}, [2]int{175, 400}) },
			from: 3, to: 20, gaps: []gap{{100.0 / 15, 175.0 / 15}},
		},
		"begins while the picture is frozen": {
			film: hanging,
			keep: func(t *testing.T, f *filmed) { f.keep(t, 0, [2]int{0, 100}, [2]int{175, 400}) },
			from: 9, to: 20, gaps: []gap{{9, 175.0 / 15}},
		},
		"clock set on by 5 s": {
			keep: func(t *testing.T, f *filmed) {
				f.keep(t, 0, [2]int{0, 150})
				f.keep(t, 5*time.Second, [2]int{150, 300})
			},
			from: 4, to: 22, gaps: []gap{{10, 15}},
		},
		"clock set back by 3 s": {
			keep: func(t *testing.T, f *filmed) {
				f.keep(t, 0, [2]int{0, 150})
				f.keep(t, -3*time.Second, [2]int{150, 300})
			},
			from: 4, to: 16,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := cmp.Or(c.film, whole).blank(t)
			c.keep(t, f)
			url := f.serve(t)
			from, to := f.units[0].Wall.Add(sec(c.from)), f.units[0].Wall.Add(sec(c.to))
			body, _ := get(t, url+"/v1/clips/cam0.json"+span(from, to), http.StatusOK)
			var tl clip.Timeline
			if err := json.Unmarshal(body, &tl); err != nil {
				t.Fatal(err)
			}
			for i, g := range c.gaps {
				if i >= len(tl.Gaps) || tl.Gaps[i].From.Sub(f.units[0].Wall.Add(sec(g[0]))).Abs() > frameTime ||
					tl.Gaps[i].To.Sub(f.units[0].Wall.Add(sec(g[1]))).Abs() > frameTime {
					t.Errorf("gap %d of %v: %+v, want %v", i, f.units[0].Wall, tl.Gaps, g)
				}
			}
			if len(tl.Gaps) != len(c.gaps) {
				t.Errorf("%d gaps, want %d: %+v", len(tl.Gaps), len(c.gaps), tl.Gaps)
			}
			f.proveTimes(t, "MP4", f.mp4(t, url, from, to, tl), from, to)
			shown := f.hls(t, url, from, to)
			for _, u := range f.afterHang() {
				shown[u] = f.wall[u] // decoders of a playlist begin anew after a gap: with the next key frame
			}
			f.proveTimes(t, "HLS", shown, from, to)
		})
	}
}

// proveTimes compares shown times with those at which the pictures were captured, and misses none of the range.
func (f *filmed) proveTimes(t *testing.T, kind string, shown map[uint64]time.Time, from, to time.Time) {
	t.Helper()
	for n, at := range shown {
		if want := f.wall[n]; at.Sub(want).Abs() > 2*time.Millisecond {
			t.Errorf("%s shows picture %d at %v, it was captured at %v", kind, n, at, want)
		}
	}
	covered := func(at time.Time) bool { // by footage recorded later, after the clock was set back
		for n, other := range f.wall {
			if _, ok := shown[n]; ok && other.Sub(at).Abs() < frameTime {
				return true
			}
		}
		return false
	}
	for n, at := range f.wall {
		if _, ok := shown[n]; !ok && !at.Before(from) && at.Before(to) && !covered(at) {
			t.Errorf("%s lacks picture %d of %v", kind, n, at)
		}
	}
}

// A range without any footage has a timeline too: the causes are all that there is to show.
func TestTimelineOfNothing(t *testing.T) {
	t.Parallel()
	f := film(t, 0, 0)
	f.keep(t, 0, [2]int{0, 60})
	from := f.at(600)
	body, _ := get(t, f.serve(t)+"/v1/clips/cam0.json"+span(from, from.Add(time.Minute)), http.StatusOK)
	var tl clip.Timeline
	if err := json.Unmarshal(body, &tl); err != nil {
		t.Fatal(err)
	}
	if len(tl.Spans) != 0 || len(tl.Gaps) != 1 || tl.Gaps[0].Duration() != time.Minute || strings.Contains(string(body), `"start"`) {
		t.Errorf("%s", body)
	}
}

// A thumbnail says when its picture was taken: not the moment asked for, and not that of another picture.
func TestThumbnailTellsItsOwnTime(t *testing.T) {
	t.Parallel()
	f := film(t, 0, 0)
	f.keep(t, 0, [2]int{0, 210}, [2]int{390, 600})
	h, _ := thumbnails(t, f.archive, nil)
	for _, s := range []float64{0.5, 7.9, 13.9, 26.1, 33} {
		asked := f.units[0].Wall.Add(sec(s))
		w := thumbnail(h, asked)
		at, err := time.Parse(time.RFC3339Nano, w.Header().Get("Skein-Frame-Time"))
		if w.Code != http.StatusOK || err != nil {
			t.Fatalf("at %v s: %d %s, %v", s, w.Code, w.Body, err)
		}
		m, err := jpeg.Decode(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		drawn, err := f.reader.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		if want := f.wall[drawn.Counter]; at.Sub(want).Abs() > time.Millisecond || at.After(asked) || asked.Sub(at) > 2*time.Second {
			t.Errorf("asked for %v: told %v, the picture is of %v", asked, at, want)
		}
	}
}
