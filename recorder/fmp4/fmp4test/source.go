// Package fmp4test makes access units with ffmpeg and looks at MP4 files with ffprobe, for the tests of the packages
// that write and read segments.
package fmp4test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"skein/edge/media"
)

// Spec is what Make produces.
type Spec struct {
	Video   string // "h264", "h265", "mjpeg" or ""
	Audio   string // "aac", "opus", "alaw", "ulaw" or ""
	Seconds int
	FPS     int // 25 if 0
	GOP     int // frames, FPS if 0
	BFrames int
	Size    string // 320x180 if empty
	Hue     int    // turns the colours, so that streams differ
	Encoder string // more parameters of x264 or x265, such as "open-gop=1:slices=4"
}

// Source is an encoded stream cut into access units, in decoding order, without wall times.
type Source struct {
	Spec  Spec
	Desc  *media.Description
	Units []*media.AccessUnit // video and audio interleaved; Wall is the offset from the zero time
	// Frames is the MD5 of every decoded picture, in presentation order.
	Frames []string
}

// Need returns the path of a tool; without it the test fails if SKEIN_REQUIRE_TOOLS is 1, else is skipped.
func Need(t testing.TB, tool string) string {
	t.Helper()
	p, err := exec.LookPath(tool)
	if err == nil {
		return p
	}
	if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is needed: %v", tool, err)
	}
	t.Skipf("%s is not installed", tool)
	return ""
}

// Run runs a tool and returns its standard output and standard error; a failure fails the test.
func Run(t testing.TB, tool string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Need(t, tool), args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, e.String())
	}
	return o.String(), e.String()
}

// Make encodes a test picture and a tone.
func Make(t testing.TB, s Spec) *Source {
	t.Helper()
	if s.FPS == 0 {
		s.FPS = 25
	}
	if s.GOP == 0 {
		s.GOP = s.FPS
	}
	if s.Size == "" {
		s.Size = "320x180"
	}
	src := &Source{Spec: s, Desc: &media.Description{}}
	dir := t.TempDir()
	var video, audio []*media.AccessUnit
	if s.Video != "" {
		video = src.video(t, dir)
	}
	if s.Audio != "" {
		audio = src.audio(t, dir)
	}
	for len(video)+len(audio) > 0 {
		from := &video
		if len(video) == 0 || len(audio) > 0 && audio[0].Wall.Before(video[0].Wall) {
			from = &audio
		}
		src.Units = append(src.Units, (*from)[0])
		*from = (*from)[1:]
	}
	for i, u := range src.Units {
		u.Seq, u.Desc = uint64(i+1), src.Desc
	}
	return src
}

// At returns the units with wall times from start on.
func (s *Source) At(start time.Time) []*media.AccessUnit {
	all := make([]*media.AccessUnit, len(s.Units))
	for i, u := range s.Units {
		c := *u
		c.Wall = start.Add(u.Wall.Sub(time.Time{}))
		c.Arrival = c.Wall
		all[i] = &c
	}
	return all
}

func (s *Source) video(t testing.TB, dir string) []*media.AccessUnit {
	t.Helper()
	mp4 := filepath.Join(dir, "v.mp4")
	args := []string{
		"-v", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc2=s=%s:r=%d:d=%d,hue=h=%d", s.Spec.Size, s.Spec.FPS, s.Spec.Seconds, s.Spec.Hue),
		"-pix_fmt", "yuv420p", "-g", strconv.Itoa(s.Spec.GOP), "-bf", strconv.Itoa(s.Spec.BFrames), "-threads", "2",
	}
	raw, format, filter := filepath.Join(dir, "v.raw"), "h264", "h264_mp4toannexb,h264_metadata=aud=insert"
	track := media.Track{Codec: media.H264, ClockRate: 90000, FPS: float64(s.Spec.FPS), BFrames: s.Spec.BFrames > 0}
	switch s.Spec.Video {
	case "h264":
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", "-x264-params",
			fmt.Sprintf("min-keyint=%d:%s", s.Spec.GOP, s.Spec.Encoder))
	case "h265":
		track.Codec, format, filter = media.H265, "hevc", "hevc_mp4toannexb,hevc_metadata=aud=insert"
		args = append(args, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
			fmt.Sprintf("log-level=error:scenecut=0:keyint=%d:bframes=%d:%s", s.Spec.GOP, s.Spec.BFrames, s.Spec.Encoder))
	case "mjpeg":
		track.Codec, format, filter = media.MJPEG, "mjpeg", "null"
		args = append(args, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "8")
	}
	Run(t, "ffmpeg", append(args, "-y", mp4)...)
	Run(t, "ffmpeg", "-v", "error", "-i", mp4, "-c", "copy", "-bsf:v", filter, "-f", format, "-y", raw)
	s.Frames = FrameHashes(t, mp4)
	out, _ := Run(t, "ffprobe", "-v", "error", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", mp4)
	data, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	groups := split(track.Codec, data)
	lines := strings.Fields(strings.TrimSpace(out))
	if len(lines) != len(groups) {
		t.Fatalf("%d packets, %d access units", len(lines), len(groups))
	}
	var all []*media.AccessUnit
	for i, l := range lines {
		f := strings.Split(l, ",")
		sec, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		n := int(sec*float64(s.Spec.FPS) + 0.5)
		all = append(all, &media.AccessUnit{
			Track: 0, PTS: int64(n) * 90000 / int64(s.Spec.FPS), NALUs: groups[i], Key: strings.HasPrefix(f[1], "K"),
			Wall: time.Time{}.Add(time.Duration(n) * time.Second / time.Duration(s.Spec.FPS)),
		})
	}
	track.VPS, track.SPS, track.PPS = sets(track.Codec, groups[0])
	s.Desc.Tracks = append(s.Desc.Tracks, track)
	return all
}

