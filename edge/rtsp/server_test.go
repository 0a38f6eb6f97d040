package rtsp_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
	"skein/edge/stream"
)

// hub is a server whose paths are streams: what is published under a name can be played under it.
type hub struct {
	*rtsp.Server
	mu      sync.Mutex
	streams map[string]*stream.Stream
	stats   map[string]*rtsp.Stats
	ended   chan error
	readers chan struct{} // one value for each reader that left
	trust   bool
}

func (h *hub) stream(name string) *stream.Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[name] == nil {
		h.streams[name], h.stats[name] = stream.New(stream.Options{}), &rtsp.Stats{}
	}
	return h.streams[name]
}

// startHub runs a hub until the test ends; user "u" with password "p@ss/w0rd".
func startHub(t *testing.T, change func(*rtsp.ServerConfig)) *hub {
	t.Helper()
	h := &hub{
		streams: map[string]*stream.Stream{}, stats: map[string]*rtsp.Stats{}, ended: make(chan error, 16),
		readers: make(chan struct{}, 64), trust: true,
	}
	cfg := rtsp.ServerConfig{
		Listen: "127.0.0.1:0", UDP: "127.0.0.1:0",
		Auth: func(_ context.Context, r rtsp.Request) (func() bool, error) {
			if !r.Verify("u", "p@ss/w0rd") {
				return nil, rtsp.ErrUnauthorized
			}
			return nil, nil
		},
		OnPublish: func(_ context.Context, r rtsp.Request) (rtsp.Publication, error) {
			s := h.stream(r.Path)
			return rtsp.Publication{
				Sink: s, TrustClock: h.trust, Stats: h.stats[r.Path], Done: func(err error) { h.ended <- err },
			}, nil
		},
		OnPlay: func(_ context.Context, r rtsp.Request) (*stream.Stream, func(), error) {
			if r.Path == "missing" {
				return nil, nil, rtsp.ErrNotFound
			}
			return h.stream(r.Path), func() { h.readers <- struct{}{} }, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if h.Server, err = rtsp.NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return h
}

func (h *hub) url(path string) string { return "rtsp://u:p@ss/w0rd@" + h.Addr().String() + "/" + path }

// background runs f until the test ends and returns its error.
func background(t *testing.T, f func(context.Context) error) (cancel func(), ended chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- f(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	return stop, ended
}

// both publishes to a stream and to a collector.
type both struct {
	*stream.Stream
	c *collector
}

// Publish does both as one step: what came out at the far end is in the collector too.
func (b both) Publish(u *media.AccessUnit) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.Stream.Publish(u)
	b.c.take(u)
}

// TestChain goes the whole way of a split site: camera, edge, publication to the gateway, RTSP out.
func TestChain(t *testing.T) {
	t.Parallel()
	for _, codecs := range [][2]media.Codec{
		{media.H264, media.G711A}, {media.H265, media.AAC}, {media.MJPEG, media.Opus}, {media.H264, media.G711U},
	} {
		for _, transport := range []string{"tcp", "udp"} {
			t.Run(codecs[0].String()+"+"+codecs[1].String()+"/"+transport, func(t *testing.T) {
				t.Parallel()
				cam := rtsptest.Start(t, rtsptest.Options{Video: codecs[0], Audio: codecs[1], Padding: 3000})
				edge := both{stream.New(stream.Options{}), collect(pictures(30))}
				background(t, func(ctx context.Context) error {
					return rtsp.Pull(ctx, rtsp.PullConfig{URL: cam.URL()}, edge)
				})
				<-edge.c.done // 30 pictures: the newest key frame is 5 or more pictures old
				h := startHub(t, nil)
				background(t, func(ctx context.Context) error {
					return rtsp.Publish(ctx, rtsp.PublishConfig{Camera: "c", URL: h.url("site/c")}, edge.Stream)
				})
				out := pull(t, rtsp.PullConfig{URL: h.url("site/c"), Transport: transport}, collect(pictures(40)))
				gateway := h.stream("site/c").History()
				compareChain(t, edge.c.all(), gateway, out)
			})
		}
	}
}

// compareChain checks that every picture arrived once, in order, unchanged, and with the edge's wall time.
func compareChain(t *testing.T, edge, gateway, out []*media.AccessUnit) {
	t.Helper()
	// The pictures of the cameras are numbered, so equal content is the same picture. The JPEG ones and the sound repeat:
	// there the closest wall time decides.
	find := func(u *media.AccessUnit) *media.AccessUnit {
		var best *media.AccessUnit
		for _, e := range edge {
			if e.Track == u.Track && equal(e.NALUs, u.NALUs) &&
				(best == nil || e.Wall.Sub(u.Wall).Abs() < best.Wall.Sub(u.Wall).Abs()) {
				best = e
			}
		}
		return best
	}
	for _, u := range gateway {
		if !u.IsVideo() {
			continue
		}
		if e := find(u); e == nil {
			t.Fatalf("gateway unit %d (wall %v) is none of the edge's", u.Seq, u.Wall)
		} else if d := u.Wall.Sub(e.Wall).Abs(); d > time.Millisecond {
			t.Fatalf("gateway unit %d: wall time off by %v", u.Seq, d)
		}
	}
	if len(gateway) == 0 || !gateway[0].Key {
		t.Error("gateway history does not begin with a key frame")
	}
	var lastSeq uint64
	for _, u := range out {
		if !u.IsVideo() {
			continue
		}
		e := find(u)
		if e == nil {
			t.Fatalf("picture with PTS %d is none of the edge's", u.PTS)
		}
		if lastSeq != 0 && e.Seq <= lastSeq {
			t.Fatalf("picture %d after %d", e.Seq, lastSeq)
		}
		for _, between := range edge {
			if lastSeq != 0 && between.Seq > lastSeq && between.Seq < e.Seq && between.IsVideo() {
				t.Fatalf("picture %d is missing", between.Seq)
			}
		}
		lastSeq = e.Seq
	}
}

func TestHistoryFirst(t *testing.T) {
	t.Parallel()
	cam := rtsptest.Start(t, rtsptest.Options{FPS: 10}) // a key frame every 2.5 s
	edge := both{stream.New(stream.Options{}), collect(pictures(15))}
	background(t, func(ctx context.Context) error { return rtsp.Pull(ctx, rtsp.PullConfig{URL: cam.URL()}, edge) })
	<-edge.c.done
	h := startHub(t, nil)
	background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("x")}, edge.Stream)
	})
	out := pull(t, rtsp.PullConfig{URL: h.url("x")}, collect(pictures(3)))
	in := h.stream("x").History()
	if len(in) == 0 || !in[0].Key || !out[0].Key {
		t.Fatal("no key frame first")
	}
	if age := in[0].Arrival.Sub(in[0].Wall); age < time.Second {
		t.Errorf("the gateway's first picture was %v old: the history was not sent first", age)
	}
}

