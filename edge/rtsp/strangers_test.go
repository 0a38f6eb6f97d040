package rtsp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/rtsp"
)

// tool finds a program of the distribution; `make test` demands that it is there.
func tool(t *testing.T, path string, check ...string) string {
	t.Helper()
	p, err := exec.LookPath(path)
	if err == nil && len(check) > 0 {
		err = exec.Command(p, check...).Run()
	}
	if err == nil {
		return p
	}
	if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is missing: %v", path, err)
	}
	t.Skipf("%s is missing: %v", path, err)
	return ""
}

// start runs a program until the test ends and returns its standard output.
func start(t *testing.T, name string, args ...string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		if t.Failed() && errs.Len() > 0 {
			t.Logf("%s: %s", name, errs.String())
		}
	})
	return bufio.NewReader(out)
}

const gstVideo = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=25/1 ! "

// gstPipelines of the GStreamer server; the name of each says what it delivers.
func gstPipelines() map[string]string {
	const audio = "audiotestsrc is-live=true ! audioconvert ! audioresample ! "
	x264 := gstVideo + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 bitrate=300 ! rtph264pay name=pay0 pt=96 "
	return map[string]string{
		"h264":      x264 + "config-interval=-1",
		"h264-sdp":  x264 + "config-interval=0",
		"h265-aac":  gstVideo + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph265pay name=pay0 pt=96 " + audio + "avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
		"mjpeg":     gstVideo + "jpegenc ! rtpjpegpay name=pay0 pt=26",
		"h264-pcma": x264 + audio + "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8",
		"h264-latm": x264 + audio + "audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! rtpmp4apay name=pay1 pt=97",
		"h264-opus": x264 + audio + "audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay name=pay1 pt=97",
		"pcmu":      audio + "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay0 pt=0",
		"h264-b":    gstVideo + "x264enc bframes=2 b-adapt=false key-int-max=20 speed-preset=ultrafast ! video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 config-interval=-1",
	}
}

func startGst(t *testing.T) string {
	t.Helper()
	python := tool(t, "/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer")
	args := []string{"testdata/gstserver.py", "--auth", "viewer", "g$t/p@ss"}
	for name, p := range gstPipelines() {
		args = append(args, name+"="+p)
	}
	port, err := start(t, python, args...).ReadString('\n')
	if err != nil {
		t.Fatalf("GStreamer server: %v", err)
	}
	return "rtsp://viewer:g$t/p@ss@127.0.0.1:" + strings.TrimSpace(port) + "/"
}

func TestPullFromGStreamer(t *testing.T) {
	base := startGst(t)
	few := make(chan struct{}, 3) // pipelines encode: not all at once
	for _, c := range []struct {
		path, transport string
		video, audio    media.Codec
		reorders        bool
	}{
		{"h264", "tcp", media.H264, 0, false},
		{"h264", "udp", media.H264, 0, false},
		{"h264-sdp", "auto", media.H264, 0, false},
		{"h265-aac", "tcp", media.H265, media.AAC, false},
		{"h265-aac", "udp", media.H265, media.AAC, false},
		{"mjpeg", "auto", media.MJPEG, 0, false},
		{"h264-pcma", "tcp", media.H264, media.G711A, false},
		{"h264-pcma", "auto-udp", media.H264, media.G711A, false},
		{"h264-latm", "tcp", media.H264, media.AAC, false},
		{"h264-opus", "tcp", media.H264, media.Opus, false},
		{"pcmu", "udp", 0, media.G711U, false},
		{"h264-b", "tcp", media.H264, 0, true},
	} {
		t.Run(c.path+"/"+c.transport, func(t *testing.T) {
			t.Parallel()
			few <- struct{}{}
			defer func() { <-few }()
			var stats rtsp.Stats
			units := pull(t, rtsp.PullConfig{
				URL: base + c.path, Transport: c.transport, Stats: &stats, Timeouts: rtsp.Timeouts{Connect: 30 * time.Second},
			}, collect(pictures(25)))
			checkStranger(t, units, c.video, c.audio, c.reorders)
			// A pipeline that starts or stalls skips packets by itself, so losses are not counted here.
			if s := stats.Snapshot(); s.Malformed != 0 || s.Foreign != 0 {
				t.Errorf("snapshot %+v", s)
			}
		})
	}
}