// split cuts an elementary stream into access units at the delimiters, which it drops.
func split(c media.Codec, data []byte) [][][]byte {
	var groups [][][]byte
	if c == media.MJPEG {
		for _, p := range bytes.SplitAfter(data, []byte{0xff, 0xd9}) {
			if len(p) > 2 {
				groups = append(groups, [][]byte{p})
			}
		}
		return groups
	}
	for _, p := range bytes.Split(data, []byte{0, 0, 1}) {
		n := bytes.TrimRight(p, "\x00")
		if len(n) == 0 {
			continue
		}
		if c == media.H264 && n[0]&0x1f == 9 || c == media.H265 && n[0]>>1&0x3f == 35 {
			groups = append(groups, nil)
			continue
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], n)
	}
	return groups
}

func sets(c media.Codec, nalus [][]byte) (vps, sps, pps []byte) {
	for _, n := range nalus {
		switch {
		case c == media.H264 && h264.NALUType(n[0]&0x1f) == h264.NALUTypeSPS, c == media.H265 && n[0]>>1&0x3f == 33:
			sps = n
		case c == media.H264 && h264.NALUType(n[0]&0x1f) == h264.NALUTypePPS, c == media.H265 && n[0]>>1&0x3f == 34:
			pps = n
		case c == media.H265 && n[0]>>1&0x3f == 32:
			vps = n
		}
	}
	return vps, sps, pps
}

func (s *Source) audio(t testing.TB, dir string) []*media.AccessUnit {
	t.Helper()
	tone := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("sine=440:r=48000:d=%d", s.Spec.Seconds)}
	raw := filepath.Join(dir, "a.raw")
	track := media.Track{ClockRate: 48000, Channels: 1}
	var frames [][]byte
	per := time.Second / 50
	switch s.Spec.Audio {
	case "aac":
		track.Codec = media.AAC
		track.AACConfig, _ = mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelCount: 1, ChannelConfig: 1,
		}.Marshal()
		Run(t, "ffmpeg", append(tone, "-c:a", "aac", "-b:a", "64k", "-f", "adts", "-y", raw)...)
		var pkts mpeg4audio.ADTSPackets
		if err := pkts.Unmarshal(read(t, raw)); err != nil {
			t.Fatal(err)
		}
		for _, p := range pkts {
			frames = append(frames, p.AU)
		}
		per = 1024 * time.Second / 48000
	case "alaw", "ulaw":
		track.Codec, track.ClockRate = media.G711A, 8000
		if s.Spec.Audio == "ulaw" {
			track.Codec = media.G711U
		}
		name := strings.Replace(s.Spec.Audio, "ulaw", "mulaw", 1)
		Run(t, "ffmpeg", append(tone, "-ar", "8000", "-f", name, "-c:a", "pcm_"+name, "-y", raw)...)
		for data := read(t, raw); len(data) >= 160; data = data[160:] {
			frames = append(frames, data[:160])
		}
	case "opus":
		track.Codec = media.Opus
		for range s.Spec.Seconds * 50 {
			frames = append(frames, []byte{0xf8, 0xff, 0xfe}) // 20 ms of silence
		}
	}
	at := len(s.Desc.Tracks)
	s.Desc.Tracks = append(s.Desc.Tracks, track)
	var all []*media.AccessUnit
	for i, f := range frames {
		all = append(all, &media.AccessUnit{
			Track: at, NALUs: [][]byte{f}, Wall: time.Time{}.Add(time.Duration(i) * per),
			PTS: int64(time.Duration(i) * per * time.Duration(track.ClockRate) / time.Second),
		})
	}
	return all
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