func equal(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func TestServerRefusals(t *testing.T) {
	t.Parallel()
	h := startHub(t, func(c *rtsp.ServerConfig) { c.MaxSessions = 1 })
	for _, c := range []struct {
		name, url string
		want      status.Reason
	}{
		{"no credentials", "rtsp://" + h.Addr().String() + "/x", status.ReasonAuth},
		{"wrong password", "rtsp://u:nope@" + h.Addr().String() + "/x", status.ReasonAuth},
		{"missing", h.url("missing"), status.ReasonNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := rtsp.Pull(context.Background(), rtsp.PullConfig{URL: c.url, Timeouts: quick}, collect(nil))
			if rtsp.ReasonOf(err) != c.want {
				t.Errorf("play: %v", err)
			}
			if c.want != status.ReasonAuth {
				return
			}
			s := stream.New(stream.Options{})
			s.Publish(&media.AccessUnit{Desc: &media.Description{Tracks: []media.Track{{Codec: media.G711A, ClockRate: 8000, Channels: 1}}},
				NALUs: [][]byte{make([]byte, 160)}, Wall: time.Now()})
			err = rtsp.Publish(context.Background(), rtsp.PublishConfig{URL: c.url}, s)
			if rtsp.ReasonOf(err) != c.want || strings.Contains(err.Error(), "nope") {
				t.Errorf("publish: %v", err)
			}
		})
	}
	first := audioStream(t)
	_, _ = background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("one")}, first)
	})
	waitFor(t, func() bool { return h.stream("one").Description() != nil })
	err := rtsp.Publish(context.Background(), rtsp.PublishConfig{URL: h.url("two")}, first)
	if rtsp.ReasonOf(err) != status.ReasonProtocol {
		t.Errorf("a second session of one allowed: %v", err)
	}
}

