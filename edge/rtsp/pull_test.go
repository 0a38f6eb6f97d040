package rtsp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
)

// TestMain lets many tests wait at once: they are bound by the cameras' pace, not by the processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// collector is a sink that keeps units and tells when there are enough.
type collector struct {
	mu    sync.Mutex
	units []*media.AccessUnit
	want  func([]*media.AccessUnit) bool
	done  chan struct{}
	once  sync.Once
}

func collect(want func([]*media.AccessUnit) bool) *collector {
	return &collector{want: want, done: make(chan struct{})}
}

func (c *collector) Publish(u *media.AccessUnit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(u)
}

// take is Publish with mu held.
func (c *collector) take(u *media.AccessUnit) {
	c.units = append(c.units, u)
	if c.want(c.units) {
		c.once.Do(func() { close(c.done) })
	}
}

func (c *collector) all() []*media.AccessUnit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*media.AccessUnit(nil), c.units...)
}

// pictures waits for n pictures, and for audio of each other track.
func pictures(n int) func([]*media.AccessUnit) bool {
	return func(units []*media.AccessUnit) bool {
		count := make([]int, 4)
		for _, u := range units {
			count[u.Track]++
		}
		tracks := len(units[0].Desc.Tracks)
		for i := range tracks {
			if count[i] < n {
				return false
			}
		}
		return true
	}
}

var quick = rtsp.Timeouts{
	Connect: 2500 * time.Millisecond, UDP: 600 * time.Millisecond, Silent: 800 * time.Millisecond,
	RTP: 1200 * time.Millisecond, KeyFrame: 2500 * time.Millisecond, FirstKey: 2500 * time.Millisecond,
}

// pull runs Pull until the collector has enough, and fails the test if it ends by itself.
func pull(t *testing.T, cfg rtsp.PullConfig, c *collector) []*media.AccessUnit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	errs := make(chan error, 1)
	go func() { errs <- rtsp.Pull(ctx, cfg, c) }()
	select {
	case <-c.done:
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatalf("Pull returned %v, want context.Canceled", err)
		}
	case err := <-errs:
		t.Fatalf("Pull ended: %v after %d units", err, len(c.all()))
	}
	return c.all()
}

func TestPullTransportsAndCodecs(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{rtsp.TransportTCP, rtsp.TransportUDP, rtsp.TransportAuto, rtsp.TransportAutoUDP} {
		for _, codecs := range [][2]media.Codec{
			{media.H264, 0}, {media.H265, media.AAC}, {media.MJPEG, 0}, {media.H264, media.G711A}, {media.H264, media.G711U},
			{media.H264, media.Opus}, {0, media.G711A},
		} {
			t.Run(fmt.Sprintf("%s/%v+%v", transport, codecs[0], codecs[1]), func(t *testing.T) {
				t.Parallel()
				cam := rtsptest.Start(t, rtsptest.Options{
					Video: codecs[0], Audio: codecs[1], OnlyAudio: codecs[0] == 0, FPS: 50, Padding: 4000, Metadata: true,
					User: "operator", Password: "p@ss:w/rd?#%", ClockOffsetMS: 5000,
				})
				var stats rtsp.Stats
				units := pull(t, rtsp.PullConfig{Camera: "c", URL: cam.URL(), Transport: transport, Stats: &stats}, collect(pictures(15)))
				checkUnits(t, units, codecs)
				checkStats(t, stats.Snapshot(), transport, codecs)
			})
		}
	}
}

