package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"skein/edge/media"
)

// exactClips compares clips of 20 s from random moments with the whole recording.
func (n *node) exactClips(t *testing.T, id string, began, end time.Time) {
	whole := n.fetch(t, id, began, end)
	all := whole.shown()
	if h := holes(numbers(all)); len(h) > 0 || len(all) < int(end.Sub(began)/frameTime) {
		t.Fatalf("the recording has %d frames and holes %v", len(all), h)
	}
	late := whole.punctual(t, all)
	for range 3 {
		from := began.Add(rand.N(end.Sub(began) - 20*time.Second)).Truncate(time.Millisecond).Add(500 * time.Microsecond)
		to := from.Add(20 * time.Second)
		var want []frame
		for i, f := range all {
			if i+1 < len(all) && whole.wall(all[i+1]).After(from) && whole.wall(f).Before(to) {
				want = append(want, f)
			}
		}
		c := n.fetch(t, id, from, to)
		got := c.shown()
		if !slices.Equal(numbers(got), numbers(want)) {
			t.Errorf("clip from %v: %d frames %v, want %d %v", from, len(got), ends(got), len(want), ends(want))
		}
		if h := holes(numbers(c.frames)); len(h) > 0 {
			t.Errorf("clip from %v: holes %v in what is stored", from, h)
		}
		p := probe(t, c.file)
		if off := p.duration() - 20*time.Second; off.Abs() > frameTime || (c.duration-20*time.Second).Abs() > frameTime {
			t.Errorf("clip from %v: ffprobe says %v, the header %v, want 20 s", from, p.duration(), c.duration)
		}
		n.sameByHLS(t, id, from, to, c)
	}
	decode(t, "-i", whole.file)
	t.Logf("%d frames in %v, at most %v late", len(all), whole.duration.Round(time.Millisecond), late)
}

// settling is how long the edge takes at most to put right the wall time of a session whose first pictures came late.
const settling = 4 * time.Second

// punctual proves that the archive shows frames of one session at the times at which they were captured. The edge dates a
// session by its first frames, which a busy machine may deliver late, until others come in time. It returns the most that
// a frame is late.
func (c recorded) punctual(t *testing.T, frames []frame) (most time.Duration) {
	t.Helper()
	for _, f := range frames {
		slack := 5 * frameTime
		if f.Wall.Sub(frames[0].Wall) < settling {
			slack = wallSlack
		}
		late := c.wall(f).Sub(f.Wall)
		if late < -frameTime/4 || late > slack {
			t.Fatalf("frame %d was captured at %v, the archive says %v", f.Frame, f.Wall, c.wall(f))
		}
		most = max(most, late)
	}
	return most
}

func ends(f []frame) string {
	if len(f) == 0 {
		return "[]"
	}
	return fmt.Sprintf("[%d … %d]", f[0].Frame, f[len(f)-1].Frame)
}

// sameByHLS proves that the playlist of a range holds the clip's frames and says where they begin.
func (n *node) sameByHLS(t *testing.T, id string, from, to time.Time, c recorded) {
	t.Helper()
	l := n.playlist(t, id, from, to)
	have := numbers(l.frames)
	want := numbers(c.shown())
	i := slices.Index(have, want[0])
	if i < 0 || len(have) < i+len(want) || !slices.Equal(have[i:i+len(want)], want) {
		t.Errorf("HLS from %v holds %s, want %s", from, ends(l.frames), ends(c.shown()))
	}
	if off := l.starts.Sub(from); off.Abs() > time.Millisecond {
		t.Errorf("HLS from %v starts playing at %v", from, l.starts)
	}
	codec := c.frames[0].codec
	filter := map[media.Codec]string{media.H264: "h264_mp4toannexb", media.H265: "hevc_mp4toannexb"}[codec]
	file := filepath.Join(t.TempDir(), "hls")
	_, errs, err := command(t, tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-headers",
		"Authorization: Bearer "+testToken+"\r\n", "-i", "http://"+n.http+"/v1/clips/"+id+".m3u8?"+rangeQuery(from, to),
		"-map", "0:v:0", "-c", "copy", "-copytb", "1", "-bsf:v", filter, "-f", "data", file) // in ticks, not in frames
	if err != nil || errs != "" {
		t.Errorf("ffmpeg reads HLS: %v: %s", err, errs)
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := parseAnnexB(data, codec); !slices.Equal(got, have) {
		t.Errorf("ffmpeg finds %d frames in the playlist, want %d; holes %v", len(got), len(have), holes(got))
	}
}
