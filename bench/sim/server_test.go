package sim_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"skein/bench/sim"
	"skein/edge/media"
)

// serve runs a server for the test.
func serve(t *testing.T, cfg sim.Config) *sim.Server {
	t.Helper()
	s, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// picture is one received access unit.
type picture struct {
	sim.Mark
	key     bool
	rtp     uint32
	arrived time.Time
}

// reader is a gortsplib client that plays everything of one URL.
type reader struct {
	client   *gortsplib.Client
	pictures chan picture
	reports  chan *rtcp.SenderReport // of video
	sounds   chan *rtp.Packet
	ended    chan error
}

func play(t *testing.T, url string) *reader {
	t.Helper()
	r, err := tryPlay(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	return r
}

func tryPlay(url string) (*reader, error) {
	u, err := base.ParseURL(url)
	if err != nil {
		return nil, err
	}
	tcp := gortsplib.ProtocolTCP
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Protocol: &tcp}
	if err := c.Start(); err != nil {
		return nil, err
	}
	r := &reader{
		client: c, pictures: make(chan picture, 1000), reports: make(chan *rtcp.SenderReport, 100),
		sounds: make(chan *rtp.Packet, 1000), ended: make(chan error, 1),
	}
	if err := r.setup(u); err != nil {
		c.Close()
		return nil, err
	}
	go func() { r.ended <- c.Wait() }()
	return r, nil
}

func (r *reader) setup(u *base.URL) error {
	desc, _, err := r.client.Describe(u)
	if err != nil {
		return err
	}
	if err := r.client.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return err
	}
	r.client.OnPacketRTCPAny(func(m *description.Media, p rtcp.Packet) {
		if sr, ok := p.(*rtcp.SenderReport); ok && m.Type == description.MediaTypeVideo {
			r.reports <- sr
		}
	})
	for _, m := range desc.Medias {
		if m.Type == description.MediaTypeAudio {
			r.client.OnPacketRTP(m, m.Formats[0], func(p *rtp.Packet) { r.sounds <- p })
			continue
		}
		if err := r.video(m); err != nil {
			return err
		}
	}
	_, err = r.client.Play(nil)
	return err
}

func (r *reader) video(m *description.Media) error {
	var decode func(*rtp.Packet) ([][]byte, error)
	codec := media.H264
	switch f := m.Formats[0].(type) {
	case *format.H264:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		decode = d.Decode
	case *format.H265:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		decode, codec = d.Decode, media.H265
	}
	r.client.OnPacketRTP(m, m.Formats[0], func(p *rtp.Packet) {
		nalus, err := decode(p)
		if err != nil { // more packets needed
			return
		}
		pic := picture{rtp: p.Timestamp, arrived: time.Now(), key: len(nalus) > 2}
		for _, n := range nalus {
			if m, ok := sim.ParseSEI(n, codec); ok {
				pic.Mark = m
			}
		}
		r.pictures <- pic
	})
	return nil
}