func checkUnits(t *testing.T, units []*media.AccessUnit, codecs [2]media.Codec) {
	t.Helper()
	last := map[int]*media.AccessUnit{}
	for i, u := range units {
		tr := u.Desc.Tracks[u.Track]
		if codecs[0] != 0 && i == 0 && !u.Key {
			t.Error("the first unit is no key frame")
		}
		if u.Epoch != 1 {
			t.Fatalf("unit %d: epoch %d, want 1", i, u.Epoch)
		}
		if d := time.Since(u.Wall); d > 10*time.Second || d < -time.Second {
			t.Errorf("unit %d: wall time is off by %v", i, d)
		}
		if tr.Codec == media.H264 || tr.Codec == media.H265 {
			if tr.Width != rtsptest.Width || tr.Height != rtsptest.Height || len(tr.SPS) == 0 || len(tr.PPS) == 0 || tr.BFrames {
				t.Fatalf("track %+v", tr)
			}
			if !u.Key && bytes.Equal(u.NALUs[0], tr.SPS) {
				t.Error("parameter sets without a key frame")
			}
		}
		if tr.Codec == media.MJPEG && tr.Width != rtsptest.Width {
			t.Errorf("JPEG width %d", tr.Width)
		}
		if p := last[u.Track]; p != nil {
			if u.PTS <= p.PTS {
				t.Errorf("track %d: PTS %d after %d", u.Track, u.PTS, p.PTS)
			}
			if !u.Wall.After(p.Wall) {
				t.Errorf("track %d: wall %v after %v", u.Track, u.Wall, p.Wall)
			}
		}
		last[u.Track] = u
	}
	u := units[len(units)-1]
	if !u.ClockKnown || (u.ClockOffset-5*time.Second).Abs() > time.Second {
		t.Errorf("clock offset %v %v, want about 5 s", u.ClockOffset, u.ClockKnown)
	}
}

func checkStats(t *testing.T, s rtsp.Snapshot, transport string, codecs [2]media.Codec) {
	t.Helper()
	want := "tcp"
	if transport == rtsp.TransportUDP || transport == rtsp.TransportAutoUDP {
		want = "udp"
	}
	if s.Transport != want || s.Lost != 0 || s.Foreign != 0 || s.Malformed != 0 || s.Packets == 0 || s.Bytes == 0 {
		t.Errorf("snapshot %+v", s)
	}
	if codecs[0] != 0 && (s.Codec != codecs[0].String() || s.LastKey.IsZero() || s.Damaged != 0) {
		t.Errorf("snapshot %+v", s)
	}
	if codecs[1] != 0 && s.Audio != codecs[1].String() {
		t.Errorf("snapshot %+v", s)
	}
}

