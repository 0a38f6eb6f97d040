package relay_test

import (
	"slices"
	"testing"
	"time"

	"skein/edge/media"
	"skein/gateway/relay"
)

// speaking returns running cameras that send AAC, each its own byte.
func speaking(tb testing.TB, ids ...string) map[string]*camera {
	tb.Helper()
	cams := map[string]*camera{}
	for i, id := range ids {
		c := sizedCamera(500)
		c.desc = &media.Description{Tracks: []media.Track{
			c.desc.Tracks[0], {Codec: media.AAC, ClockRate: 16000, Channels: 1, AACConfig: []byte{0x14, 0x08}},
		}}
		c.voice = byte('a' + i)
		c.publish()
		live(tb, c, 25)
		cams[id+"/sub"] = c
	}
	return cams
}

// transcoding runs a relay with a made-up transcoder.
func transcoding(tb testing.TB, sounds int, cams map[string]*camera) (*relay.Relay, *cameras, *fakeTranscoder) {
	tb.Helper()
	f := &fakeTranscoder{}
	r, cs := prepare(tb, relay.Config{SoundTranscodes: sounds}, cams)
	r.Use(relay.Parts{Transcoder: f})
	launch(tb, r, cs)
	return r, cs, f
}

// hears waits for a packet of Opus with a camera's byte.
func (w *wallClient) hears(voice byte) {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case p := <-w.sound:
			if p.PayloadType == 111 && p.Payload[1] == voice {
				return
			}
		case <-timeout:
			w.t.Fatalf("no sound of %c", voice)
		}
	}
}

func sounds(slot int, code relay.Code) func(wallState) bool {
	return func(s wallState) bool { return s.Slot == slot && s.State == "live" && s.Sound == string(code) }
}

// Sound that WebRTC cannot carry is heard as Opus while somebody listens, made once for all who do, as far as there is
// room; the states of the tile listened to say so.
func TestWallHearsAAC(t *testing.T) {
	t.Parallel()
	r, cs, f := transcoding(t, 1, speaking(t, "a", "b"))
	w := newWall(t, r, 2, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.tell(`{"type":"show","slot":1,"camera":"b","profile":"sub"}`)
	w.state(sounds(0, ""))
	w.state(sounds(1, ""))
	if n := f.hummings.Load(); n != 0 {
		t.Errorf("%d sounds transcoded that nobody listens to", n)
	}
	w.tell(`{"type":"listen","slot":0}`)
	w.state(sounds(0, relay.CodeSoundTranscoded))
	w.hears('a')
	w.state(sounds(1, ""))

	other := newWall(t, r, 2, everything("wang"))
	other.tell(`{"type":"show","slot":1,"camera":"a","profile":"sub"}`)
	other.tell(`{"type":"show","slot":0,"camera":"b","profile":"sub"}`)
	other.state(sounds(1, ""))
	other.tell(`{"type":"listen","slot":1}`)
	other.hears('a')
	if n := f.hummings.Load(); n != 1 {
		t.Errorf("%d transcodings of one sound", n)
	}
	within(t, "the sound with both who hear it among the streams", func() bool {
		return slices.ContainsFunc(r.Streams(), func(s relay.StreamStats) bool {
			return s.Camera == "a" && s.Variant == "opus" && s.Viewers == 2 && s.Packets > 0
		})
	})
	other.state(sounds(0, ""))
	other.tell(`{"type":"listen","slot":0}`)
	other.state(sounds(0, relay.CodeSoundBusy))
	other.state(sounds(1, ""))
	w.tell(`{"type":"listen","slot":-1}`)
	w.state(sounds(0, ""))
	other.hears('b') // tried again as soon as there is room
	other.state(sounds(0, relay.CodeSoundTranscoded))
	w.tell(`{"type":"hide","slot":0}`)
	other.tell(`{"type":"hide","slot":0}`)
	other.tell(`{"type":"hide","slot":1}`)
	within(t, "end of the sound", func() bool { return f.hums.Load() == 0 && cs.inUse.Load() == 1 })
}

// A transcoder that fails is told, and costs the picture nothing.
func TestBrokenSoundLeavesThePicture(t *testing.T) {
	t.Parallel()
	r, _, f := transcoding(t, 4, speaking(t, "a"))
	f.broken.Store(true)
	w := newWall(t, r, 1, everything("li"))
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.tell(`{"type":"listen","slot":0}`)
	w.state(sounds(0, relay.CodeSoundFailed))
	for range 20 {
		<-w.packets[0]
	}
	if n := f.hummings.Load(); n != 1 {
		t.Errorf("%d attempts within a moment", n)
	}
}

// A single stream has the same sound, and its answer waits for none of it.
func TestWHEPHearsAAC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit  int
		player playerOptions
		broken bool
		want   relay.Code
		heard  bool
	}{
		"as Opus":       {1, playerOptions{audio: true, opus: true}, false, relay.CodeSoundTranscoded, true},
		"broken":        {1, playerOptions{audio: true, opus: true}, true, relay.CodeSoundTranscoded, false},
		"no Opus":       {1, playerOptions{audio: true}, false, relay.CodeSoundNotOffered, false},
		"no transcoder": {0, playerOptions{audio: true, opus: true}, false, relay.CodeSoundUnsupported, false},
		"not asked for": {1, playerOptions{}, false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cams := speaking(t, "a")
			cams["a/main"] = cams["a/sub"]
			r, cs, f := transcoding(t, c.limit, cams)
			f.broken.Store(c.broken)
			p := newPlayer(t, c.player).play(r, "a")
			if p.session.Sound != c.want || p.session.Warning != "" {
				t.Errorf("warned of %q, %q; want %q", p.session.Warning, p.session.Sound, c.want)
			}
			p.slice()
			if c.heard {
				select {
				case a := <-p.audio:
					if a.PayloadType != 111 || a.Payload[1] != 'a' {
						t.Errorf("%+v", a)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("no sound")
				}
			}
			must(t, r.End(t.Context(), p.session.ID, everything("tester")))
			within(t, "end of all", func() bool { return f.hums.Load() == 0 && cs.inUse.Load() == 0 })
		})
	}
}