func TestReaderOfACameraWithoutPictureIsToldSo(t *testing.T) {
	t.Parallel()
	gone := stream.New(stream.Options{})
	gone.Close(nil)
	h := startHub(t, func(c *rtsp.ServerConfig) {
		c.OnPlay = func(context.Context, rtsp.Request) (*stream.Stream, func(), error) { return gone, func() {}, nil }
	})
	err := rtsp.Pull(t.Context(), rtsp.PullConfig{URL: h.url("one"), Timeouts: quick}, collect(nil))
	if err == nil || !strings.Contains(err.Error(), "503 (the camera delivers no picture: see its state)") {
		t.Errorf("played: %v", err)
	}
}

func TestPublishersMayBeHeldToTCP(t *testing.T) {
	t.Parallel()
	h := startHub(t, func(c *rtsp.ServerConfig) { c.PublishTCP = true })
	desc := &description.Session{Medias: []*description.Media{{
		Type: description.MediaTypeAudio, Formats: []format.Format{&format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1}},
	}}}
	udp := gortsplib.ProtocolUDP
	c := gortsplib.Client{Protocol: &udp}
	var status liberrors.ErrClientBadStatusCode
	if err := c.StartRecording("rtsp://u:p%40ss%2Fw0rd@"+h.Addr().String()+"/one", desc); !errors.As(err, &status) || status.Code != base.StatusUnsupportedTransport {
		c.Close()
		t.Errorf("published over UDP: %v", err)
	}
}

func TestServerTellsWhyItRefuses(t *testing.T) {
	t.Parallel()
	h := startHub(t, func(c *rtsp.ServerConfig) {
		c.OnPublish = func(context.Context, rtsp.Request) (rtsp.Publication, error) {
			return rtsp.Publication{}, &rtsp.Refusal{Err: rtsp.ErrBusy, Reason: "somebody else has this place"}
		}
	})
	err := rtsp.Publish(context.Background(), rtsp.PublishConfig{URL: h.url("one")}, audioStream(t))
	if err == nil || !strings.Contains(err.Error(), "453 (somebody else has this place)") {
		t.Errorf("refused: %v", err)
	}
}

func TestWithdrawnPublicationEnds(t *testing.T) {
	t.Parallel()
	withdrawn := make(chan struct{})
	var h *hub
	h = startHub(t, func(c *rtsp.ServerConfig) {
		c.OnPublish = func(_ context.Context, r rtsp.Request) (rtsp.Publication, error) {
			return rtsp.Publication{
				Sink: h.stream(r.Path), Withdrawn: withdrawn, Done: func(err error) { h.ended <- err },
			}, nil
		}
	})
	s := audioStream(t)
	_, failed := background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("one")}, s)
	})
	waitFor(t, func() bool { return h.stream("one").Description() != nil })
	close(withdrawn)
	for _, c := range []<-chan error{h.ended, failed} {
		select {
		case err := <-c:
			if err == nil {
				t.Error("ended without an error")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not ended within 10 s")
		}
	}
}