func TestPullReasons(t *testing.T) {
	t.Parallel()
	const pass = "s3cret/p@ss"
	dead := rtsptest.Start(t, rtsptest.Options{})
	dead.Close()
	for _, c := range []struct {
		name      string
		o         rtsptest.Options
		url       func(*rtsptest.Camera) string
		transport string
		want      status.Reason
	}{
		{name: "refused", url: func(*rtsptest.Camera) string { return "rtsp://u:" + pass + "@" + dead.Addr() + "/x" },
			want: status.ReasonRefused},
		{name: "no such host", url: func(*rtsptest.Camera) string { return "rtsp://camera.invalid/x" },
			want: status.ReasonUnreachable},
		{name: "wrong password", o: rtsptest.Options{User: "u", Password: "right"}, want: status.ReasonAuth,
			url: func(c *rtsptest.Camera) string { return "rtsp://u:" + pass + "@" + c.Addr() + "/stream" }},
		{name: "no password", o: rtsptest.Options{User: "u", Password: "right"}, want: status.ReasonAuth,
			url: func(c *rtsptest.Camera) string { return "rtsp://" + c.Addr() + "/stream" }},
		{name: "not found", o: rtsptest.Options{Fault: rtsptest.NotFound}, want: status.ReasonNotFound},
		{name: "http", o: rtsptest.Options{Fault: rtsptest.HTTPServer}, want: status.ReasonNotRTSP},
		{name: "garbage", o: rtsptest.Options{Fault: rtsptest.RandomBytes}, want: status.ReasonGarbage},
		{name: "no answer", o: rtsptest.Options{Fault: rtsptest.NoAnswer}, want: status.ReasonTimeout},
		{name: "silent", o: rtsptest.Options{Fault: rtsptest.SilentAfterPlay}, want: status.ReasonSilent},
		{name: "silent udp", o: rtsptest.Options{Fault: rtsptest.DeafUDP}, transport: "udp", want: status.ReasonSilent},
		{name: "foreign rtp", o: rtsptest.Options{Fault: rtsptest.ForeignRTP}, want: status.ReasonNoRTP},
		{name: "foreign rtp udp", o: rtsptest.Options{Fault: rtsptest.ForeignRTP}, transport: "udp", want: status.ReasonNoRTP},
		{name: "no key", o: rtsptest.Options{Fault: rtsptest.NoKeyFrames}, want: status.ReasonNoKeyFrame},
		{name: "disconnect", o: rtsptest.Options{Disconnect: 5}, want: status.ReasonClosed},
		{name: "tls without tls", want: status.ReasonTLS,
			url: func(c *rtsptest.Camera) string { return "rtsps://" + c.Addr() + "/stream" }},
		{name: "bad url", url: func(*rtsptest.Camera) string { return "http://u:" + pass + "@h/" }, want: status.ReasonProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cam := rtsptest.Start(t, c.o)
			u := cam.URL()
			if c.url != nil {
				u = c.url(cam)
			}
			sink := collect(func([]*media.AccessUnit) bool { return false })
			err := rtsp.Pull(context.Background(), rtsp.PullConfig{
				Camera: "cam7", URL: u, Transport: c.transport, Timeouts: quick,
			}, sink)
			var e *rtsp.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v is no *rtsp.Error", err)
			}
			if e.Reason != c.want || rtsp.ReasonOf(err) != c.want {
				t.Errorf("reason %q, want %q: %v", e.Reason, c.want, err)
			}
			if strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "cam7") {
				t.Errorf("error text %q", err)
			}
		})
	}
}

func TestPullOddCameras(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		o     rtsptest.Options
		cfg   rtsp.PullConfig
		check func(*testing.T, []*media.AccessUnit, rtsp.Snapshot)
	}{
		{name: "rtp before play", o: rtsptest.Options{EarlyRTP: true}},
		{name: "rtp before play, no ssrc", o: rtsptest.Options{EarlyRTP: true, HideSSRC: true}},
		{name: "junk between frames", o: rtsptest.Options{Junk: true}},
		{name: "marker on each nalu", o: rtsptest.Options{MarkEachNALU: true, Padding: 3000}},
		{name: "bad sdp", o: rtsptest.Options{BadSDP: true}},
		{name: "parameters in sdp only", o: rtsptest.Options{NoParameters: true}},
		{name: "parameters in sdp only, h265", o: rtsptest.Options{NoParameters: true, Video: media.H265}},
		{name: "lying ssrc, told to ignore", o: rtsptest.Options{LyingSSRC: true}, cfg: rtsp.PullConfig{IgnoreSSRC: true}},
		{name: "basic", o: rtsptest.Options{User: "ü", Password: "密码 %41", Auth: []auth.VerifyMethod{auth.VerifyMethodBasic}}},
		{name: "sha256", o: rtsptest.Options{User: "u", Password: "p", Auth: []auth.VerifyMethod{auth.VerifyMethodDigestSHA256}}},
		{name: "tcp refused", o: rtsptest.Options{Fault: rtsptest.NoTCP}, check: transportIs("udp")},
		{name: "udp refused", o: rtsptest.Options{Fault: rtsptest.NoUDP}, cfg: rtsp.PullConfig{Transport: rtsp.TransportAutoUDP},
			check: transportIs("tcp")},
		{name: "udp deaf", o: rtsptest.Options{Fault: rtsptest.DeafUDP}, cfg: rtsp.PullConfig{Transport: rtsp.TransportAutoUDP},
			check: transportIs("tcp")},
		{name: "repeated and backward timestamps", o: rtsptest.Options{Stamp: func(n int, ts uint32) uint32 {
			if n%5 == 3 {
				return ts - 3600
			}
			if n%5 == 4 {
				return ts - 2*3600
			}
			return ts
		}}},
		{name: "clock jumps", o: rtsptest.Options{Stamp: func(n int, ts uint32) uint32 {
			if n >= 30 {
				return ts + 90000*3600
			}
			return ts
		}}, check: func(t *testing.T, units []*media.AccessUnit, _ rtsp.Snapshot) {
			if e := units[len(units)-1].Epoch; e != 2 {
				t.Errorf("epoch %d after a jump, want 2", e)
			}
		}},
		{name: "loss", o: rtsptest.Options{Padding: 5000, Lose: func(n int) bool { return n%40 == 17 }},
			check: func(t *testing.T, units []*media.AccessUnit, s rtsp.Snapshot) {
				if s.Lost == 0 || s.Damaged == 0 {
					t.Errorf("lost %d damaged %d", s.Lost, s.Damaged)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cam := rtsptest.Start(t, c.o)
			var stats rtsp.Stats
			c.cfg.URL, c.cfg.Stats, c.cfg.Timeouts = cam.URL(), &stats, rtsp.Timeouts{UDP: time.Second}
			units := pull(t, c.cfg, collect(pictures(40)))
			last := units[0]
			for _, u := range units {
				tr := u.Desc.Tracks[u.Track]
				if tr.Width != rtsptest.Width || tr.Height != rtsptest.Height {
					t.Fatalf("size %dx%d", tr.Width, tr.Height)
				}
				if u != last && u.Epoch == last.Epoch && u.PTS <= last.PTS {
					t.Errorf("PTS %d after %d", u.PTS, last.PTS)
				}
				last = u
			}
			if !units[0].Key {
				t.Error("the first unit is no key frame")
			}
			if c.check != nil {
				c.check(t, units, stats.Snapshot())
			} else if s := stats.Snapshot(); s.Lost != 0 || s.Damaged != 0 {
				t.Errorf("lost %d, damaged %d on a clean line", s.Lost, s.Damaged)
			}
		})
	}
}