func (r *reader) next(t *testing.T) picture {
	t.Helper()
	select {
	case p := <-r.pictures:
		return p
	case err := <-r.ended:
		t.Fatalf("connection ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("no picture for 10 s")
	}
	return picture{}
}

func (r *reader) report(t *testing.T) *rtcp.SenderReport {
	t.Helper()
	select {
	case sr := <-r.reports:
		return sr
	case <-time.After(10 * time.Second):
		t.Fatal("no report for 10 s")
	}
	return nil
}

// wallOf maps an RTP time to wall time by a sender report.
func wallOf(sr *rtcp.SenderReport, ts uint32) time.Time {
	sec, frac := sr.NTPTime>>32, sr.NTPTime&math.MaxUint32
	at := time.Unix(int64(sec)-2208988800, int64(frac*1e9>>32))
	return at.Add(time.Duration(int32(ts-sr.RTPTime)) * time.Second / 90000)
}

func small(id string) sim.Camera {
	video := sim.Video{Width: 640, Height: 360, FPS: 25, GOP: 10, Bitrate: 3e5}
	return sim.Camera{ID: id, Name: "测试 " + id, Video: video}
}

func TestReaderSeesEveryPicture(t *testing.T) {
	t.Parallel()
	hevc, terminal := small("hevc"), small("terminal")
	hevc.Codec = media.H265
	terminal.Audio = media.G711A
	s := serve(t, sim.Config{Cameras: []sim.Camera{small("cam"), hevc, terminal}, ReportInterval: 200 * time.Millisecond})
	for _, id := range []string{"cam", "hevc", "terminal"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			r := play(t, s.URL(id, media.Main))
			first := r.next(t)
			if !first.key || first.Camera != sim.CameraHash(id) {
				t.Fatalf("first picture: %+v", first)
			}
			sr := r.report(t)
			last := first
			for i := range 40 {
				p := r.next(t)
				if p.Frame != last.Frame+1 || p.rtp-last.rtp != 3600 || p.Wall.Sub(last.Wall) != 40*time.Millisecond {
					t.Fatalf("%+v follows %+v", p, last)
				}
				if p.key != ((i+1)%10 == 0) {
					t.Errorf("picture %d after the first: key is %v", i+1, p.key)
				}
				if late := p.arrived.Sub(p.Wall); late < 0 || late > 2*time.Second {
					t.Errorf("picture arrived %s after its capture", late)
				}
				if d := wallOf(sr, p.rtp).Sub(p.Wall); d.Abs() > time.Millisecond {
					t.Errorf("sender report puts the picture %s off its mark", d)
				}
				last = p
			}
			if id == "terminal" && len(r.sounds) < 30 {
				t.Errorf("%d audio packets in 1.6 s", len(r.sounds))
			}
		})
	}
}

func TestClockFaults(t *testing.T) {
	t.Parallel()
	fast := small("fast")
	fast.DriftPPM, fast.ClockOffset = 200_000, -time.Hour
	s := serve(t, sim.Config{Cameras: []sim.Camera{fast}, ReportInterval: 100 * time.Millisecond})
	r := play(t, s.URL("fast", media.Main))
	first := r.next(t)
	if off := first.Wall.Sub(first.arrived); off < -time.Hour-2*time.Second || off > -time.Hour+2*time.Second {
		t.Errorf("camera clock is off by %s, want about -1h", off)
	}
	last := first
	for range 60 {
		last = r.next(t)
	}
	shown, passed := last.Wall.Sub(first.Wall), last.arrived.Sub(first.arrived)
	if speed := shown.Seconds() / passed.Seconds(); speed < 1.05 || speed > 1.5 {
		t.Errorf("camera clock runs at %.3f, want 1.2", speed)
	}
	s.Camera("fast").StepClock(time.Hour)
	for {
		p := r.next(t)
		if p.rtp-last.rtp != 3600 || p.Frame != last.Frame+1 {
			t.Fatal("the step disturbed media time")
		}
		if p.Wall.Sub(last.Wall) > 50*time.Minute {
			last = p
			break
		}
		last = p
	}
	for range 100 {
		if d := wallOf(r.report(t), last.rtp).Sub(last.Wall); d.Abs() < 50*time.Millisecond {
			return
		}
	}
	t.Error("sender reports do not follow the step")
}

func TestDropStallStop(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Config{Cameras: []sim.Camera{small("cam")}})
	c := s.Camera("cam")
	r := play(t, s.URL("cam", media.Main))
	last := r.next(t)
	jump := func(what string, atLeast uint64) {
		t.Helper()
		for range 100 {
			p := r.next(t)
			if lost := p.Frame - last.Frame - 1; lost > 0 {
				if lost < atLeast {
					t.Errorf("%s: lost %d pictures, want %d", what, lost, atLeast)
				}
				last = p
				return
			}
			last = p
		}
		t.Fatalf("%s: nothing lost", what)
	}
	c.Drop(3)
	jump("drop", 3)
	c.Stall(500 * time.Millisecond)
	jump("stall", 11)
	c.Stop()
	select {
	case <-r.ended:
	case <-time.After(5 * time.Second):
		t.Fatal("stopping left the session open")
	}
	if _, err := tryPlay(s.URL("cam", media.Main)); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("stopped camera answers %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	again := play(t, s.URL("cam", media.Main)).next(t)
	if ahead := int64(again.Frame - last.Frame); !again.key || ahead <= 0 || ahead > 500 {
		t.Errorf("after the break: %+v, last was %d", again.Mark, last.Frame)
	}
}

