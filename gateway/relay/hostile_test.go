package relay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
)

// shot is one unit of a made-up source.
type shot struct {
	key   bool
	size  int           // bytes of its slice
	pts   time.Duration // presentation time
	epoch uint32
	sets  [][]byte           // parameter sets in band
	desc  *media.Description // nil: that of the unit before
	sound bool               // not a picture
	wait  time.Duration      // until the next
}

// row returns n pictures at fps, a key frame every gop.
func row(n, fps, gop int) []shot {
	out := make([]shot, n)
	for i := range out {
		out[i] = shot{
			key: i%gop == 0, size: 3000, pts: time.Duration(i) * time.Second / time.Duration(fps),
			sets: [][]byte{sps, pps}, wait: time.Second / time.Duration(fps),
		}
	}
	return out
}

// with changes a row.
func with(shots []shot, change func(i int, s *shot)) []shot {
	for i := range shots {
		change(i, &shots[i])
	}
	return shots
}

// described is a description of H.264 with this sequence parameter set.
func described(set []byte, reorders bool) *media.Description {
	return &media.Description{Tracks: []media.Track{
		{Codec: media.H264, ClockRate: 90000, SPS: set, PPS: pps, Width: 1280, Height: 720, FPS: 25, BFrames: reorders},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
}

// picture collects the NAL units of the next picture; ok is false if nothing at all comes for so long. A busy machine
// takes seconds to decrypt the packets of a huge picture.
func (p *player) picture(limit time.Duration) (nalus [][]byte, last received, ok bool) {
	raw := p.raw.Load()
	for end := time.After(limit); ; {
		select {
		case r := <-p.nalus:
			nalus = append(nalus, r.nalu)
			if r.last {
				return nalus, r, true
			}
		case <-end:
			now := p.raw.Load()
			if now == raw {
				return nil, last, false
			}
			raw, end = now, time.After(limit)
		}
	}
}

// pictures counts them.
func pictures(shots []shot) (n int) {
	for _, s := range shots {
		if !s.sound {
			n++
		}
	}
	return n
}

// check takes n pictures, fewer if nothing came for four seconds, and proves of each that it is one that was published,
// whole, with the parameter sets it needs, in order, at a time that goes with its arrival at the relay, and after a hole
// a key frame. It returns their numbers.
func (p *player) check(c *source, reorders bool, n int) (numbers []int) {
	p.t.Helper()
	var before received
	var since time.Time // when the picture before came to the relay
	for len(numbers) < n {
		nalus, last, ok := p.picture(4 * time.Second)
		if !ok {
			return numbers
		}
		slice := nalus[len(nalus)-1]
		if len(slice) < 5 {
			p.t.Fatalf("a picture of %d bytes", len(slice))
		}
		i := int(binary.BigEndian.Uint32(slice[1:]))
		c.mu.Lock()
		known := i < len(c.units)
		var want [][]byte
		var key bool
		var at time.Time
		late := c.late
		if known {
			want, key, at = c.units[i], c.keys[i], c.at[i]
		}
		c.mu.Unlock()
		if !known || !slices.EqualFunc(lastSets(nalus), want, bytes.Equal) {
			p.t.Errorf("picture %d (key %v) of %d NAL units is not what was published", i, key, len(nalus))
		}
		if n := len(numbers); n > 0 {
			again := i <= numbers[n-1] && p.gaveUp.Load() // it asked for a key frame: the group of pictures comes once more
			if !again && (i <= numbers[n-1] || (i > numbers[n-1]+1 && !key)) {
				p.t.Errorf("picture %d (key %v) follows %d", i, key, numbers[n-1])
			}
			step := time.Duration(int32(last.ts-before.ts)) * time.Second / 90000
			if step <= 0 && !reorders {
				p.t.Errorf("picture %d is %v after picture %d", i, step, numbers[n-1])
			}
			before = last
			if again {
				continue
			}
			if off := step - at.Sub(since); off.Abs() > 2*time.Second+late {
				p.t.Errorf("picture %d is %v after picture %d, but came to the relay %v after it", i, step, numbers[n-1],
					at.Sub(since))
			}
		} else if !key {
			p.t.Errorf("the first picture, %d, is no key frame", i)
		}
		numbers, before, since = append(numbers, i), last, at
	}
	return numbers
}

// lastSets drops parameter sets that are overruled by others behind them, and puts the sequence's first.
func lastSets(nalus [][]byte) (out [][]byte) {
	newest := map[byte]int{}
	for i, n := range nalus {
		newest[n[0]&0x1f] = i
	}
	for i, n := range nalus {
		if t := n[0] & 0x1f; (t != 7 && t != 8) || newest[t] == i {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b []byte) int { return order[a[0]&0x1f] - order[b[0]&0x1f] })
	return out
}

// order is that of NAL units in an access unit, by type.
var order = map[byte]int{7: 1, 8: 2, 1: 3, 5: 3}

var larger = []byte{0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84}

// TestHostileStreams sends what no camera should send and some cameras do. Whatever it is, a viewer gets whole pictures
// in order and keeps its session.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shots    []shot
		least    int  // pictures after which the film may end, some being lost with a huge one; 0: all of them
		reorders bool // presentation times go back and forth, as they do with B-frames
		reason   string
	}{
		"duplicated PTS": {shots: with(row(60, 50, 10), func(i int, s *shot) { s.pts = s.pts / (40 * time.Millisecond) * (40 * time.Millisecond) })},
		"PTS that go back a little": {shots: with(row(60, 50, 10), func(i int, s *shot) {
			if i%7 == 3 {
				s.pts -= 100 * time.Millisecond
			}
		})},
		"PTS that go back an hour": {shots: with(row(60, 50, 10), func(i int, s *shot) {
			s.pts += 2 * time.Hour
			if i > 30 {
				s.pts -= time.Hour
			}
		})},
		"PTS that jump ahead by hours, twice": {shots: with(row(60, 50, 10), func(i int, s *shot) { s.pts += time.Duration(i/20) * 5 * time.Hour })},
		"PTS that jump with the epoch": {shots: with(row(60, 50, 10), func(i int, s *shot) {
			s.epoch = uint32(i / 20)
			s.pts -= time.Duration(i/20) * 9 * time.Hour
		})},
		"no parameter sets in band":      {shots: with(row(50, 50, 10), func(_ int, s *shot) { s.sets = nil })},
		"only the sequence's set":        {shots: with(row(50, 50, 10), func(_ int, s *shot) { s.sets = [][]byte{sps} })},
		"only the picture's set":         {shots: with(row(50, 50, 10), func(_ int, s *shot) { s.sets = [][]byte{pps} })},
		"a key frame of 600 kB":          {shots: with(row(60, 50, 20), func(i int, s *shot) { s.size = map[bool]int{true: 600_000, false: 5000}[s.key] })},
		"a picture of 5 MB":              {shots: with(row(500, 25, 25), func(i int, s *shot) { s.size = map[bool]int{true: 5 << 20, false: 3000}[i == 30] }), least: 40},
		"a key frame of 5 MB":            {shots: with(row(500, 25, 25), func(i int, s *shot) { s.size = map[bool]int{true: 5 << 20, false: 3000}[i == 25] }), least: 40},
		"1 picture a second":             {shots: row(5, 1, 2)},
		"60 pictures a second":           {shots: row(180, 60, 60)},
		"a group of pictures of 500":     {shots: row(80, 50, 500)},
		"empty and one-byte slices":      {shots: with(row(50, 50, 10), func(i int, s *shot) { s.sets = append(s.sets, nil, []byte{9, 0xf0}, []byte{}) })},
		"a new resolution in between":    {shots: with(row(60, 50, 10), func(i int, s *shot) { renew(i, s, true) })},
		"a new resolution, out of band":  {shots: with(row(60, 50, 10), func(i int, s *shot) { renew(i, s, false) })},
		"B-frames":                       {shots: with(row(61, 25, 12), bframes), reorders: true, reason: "b-frames"},
		"key frames that stay away":      {shots: with(row(60, 50, 10), func(i int, s *shot) { s.key = s.key && i < 10 })},
		"sound between pictures":         {shots: with(row(60, 50, 10), func(i int, s *shot) { s.sound = i%3 == 1; s.key = s.key && !s.sound || i == 0 })},
		"units of many parameter sets":   {shots: with(row(50, 50, 10), func(i int, s *shot) { s.sets = slices.Repeat([][]byte{sps, pps}, 60) })},
		"two key frames in a row, often": {shots: with(row(60, 50, 10), func(i int, s *shot) { s.key = i%10 < 2 })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := &source{camera: &camera{stream: stream.New(stream.Options{}), desc: described(sps, c.reorders)}}
			r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": src.camera})
			src.film(0, c.shots[0])
			p := newPlayer(t, playerOptions{nack: true})
			p.giveUp = time.Second
			p.play(r, "gate")
			w := newWall(t, r, 1, everything("duty"))
			w.tell(`{"type":"show","slot":0,"camera":"gate","profile":"main"}`)
			id := p.session.ID
			var filming sync.WaitGroup
			enough := make(chan struct{})
			filming.Go(func() {
				for i, s := range c.shots[1:] {
					select {
					case <-time.After(c.shots[i].wait):
						src.film(i+1, s)
					case <-enough:
						return
					}
				}
			})
			if c.reason != "" {
				w.state(func(s wallState) bool { return s.Camera == "gate" && s.Reason == c.reason })
			}
			want := c.least
			if want == 0 {
				want = pictures(c.shots)
			}
			got := p.check(src, c.reorders, want)
			close(enough)
			filming.Wait()
			if len(got) < want {
				t.Errorf("%d of %d pictures came, want %d: %v", len(got), len(src.units), want, got)
			}
			if !slices.ContainsFunc(r.Sessions(), func(s relay.SessionStats) bool { return s.ID == id && s.Connected }) {
				t.Error("the session is over")
			}
		})
	}
}

