package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
)

// fakeTranscoder makes made-up H.264 and made-up Opus as long as it runs.
type fakeTranscoder struct {
	runs, starts   atomic.Int64
	hums, hummings atomic.Int64 // sounds now, and in all
	broken         atomic.Bool  // sounds end at once
}

// Opus makes a packet of each unit of sound, with the byte it begins with behind that of 20 ms.
func (f *fakeTranscoder) Opus(ctx context.Context, in *stream.Stream) (*stream.Stream, func()) {
	f.hums.Add(1)
	f.hummings.Add(1)
	out := stream.New(stream.Options{})
	desc := &media.Description{Tracks: []media.Track{{Codec: media.Opus, ClockRate: 48000}}}
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() {
		r := in.Subscribe(stream.ReaderOptions{History: true})
		defer r.Close()
		for !f.broken.Load() {
			u, err := r.Next(ctx)
			if err != nil {
				break
			}
			if !u.IsVideo() {
				packet := []byte{0xfc, u.NALUs[0][0]}
				out.Publish(&media.AccessUnit{
					Desc: desc, PTS: u.PTS * 3, Wall: u.Wall, Arrival: time.Now(), NALUs: [][]byte{packet},
				})
			}
		}
		out.Close(errors.New("no more sound"))
	})
	return out, func() {
		cancel()
		run.Wait()
		f.hums.Add(-1)
	}
}

func (f *fakeTranscoder) H264(ctx context.Context, in *stream.Stream) (*stream.Stream, func(), error) {
	f.runs.Add(1)
	f.starts.Add(1)
	c := newCamera()
	c.size = 500
	c.publish()
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { c.run(ctx, 25) })
	return c.stream, func() {
		cancel()
		run.Wait()
		c.stream.Close(nil)
		f.runs.Add(-1)
	}, nil
}

// hevc makes a running camera one that sends H.265, as far as its description tells.
func hevc(c *camera) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.desc = &media.Description{Tracks: []media.Track{{
		Codec: media.H265, ClockRate: 90000, VPS: []byte{0x40, 1, 2}, SPS: []byte{0x42, 1, 2}, PPS: []byte{0x44, 1, 2},
	}}}
}

// A tile whose codec the browser lacks shows the sub-stream if that can be shown, and is transcoded if not, as far as
// there are transcodings left; the reason is told. Nothing is transcoded that nobody sees.
func TestLadder(t *testing.T) {
	t.Parallel()
	cams := running(t, "a", "b", "c", "d")
	cams["d/main"] = cams["a/sub"]
	for _, id := range []string{"a", "b", "c"} {
		hevc(cams[id+"/sub"])
	}
	f := &fakeTranscoder{}
	r, cs := prepare(t, relay.Config{Transcodes: 2}, cams)
	r.Use(relay.Parts{Transcoder: f})
	launch(t, r, cs)
	for _, id := range []string{"a", "b", "c"} { // the newest group of pictures must be of the new kind
		within(t, "H.265", func() bool {
			d := cams[id+"/sub"].stream.Description()
			return d.Tracks[0].Codec == media.H265
		})
	}
	w := newWall(t, r, 4, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"d","profile":"auto","width":1920,"height":1080}`)
	if s := w.state(is(0, "d", "live")); s.Profile != "sub" || s.Reason != "codec-not-offered" || f.starts.Load() != 0 {
		t.Errorf("%+v, %d transcodings", s, f.starts.Load())
	}
	w.tell(`{"type":"show","slot":1,"camera":"a","profile":"sub"}`)
	if s := w.state(is(1, "a", "live")); s.Reason != "transcoded" {
		t.Errorf("%+v", s)
	}
	<-w.packets[1]
	w.tell(`{"type":"show","slot":1,"camera":"a","profile":"sub","width":10,"height":10}`) // the same again
	w.tell(`{"type":"tour","slot":2,"cameras":["b"],"dwell_s":60}`)
	if s := w.state(is(2, "b", "live")); s.Reason != "transcoded" || f.starts.Load() != 2 {
		t.Errorf("%+v, %d transcodings", s, f.starts.Load())
	}
	w.tell(`{"type":"show","slot":3,"camera":"c","profile":"sub"}`)
	w.state(func(s wallState) bool { return s.Slot == 3 && s.State == "offline" && s.Reason == "transcodes-busy" })
	slots := r.Sessions()[0].Slots // operators are told as well
	for i, want := range []string{"d sub codec-not-offered", "a sub transcoded", "b sub transcoded", "c  transcodes-busy"} {
		if s := slots[i]; fmt.Sprint(s.Camera, " ", s.Profile, " ", s.Reason) != want {
			t.Errorf("slot %d: %+v, want %s", i, s, want)
		}
	}

	p := newPlayer(t, playerOptions{}) // a second viewer of the same shares the transcoding
	s, err := r.Answer(t.Context(), relay.Offer{SDP: p.offer(), Camera: "a", Profile: media.Sub, Viewer: everything("wang")})
	if err != nil || s.Warning != relay.CodeTranscoded || f.starts.Load() != 2 {
		t.Errorf("%+v, %v, %d transcodings", s.Warning, err, f.starts.Load())
	}
	must(t, r.End(t.Context(), s.ID, everything("wang")))
	w.tell(`{"type":"hide","slot":1}`)
	w.state(is(3, "c", "live")) // tried again as soon as there is room
	w.tell(`{"type":"hide","slot":3}`)
	w.tell(`{"type":"hide","slot":2}`)
	w.tell(`{"type":"hide","slot":0}`)
	within(t, "end of all", func() bool { return f.runs.Load() == 0 && cs.inUse.Load() == 0 })
}

// The same holds for a camera of JPEG pictures, which no browser takes over WebRTC.
func TestLadderOfJPEG(t *testing.T) {
	t.Parallel()
	cams := running(t, "a")
	cams["a/sub"].mu.Lock()
	cams["a/sub"].desc = &media.Description{Tracks: []media.Track{{Codec: media.MJPEG, ClockRate: 90000}}}
	cams["a/sub"].mu.Unlock()
	within(t, "JPEG", func() bool { return cams["a/sub"].stream.Description().Tracks[0].Codec == media.MJPEG })
	f := &fakeTranscoder{}
	r, cs := prepare(t, relay.Config{Transcodes: 2}, cams)
	r.Use(relay.Parts{Transcoder: f})
	launch(t, r, cs)
	w := newWall(t, r, 1, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	if s := w.state(is(0, "a", "live")); s.Reason != "transcoded" {
		t.Errorf("%+v", s)
	}
	p := newPlayer(t, playerOptions{})
	s, err := r.Answer(t.Context(), relay.Offer{SDP: p.offer(), Camera: "a", Profile: media.Sub, Viewer: everything("wang")})
	if err != nil || s.Warning != relay.CodeTranscoded || f.starts.Load() != 1 {
		t.Errorf("%+v, %v, %d transcodings", s.Warning, err, f.starts.Load())
	}
}

// Without a transcoder the reason is the codec.
func TestNoLadder(t *testing.T) {
	t.Parallel()
	cams := running(t, "a")
	hevc(cams["a/sub"])
	r, cs := prepare(t, relay.Config{}, cams)
	r.Use(relay.Parts{Transcoder: &fakeTranscoder{}}) // installed, but switched off
	launch(t, r, cs)
	within(t, "H.265", func() bool { return cams["a/sub"].stream.Description().Tracks[0].Codec == media.H265 })
	w := newWall(t, r, 1, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.state(func(s wallState) bool { return s.State == "offline" && s.Reason == "codec-not-offered" })
}