// audioStream is a stream of G.711 at its pace until the test ends.
func audioStream(t *testing.T) *stream.Stream {
	t.Helper()
	s := stream.New(stream.Options{})
	desc := &media.Description{Tracks: []media.Track{{Codec: media.G711A, ClockRate: 8000, Channels: 1}}}
	background(t, func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := int64(0); ; n++ {
			s.Publish(&media.AccessUnit{Desc: desc, NALUs: [][]byte{make([]byte, 160)}, PTS: n * 160, Wall: time.Now(), Arrival: time.Now()})
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	return s
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}

// TestReannounce: another set of tracks needs another SDP.
func TestReannounce(t *testing.T) {
	t.Parallel()
	h := startHub(t, nil)
	s := stream.New(stream.Options{})
	background(t, func(ctx context.Context) error { return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("x")}, s) })
	publish := func(codec media.Codec, epoch uint32) {
		desc := &media.Description{Tracks: []media.Track{{Codec: codec, ClockRate: 8000, Channels: 1}}}
		n := int64(0)
		waitFor(t, func() bool {
			s.Publish(&media.AccessUnit{Desc: desc, NALUs: [][]byte{make([]byte, 160)}, PTS: n, Epoch: epoch, Wall: time.Now(), Arrival: time.Now()})
			n += 160
			d := h.stream("x").Description()
			return d != nil && d.Tracks[0].Codec == codec
		})
	}
	publish(media.G711A, 1)
	publish(media.G711U, 2)
	if err := <-h.ended; rtsp.ReasonOf(err) != status.ReasonClosed {
		t.Errorf("the first publication ended with %v", err)
	}
}

// TestEpochsTravel: a new epoch at the edge is one at the gateway, with the right wall time at once.
func TestEpochsTravel(t *testing.T) {
	t.Parallel()
	h := startHub(t, nil)
	s := stream.New(stream.Options{})
	desc := &media.Description{Tracks: []media.Track{{Codec: media.G711A, ClockRate: 8000, Channels: 1}}}
	c := collect(func(u []*media.AccessUnit) bool { return len(u) == 40 })
	background(t, func(ctx context.Context) error { return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("x")}, s) })
	base := time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := int64(0); n < 60; n++ {
			<-tick.C
			u := &media.AccessUnit{Desc: desc, NALUs: [][]byte{{byte(n), 1}}, PTS: n * 160, Epoch: uint32(1 + n/20), Arrival: time.Now()}
			u.Wall = base.Add(time.Duration(n)*20*time.Millisecond + time.Duration(n/20)*time.Hour)
			s.Publish(u)
		}
	}()
	waitFor(t, func() bool { return h.stream("x").Description() != nil })
	r := h.stream("x").Subscribe(stream.ReaderOptions{Name: "test", History: true})
	defer r.Close()
	seen := map[uint32]bool{}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for {
		u, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n := int(u.NALUs[0][0])
		want := base.Add(time.Duration(n)*20*time.Millisecond + time.Duration(n/20)*time.Hour)
		if d := u.Wall.Sub(want).Abs(); d > time.Millisecond {
			t.Errorf("unit %d: wall %v, want %v", n, u.Wall, want)
		}
		seen[u.Epoch] = true
		c.Publish(u)
		if n == 59 {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("epochs %v, want 3", seen)
	}
}

func TestUnauthenticatedConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	h := startHub(t, func(c *rtsp.ServerConfig) {
		c.MaxUnauthenticated, c.AuthTimeout = 2, 300*time.Millisecond
	})
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
	}
	for range 5 {
		conn, err := net.Dial("tcp", h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		defer func() {
			if !closed(conn) {
				t.Error("an idle stranger stays connected")
			}
		}()
	}
	s := audioStream(t)
	waitFor(t, func() bool { // room again once the strangers are gone
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Is(rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("x")}, s), context.DeadlineExceeded) &&
			h.stream("x").Description() != nil
	})
}

func TestReleaseOfReaders(t *testing.T) {
	t.Parallel()
	h := startHub(t, nil)
	s := audioStream(t)
	background(t, func(ctx context.Context) error { return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("x")}, s) })
	for range 3 {
		pull(t, rtsp.PullConfig{URL: h.url("x")}, collect(pictures(5)))
		select {
		case <-h.readers:
		case <-time.After(5 * time.Second):
			t.Fatal("the reader was not released")
		}
	}
}

// streamAll reads a stream from its history on.
var streamAll = stream.ReaderOptions{Name: "test", History: true}

// startCamera pulls a test camera with sound into a stream of the hub and returns its path.
func startCamera(t *testing.T, h *hub) string {
	t.Helper()
	cam := rtsptest.Start(t, rtsptest.Options{Audio: media.G711A})
	s := h.stream("camera")
	background(t, func(ctx context.Context) error { return rtsp.Pull(ctx, rtsp.PullConfig{URL: cam.URL()}, s) })
	waitFor(t, func() bool { return s.Description() != nil })
	return "camera"
}