// renew changes the resolution at a key frame.
func renew(i int, s *shot, inBand bool) {
	set := sps
	if i >= 30 {
		set = larger
	}
	s.sets = nil
	if inBand {
		s.sets = [][]byte{set, pps}
	}
	if i == 30 {
		s.desc = described(larger, false)
	}
}

// bframes gives a row the times of I B B P B B P …, in the order of decoding.
func bframes(i int, s *shot) {
	switch {
	case s.key || i%3 == 0:
	case i%3 == 1:
		s.pts += 2 * 40 * time.Millisecond
	default:
		s.pts -= 40 * time.Millisecond
	}
}

func TestCameraWithoutPictures(t *testing.T) {
	t.Parallel()
	src := &source{camera: &camera{stream: stream.New(stream.Options{}), desc: &media.Description{
		Tracks: []media.Track{{Codec: media.G711A, ClockRate: 8000, Channels: 1}},
	}}}
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": src.camera})
	w := newWall(t, r, 1, everything("duty"))
	for i := range 50 {
		src.stream.Publish(&media.AccessUnit{
			Desc: src.desc, PTS: int64(i) * 160, Wall: time.Now(), Arrival: time.Now(), NALUs: [][]byte{{1, 2}},
		})
	}
	w.tell(`{"type":"show","slot":0,"camera":"gate","profile":"main"}`)
	if s := w.state(is(0, "gate", "sound_only")); s.Reason != "" {
		t.Errorf("reason %q", s.Reason)
	}
}