func TestKeyOnPlay(t *testing.T) {
	t.Parallel()
	cam := small("cam")
	cam.GOP = 250 // 10 s: only a forced key frame can be in time
	s := serve(t, sim.Config{Cameras: []sim.Camera{cam}, KeyOnPlay: true})
	for range 2 {
		r := play(t, s.URL("cam", media.Main))
		p := r.next(t)
		for range 20 {
			if p.key {
				break
			}
			p = r.next(t)
		}
		if !p.key {
			t.Error("no key frame for a new reader")
		}
		for want := p.Frame + 1; want < p.Frame+20; want++ {
			if got := r.next(t); got.Frame != want {
				t.Fatalf("got picture %d, want %d", got.Frame, want)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Config{Cameras: []sim.Camera{small("cam")}, User: "admin", Password: "p:w/1"})
	play(t, s.URL("cam", media.Main)).next(t)
	_, err := tryPlay(strings.Replace(s.URL("cam", media.Main), "admin:", "admin:x", 1))
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("wrong password: %v", err)
	}
	if _, err = tryPlay(strings.Replace(s.URL("cam", media.Main), "/cam", "/other", 1)); err == nil {
		t.Error("an unknown path plays")
	}
	if s.URL("cam", media.Sub) != "" || s.Camera("other") != nil {
		t.Error("there is no such profile or camera")
	}
}

// TestFFmpegPulls lets ffmpeg play every kind of stream over TCP and UDP, and decode it without a word.
func TestFFmpegPulls(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	// A camera each: a second reader of one camera joins in the middle of a group of pictures, which ffmpeg mentions.
	hevc, second, aac, opus, alaw := small("hevc"), small("hevc2"), small("aac"), small("opus"), small("alaw")
	hevc.Codec, second.Codec, aac.Audio, opus.Audio, alaw.Audio = media.H265, media.H265, media.AAC, media.Opus, media.G711A
	s := serve(t, sim.Config{Cameras: []sim.Camera{hevc, second, aac, opus, alaw}, UDP: true, User: "u", Password: "p"})
	for _, c := range []string{"hevc/tcp", "hevc2/udp", "aac/tcp", "opus/udp", "alaw/tcp"} {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			id, transport, _ := strings.Cut(c, "/")
			args := []string{
				"-v", "warning", "-rtsp_transport", transport, "-analyzeduration", "800000", "-i", s.URL(id, media.Main),
			}
			if !strings.HasPrefix(id, "hevc") { // ffmpeg moves sound when the first sender report comes; that is no fault of the stream
				args = append(args, "-af", "aresample=async=1")
			}
			quiet(t, "ffmpeg", append(args, "-t", "1.5", "-f", "null", "-")...)
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for want, cam := range map[string]sim.Camera{
		"id must match":    {ID: "A b"},
		"only H264 and":    {ID: "a", Video: sim.Video{Codec: media.MJPEG}},
		"need even sizes":  {ID: "a", Video: sim.Video{Width: 101, Height: 99}},
		"fps 99":           {ID: "a", Video: sim.Video{FPS: 99}},
		"only PCMA, AAC":   {ID: "a", Audio: media.G711U},
		"sub: bitrate -1":  {ID: "a", Sub: &sim.Video{Bitrate: -1}},
		"gop -2: need 1 t": {ID: "a", Video: sim.Video{GOP: -2}},
	} {
		if _, err := sim.New(sim.Config{Cameras: []sim.Camera{cam}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cam, err, want)
		}
	}
	if _, err := sim.New(sim.Config{Cameras: []sim.Camera{{ID: "a"}, {ID: "a"}}}); err == nil {
		t.Error("an id is used twice")
	}
}