func transportIs(want string) func(*testing.T, []*media.AccessUnit, rtsp.Snapshot) {
	return func(t *testing.T, _ []*media.AccessUnit, s rtsp.Snapshot) {
		t.Helper()
		if s.Transport != want {
			t.Errorf("transport %s, want %s", s.Transport, want)
		}
	}
}

// TestPullIsExact compares what arrives with what was sent, NAL unit by NAL unit.
func TestPullIsExact(t *testing.T) {
	t.Parallel()
	for _, codec := range []media.Codec{media.H264, media.H265} {
		for _, transport := range []string{"tcp", "udp"} {
			t.Run(codec.String()+"/"+transport, func(t *testing.T) {
				t.Parallel()
				cam := rtsptest.Start(t, rtsptest.Options{Video: codec})
				units := pull(t, rtsp.PullConfig{URL: cam.URL(), Transport: transport}, collect(pictures(50)))
				clip := rtsptest.Clip(codec)
				for i, u := range units {
					want := clip[i%len(clip)]
					if len(want) != len(u.NALUs) {
						t.Fatalf("unit %d: %d NAL units, want %d", i, len(u.NALUs), len(want))
					}
					for j := range want {
						if !bytes.Equal(want[j], u.NALUs[j]) {
							t.Fatalf("unit %d NAL unit %d differs", i, j)
						}
					}
					if u.Key != (i%rtsptest.GOP == 0) {
						t.Fatalf("unit %d: key %v", i, u.Key)
					}
				}
			})
		}
	}
}

func TestPullUnsupported(t *testing.T) {
	t.Parallel()
	err := rtsp.Pull(context.Background(), rtsp.PullConfig{URL: "rtsp://127.0.0.1:1/x", Transport: "pigeon"}, collect(nil))
	if rtsp.ReasonOf(err) != status.ReasonProtocol || !strings.Contains(err.Error(), "want auto, tcp, udp") {
		t.Errorf("%v", err)
	}
}