// checkStranger checks what any correct sender's stream must look like.
func checkStranger(t *testing.T, units []*media.AccessUnit, video, audio media.Codec, reorders bool) {
	t.Helper()
	d := units[len(units)-1].Desc
	keys := 0
	last := map[int]int64{}
	for _, u := range units {
		tr := u.Desc.Tracks[u.Track]
		if u.IsVideo() && u.Key {
			keys++
		}
		if p, ok := last[u.Track]; ok && u.PTS <= p && !tr.BFrames {
			t.Errorf("track %d: PTS %d after %d", u.Track, u.PTS, p)
		}
		last[u.Track] = u.PTS
		if len(u.NALUs) == 0 {
			t.Fatal("an empty unit")
		}
	}
	if i := d.Video(); video != 0 {
		if i < 0 || d.Tracks[i].Codec != video || d.Tracks[i].Width != 160 || d.Tracks[i].Height != 120 {
			t.Fatalf("video track %+v", d.Tracks)
		}
		if d.Tracks[i].BFrames != reorders {
			t.Errorf("BFrames %v, want %v", d.Tracks[i].BFrames, reorders)
		}
		if keys < 1 || !units[0].Key {
			t.Errorf("%d key frames, first %v", keys, units[0].Key)
		}
	}
	if i := d.Audio(); audio != 0 {
		if i < 0 || d.Tracks[i].Codec != audio || d.Tracks[i].ClockRate == 0 || d.Tracks[i].Channels == 0 {
			t.Fatalf("audio track %+v", d.Tracks)
		}
		if audio == media.AAC && len(d.Tracks[i].AACConfig) < 2 {
			t.Errorf("AAC config %x", d.Tracks[i].AACConfig)
		}
	}
}

func TestFFmpegPublishes(t *testing.T) {
	ffmpeg := tool(t, "ffmpeg")
	h := startHub(t, nil)
	h.trust = false
	picture := []string{"-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25"}
	tone := []string{"-f", "lavfi", "-i", "sine=sample_rate=48000"}
	x264 := []string{"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p"}
	x265 := []string{"-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency", "-x265-params", "keyint=10:log-level=none", "-pix_fmt", "yuv420p"}
	for i, c := range []struct {
		transport    string
		args         []string
		video, audio media.Codec
	}{
		{"tcp", x264, media.H264, 0},
		{"udp", x264, media.H264, 0},
		{"tcp", append(x264[:len(x264):len(x264)], "-c:a", "aac"), media.H264, media.AAC},
		{"tcp", append(x265[:len(x265):len(x265)], "-c:a", "libopus", "-ac", "2"), media.H265, media.Opus},
		{"tcp", append(x264[:len(x264):len(x264)], "-c:a", "pcm_alaw", "-ar", "8000"), media.H264, media.G711A},
		{"udp", append(x264[:len(x264):len(x264)], "-c:a", "pcm_mulaw", "-ar", "8000"), media.H264, media.G711U},
	} {
		name := fmt.Sprintf("%d", i)
		t.Run(fmt.Sprintf("%s/%v+%v", c.transport, c.video, c.audio), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-v", "error", "-re"}, picture...)
			if c.audio != 0 {
				args = append(append(args, "-re"), tone...)
			}
			args = append(args, c.args...)
			args = append(args, "-f", "rtsp", "-rtsp_transport", c.transport, "rtsp://u:p%40ss%2Fw0rd@"+h.Addr().String()+"/"+name)
			start(t, ffmpeg, args...)
			c2 := collect(pictures(25))
			s := h.stream(name)
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			r := s.Subscribe(streamAll)
			defer r.Close()
			for {
				u, err := r.Next(ctx)
				if err != nil {
					t.Fatalf("%v after %d units", err, len(c2.all()))
				}
				c2.Publish(u)
				select {
				case <-c2.done:
					checkStranger(t, c2.all(), c.video, c.audio, false)
					return
				default:
				}
			}
		})
	}
}

// TestStrangersPlay lets ffprobe and GStreamer play from our server.
func TestStrangersPlay(t *testing.T) {
	ffprobe := tool(t, "ffprobe")
	gst := tool(t, "gst-launch-1.0")
	h := startHub(t, nil)
	cam := startCamera(t, h)
	for _, transport := range []string{"tcp", "udp"} {
		t.Run("ffprobe/"+transport, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(ffprobe, "-v", "warning", "-rtsp_transport", transport, "-read_intervals", "%+2", "-count_packets",
				"-show_entries", "stream=codec_name,width,nb_read_packets", "-of", "csv=p=0",
				"rtsp://u:p%40ss%2Fw0rd@"+h.Addr().String()+"/"+cam).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "h264,192,") || !strings.Contains(string(out), "pcm_alaw") {
				t.Errorf("%v: %s", err, out)
			}
		})
		t.Run("gstreamer/"+transport, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(gst, "-q", "rtspsrc", "location=rtsp://"+h.Addr().String()+"/"+cam, "user-id=u", "user-pw=p@ss/w0rd",
				"protocols="+transport, "!", "rtph264depay", "!", "identity", "eos-after=30", "!", "avdec_h264", "!", "fakesink").CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