// A stream without a key frame is none: a viewer is told so, and has its pictures as soon as there is one.
func TestNoKeyFrameAtFirst(t *testing.T) {
	t.Parallel()
	src := &source{camera: &camera{stream: stream.New(stream.Options{}), desc: described(sps, false)}}
	r, _ := start(t, relay.Config{StartTimeout: 300 * time.Millisecond}, map[string]*camera{"gate/main": src.camera})
	shots := with(row(60, 25, 10), func(i int, s *shot) { s.key = i == 45 })
	src.film(0, shots[0])
	w := newWall(t, r, 1, everything("duty"))
	w.tell(`{"type":"show","slot":0,"camera":"gate","profile":"main"}`)
	p := newPlayer(t, playerOptions{})
	_, err := r.Answer(t.Context(), relay.Offer{SDP: p.offer(), Camera: "gate", Profile: media.Main, Viewer: everything("a")})
	var e *relay.Error
	if !errors.As(err, &e) || e.Code != relay.CodeNoSignal {
		t.Errorf("WHEP of a stream without key frame: %v", err)
	}
	for i := 1; i < 30; i++ {
		time.Sleep(shots[i].wait)
		src.film(i, shots[i])
	}
	w.state(is(0, "gate", "no_signal"))
	for i := 30; i < 60; i++ {
		time.Sleep(shots[i].wait)
		src.film(i, shots[i])
	}
	w.state(is(0, "gate", "live"))
	var s slotReader
	w.until(0, &s, func(n []byte) bool { return n[0]&0x1f == 5 })
}

// A group of pictures too large to catch up with is waited out, with its key frame for a picture meanwhile, and the tile
// says so instead of calling itself live.
func TestWaitingForAKeyFrameIsSaid(t *testing.T) {
	t.Parallel()
	src := &source{camera: &camera{stream: stream.New(stream.Options{}), desc: described(sps, false)}}
	r, _ := start(t, relay.Config{CatchUpBytes: 20_000}, map[string]*camera{"gate/main": src.camera})
	shots := row(200, 25, 100)
	for i := range 10 {
		src.film(i, shots[i])
	}
	w := newWall(t, r, 1, everything("duty"))
	w.tell(`{"type":"show","slot":0,"camera":"gate","profile":"main"}`)
	var filming sync.WaitGroup
	filming.Go(func() {
		for i := 10; i < 200; i++ {
			time.Sleep(shots[i].wait)
			src.film(i, shots[i])
		}
	})
	defer filming.Wait()
	w.state(func(s wallState) bool { return s.State == "frozen" && s.Reason == "waiting-for-key" })
	w.state(func(s wallState) bool {
		if s.State == "live" && s.Reason != "" {
			t.Errorf("live, but %q", s.Reason)
		}
		return s.State == "live"
	})
	var s slotReader
	w.until(0, &s, func(n []byte) bool { return n[0]&0x1f == 5 })
}
