package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
)

// What GStreamer's RTSP server delivers, by path.
const (
	gstVideo = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! "
	gstAudio = "audiotestsrc is-live=true ! audioconvert ! audioresample ! "
	gstH264  = "h264=" + gstVideo + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 ! " +
		"rtph264pay name=pay0 pt=96 config-interval=-1 " +
		gstAudio + "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
	gstH265 = "h265=" + gstVideo + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! " +
		"rtph265pay name=pay0 pt=96 " + gstAudio + "avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97"
)

// startGStreamer runs GStreamer's RTSP server and returns its host:port. It asks for digest credentials.
func startGStreamer(t *testing.T) string {
	t.Helper()
	python := tool(t, "/usr/bin/python3", "-c",
		"import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer")
	cmd := exec.Command(python, "edge/rtsp/testdata/gstserver.py", "--auth", "viewer", "pass", gstH264, gstH265)
	var errs output
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it never ends by itself
		if t.Failed() {
			t.Logf("---- GStreamer said:\n%s", errs.tail())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("GStreamer: %v: %s", err, errs.tail())
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// TestStrangers pulls from GStreamer's RTSP server and takes what ffmpeg publishes; clips of both must be right.
func TestStrangers(t *testing.T) {
	beside(t, 2, 27*time.Second)
	tool(t, "ffprobe")
	ffmpeg := tool(t, "ffmpeg")
	gst := startGStreamer(t)
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"spool: {segment: 4s}\npull: {retry_min: 200ms, retry_max: 1s}\n"+fmt.Sprintf(`cameras:
  - {id: gst-h264, name: A, unit: yf, main: "rtsp://viewer:pass@%[1]s/h264", transport: tcp, record: main}
  - {id: gst-udp, name: B, unit: yf, main: "rtsp://viewer:pass@%[1]s/h264", transport: udp, record: main}
  - {id: gst-h265, name: C, unit: yf, main: "rtsp://viewer:pass@%[1]s/h265", record: main}
  - {id: pushed, name: D, unit: yf, main: push, record: main}
`, gst))
	n.start(t)
	launchPublisher(t, ffmpeg, n.rtsp)
	all := []string{"gst-h264", "gst-udp", "gst-h265", "pushed"}
	n.awaitState(t, status.Live, 40*time.Second, all...)
	began := time.Now()
	end := began.Add(14 * time.Second)
	n.awaitArchive(t, began, end, 60*time.Second, all...)
	for _, c := range []struct {
		id, codecs string
		loss       int // frames that a busy machine may lose on the way
	}{
		{"gst-h264", "h264+flac", 2},
		{"gst-udp", "h264+flac", 5},
		{"gst-h265", "hevc+aac", 2},
		{"pushed", "h264+aac", 2},
	} {
		t.Run(c.id, func(t *testing.T) {
			from := began.Add(1500 * time.Millisecond)
			checkStranger(t, n, c.id, c.codecs, from, c.loss)
		})
	}
}

// launchPublisher has ffmpeg publish H.264 and AAC to the camera "pushed" until the test ends.
func launchPublisher(t *testing.T, ffmpeg, rtsp string) {
	t.Helper()
	cmd := exec.Command(ffmpeg, "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
		"-re", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast",
		"-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac",
		"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://bench:"+testToken+"@"+rtsp+"/pushed/main")
	var errs output
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("---- ffmpeg said:\n%s", errs.tail())
		}
	})
}

// checkStranger proves a clip of ten seconds by what ffprobe and ffmpeg find in it.
func checkStranger(t *testing.T, n *node, id, codecs string, from time.Time, loss int) {
	t.Helper()
	const length = 10 * time.Second
	file, err := n.download(t, id, from, from.Add(length))
	if err != nil {
		t.Fatal(err)
	}
	p := probe(t, file)
	if p.codecs() != codecs {
		t.Errorf("codecs %s, want %s", p.codecs(), codecs)
	}
	if off := p.duration() - length; off.Abs() > frameTime+5*time.Millisecond {
		t.Errorf("duration %v, want %v", p.duration(), length)
	}
	decode(t, "-i", file)
	shown := countFrames(t, file)
	// One more for the picture in force at the beginning, and one for a wall clock corrected by 500 ppm meanwhile.
	if shown < 250-loss || shown > 252 {
		t.Errorf("%d frames are shown in %v, want 250", shown, length)
	}
	t.Logf("%s: %d frames in %v", p.codecs(), shown, p.duration())
}
