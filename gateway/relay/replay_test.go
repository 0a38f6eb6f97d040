package relay_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"skein/edge/media"
	"skein/gateway/relay"
)

// tape is an Archive that holds what a made-up camera has published so far, a picture each 40 ms, numbered by its time.
type tape struct {
	since time.Time // of the recording
	mu    sync.Mutex
	sound media.Codec // a packet of 20 ms with its number, if not 0
	asked []time.Time // begin of every range asked for
	until time.Time   // nothing is recorded from then on; zero: all is
	gap   [2]int      // pictures from the first to before the second are missing
}

const (
	tapeFrame = 40 * time.Millisecond
	tapeGOP   = 25
	tapeSound = tapeFrame / 2
)

func (a *tape) Units(_ context.Context, camera string, from, to time.Time) ([]*media.AccessUnit, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, from)
	if camera != "a" {
		return nil, nil
	}
	desc := &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000, SPS: sps, PPS: pps}}}
	if a.sound != 0 {
		t := media.Track{Codec: a.sound, ClockRate: 8000, Channels: 1}
		if a.sound == media.AAC {
			t.ClockRate, t.AACConfig = 16000, []byte{0x14, 0x08}
		}
		desc.Tracks = append(desc.Tracks, t)
	}
	first := max(int(from.Sub(a.since)/tapeFrame), 0) / tapeGOP * tapeGOP
	var out []*media.AccessUnit
	for n := first; ; n++ {
		at := a.since.Add(time.Duration(n) * tapeFrame)
		if !at.Before(to) || (!a.until.IsZero() && !at.Before(a.until)) {
			return out, nil
		}
		if n >= a.gap[0] && n < a.gap[1] {
			continue
		}
		nalu := make([]byte, 400)
		nalu[0] = 0x41
		if n%tapeGOP == 0 {
			nalu[0] = 0x65
		}
		binary.BigEndian.PutUint32(nalu[1:], uint32(n))
		out = append(out, &media.AccessUnit{Desc: desc, Key: n%tapeGOP == 0, NALUs: [][]byte{nalu}, Wall: at})
		for i := 2 * n; a.sound != 0 && i < 2*n+2; i++ {
			// An archive has sound from the packet on that the range begins in.
			if wall := a.since.Add(time.Duration(i) * tapeSound); wall.Add(tapeSound).After(from) && wall.Before(to) {
				out = append(out, &media.AccessUnit{
					Desc: desc, Track: 1, NALUs: [][]byte{binary.BigEndian.AppendUint32(nil, uint32(i))},
					PTS: int64(i) * int64(desc.Tracks[1].ClockRate) / 50, Wall: wall,
				})
			}
		}
	}
}

// numbered returns the number of a picture sent in one packet; the parameter sets have none.
func numbered(p *rtp.Packet) (n int, key, ok bool) {
	var d depacketizer
	for _, nalu := range d.push(p.Payload) {
		if t := nalu[0] & 0x1f; (t == 1 || t == 5) && len(nalu) == 400 {
			return int(binary.BigEndian.Uint32(nalu[1:])), t == 5, true
		}
	}
	return 0, false, false
}

func withTape(tb testing.TB, a relay.Archive) (*relay.Relay, *cameras) {
	tb.Helper()
	r, cs := prepare(tb, relay.Config{}, running(tb, "a", "b"))
	r.Use(relay.Parts{Archive: a})
	launch(tb, r, cs)
	return r, cs
}

func mayReplay() relay.Viewer {
	v := everything("li")
	v.Replay = func(camera string) bool { return camera != "b" }
	return v
}

// A tile goes back, plays what was recorded at its pace without a hole over the borders of what was asked for, says how
// old that is, and returns to the live picture. Sequence numbers have no hole and timestamps never go back meanwhile.
func TestReplay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := &tape{since: now.Add(-5 * time.Minute)}
	r, _ := withTape(t, a)
	w := newWall(t, r, 1, mayReplay())
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.state(is(0, "a", "live"))
	asked := time.Now()
	w.tell(`{"type":"replay","slot":0,"back_s":12}`)
	s := w.state(is(0, "a", "replay"))
	if !s.Replay || s.AgeMS < 11_000 || s.AgeMS > 13_000 || s.Behind != s.AgeMS {
		t.Errorf("%+v", s)
	}
	var first, last, pictures int
	var began time.Time
	var seq uint16
	var stamp uint32
	timeout := time.After(20 * time.Second)
	for pictures < 250 { // ten seconds: more than what is in the archive at first
		var p *rtp.Packet
		select {
		case p = <-w.packets[0]:
		case <-timeout:
			t.Fatalf("%d pictures", pictures)
		}
		if seq != 0 && p.SequenceNumber != seq+1 {
			t.Fatalf("packet %d follows %d", p.SequenceNumber, seq)
		}
		if seq != 0 && int32(p.Timestamp-stamp) < 0 {
			t.Fatalf("timestamp %d after %d", p.Timestamp, stamp)
		}
		seq, stamp = p.SequenceNumber, p.Timestamp
		n, key, ok := numbered(p)
		if !ok {
			continue
		}
		switch {
		case pictures == 0:
			if first, began = n, time.Now(); !key {
				t.Errorf("the first picture, %d, is no key frame", n)
			}
		case n != last+1:
			t.Fatalf("picture %d follows %d", n, last)
		}
		last = n
		pictures++
	}
	want := int(asked.Add(-12*time.Second).Sub(a.since) / tapeFrame)
	if first > want || first < want-tapeGOP {
		t.Errorf("begins with picture %d, want the key frame before %d", first, want)
	}
	shown := time.Duration(last-want) * tapeFrame
	if d := time.Since(began); (d - shown).Abs() > 700*time.Millisecond {
		t.Errorf("%v of footage in %v", shown, d)
	}
	w.state(func(s wallState) bool { return s.State == "replay" && s.FPS >= 24 && s.FPS <= 27 })
	w.tell(`{"type":"live","slot":0}`)
	w.state(is(0, "a", "live"))
	for range 20 { // the same rules hold for the live picture after it
		p := <-w.packets[0]
		if p.SequenceNumber != seq+1 || int32(p.Timestamp-stamp) < 0 {
			t.Fatalf("packet %d at %d follows %d at %d", p.SequenceNumber, p.Timestamp, seq, stamp)
		}
		seq, stamp = p.SequenceNumber, p.Timestamp
	}
}

// The states of a tile tell of every picture when it was captured, by its RTP timestamp: of live ones, of recorded ones,
// and of those after a gap that a replay makes short.
func TestStatesTellWhenPicturesWereTaken(t *testing.T) {
	t.Parallel()
	a := &tape{since: time.Now().Add(-5 * time.Minute)}
	behindGap := int(time.Since(a.since)/tapeFrame) / tapeGOP * tapeGOP
	a.gap = [2]int{behindGap - 55*25, behindGap - 20*25}
	r, _ := withTape(t, a)
	w := newWall(t, r, 1, mayReplay())
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	if s := w.state(is(0, "a", "live")); time.Since(s.Taken).Abs() > 5*time.Second {
		t.Errorf("a live picture is of %v", s.Taken)
	}
	w.tell(`{"type":"replay","slot":0,"back_s":60}`)
	said := []wallState{w.state(func(s wallState) bool { return s.State == "replay" && !s.Taken.IsZero() })}
	type picture struct {
		n     int
		stamp uint32
	}
	var seen []picture
	timeout := time.After(20 * time.Second)
	for len(seen) == 0 || seen[len(seen)-1].n < a.gap[1]+30 {
		select {
		case s := <-w.states:
			if s.State == "replay" {
				said = append(said, s)
			}
		case p := <-w.packets[0]:
			if n, _, ok := numbered(p); ok {
				seen = append(seen, picture{n, p.Timestamp})
			}
		case <-timeout:
			t.Fatalf("%d pictures, gap %v: %v", len(seen), a.gap, seen)
		}
	}
	before, after := 0, 0
	for _, p := range seen {
		by := said[0] // the newest that was said of a timestamp not after the picture's
		for _, s := range said {
			if int32(p.stamp-s.RTP) >= 0 {
				by = s
			}
		}
		at := a.since.Add(time.Duration(p.n) * tapeFrame)
		told := by.Taken.Add(time.Duration(int32(p.stamp-by.RTP)) * time.Second / 90000)
		if at.Before(said[0].Taken) {
			continue // on the way to the moment asked for: they pass in an instant
		}
		if told.Sub(at).Abs() > tapeFrame {
			t.Errorf("picture %d at %d was captured at %v, told is %v", p.n, p.stamp, at, told.Sub(at))
		}
		if p.n < a.gap[0] {
			before++
		} else {
			after++
		}
	}
	if before < 50 || after < 30 {
		t.Errorf("%d pictures before the gap and %d after it", before, after)
	}
}

// A replay plays the sound of its time to who listens, without a hole or a doubled packet, in step with the picture by
// what sender reports say, and the live sound again after it.
func TestReplayHasSound(t *testing.T) {
	t.Parallel()
	a := &tape{since: time.Now().Add(-5 * time.Minute).Truncate(time.Millisecond), sound: media.G711A}
	c := sizedCamera(500)
	c.desc = &media.Description{Tracks: []media.Track{c.desc.Tracks[0], {Codec: media.G711A, ClockRate: 8000, Channels: 1}}}
	c.voice = 'v'
	c.publish()
	live(t, c, 25)
	r, cs := prepare(t, relay.Config{}, map[string]*camera{"a/sub": c})
	r.Use(relay.Parts{Archive: a})
	launch(t, r, cs)
	w := newWall(t, r, 1, mayReplay())
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.tell(`{"type":"listen","slot":0}`)
	w.state(is(0, "a", "live"))
	w.voice('v')
	w.tell(`{"type":"replay","slot":0,"back_s":12}`)
	w.state(is(0, "a", "replay"))
	var last int
	var at, behind time.Time // of the newest sound heard
	var stamp uint32
	timeout := time.After(30 * time.Second)
	for heard := 0; heard < 600; { // twelve seconds: more than what is in the archive at first
		select {
		case p := <-w.sound:
			if len(p.Payload) != 4 {
				if heard > 0 {
					t.Fatalf("live sound in a replay, after %d packets", heard)
				}
				continue
			}
			n := int(binary.BigEndian.Uint32(p.Payload))
			if heard > 0 && (n != last+1 || p.Timestamp-stamp != 160) {
				t.Fatalf("sound %d at %d follows %d at %d", n, p.Timestamp, last, stamp)
			}
			last, stamp, at, behind = n, p.Timestamp, time.Now(), a.since.Add(time.Duration(n)*tapeSound)
			heard++
			w.captured(t, 8000, p.Timestamp, behind)
		case p := <-w.packets[0]:
			if n, _, ok := numbered(p); ok && heard > 50 {
				taken := a.since.Add(time.Duration(n) * tapeFrame)
				w.captured(t, 90000, p.Timestamp, taken)
				if d := taken.Sub(behind) - time.Since(at); d.Abs() > time.Second {
					t.Errorf("a picture %v from the sound heard", d)
				}
			}
		case <-timeout:
			t.Fatalf("%d sounds", heard)
		}
	}
	if w.compared[8000] < 200 || w.compared[90000] < 100 {
		t.Errorf("times compared: %v", w.compared)
	}
	w.tell(`{"type":"live","slot":0}`)
	w.state(is(0, "a", "live"))
	w.voice('v')
}

// voice waits for the sound of a camera that is live.
func (w *wallClient) voice(v byte) {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case p := <-w.sound:
			if len(p.Payload) == 1 && p.Payload[0] == v {
				return
			}
		case <-w.packets[0]:
		case <-timeout:
			w.t.Fatalf("no live sound")
		}
	}
}

// captured compares when something was taken with what the newest sender report of its clock says.
func (w *wallClient) captured(t *testing.T, rate int, stamp uint32, at time.Time) {
	t.Helper()
	report := w.reports[rate].Load()
	if report == nil || report.taken.Before(at.Add(-time.Minute)) || report.taken.After(at.Add(5*time.Second)) {
		return // of the live picture
	}
	says := report.taken.Add(time.Duration(int32(stamp-report.stamp)) * time.Second / time.Duration(rate))
	if off := says.Sub(at); off.Abs() > 5*time.Millisecond {
		t.Errorf("clock of %d: captured at %v, sender reports say %v later", rate, at, off)
	}
	w.compared[rate]++
}

// AAC is heard in a replay too, by a transcoding of its own.
func TestReplayHasAAC(t *testing.T) {
	t.Parallel()
	f := &fakeTranscoder{}
	r, cs := prepare(t, relay.Config{SoundTranscodes: 1}, speaking(t, "a"))
	r.Use(relay.Parts{Transcoder: f, Archive: &tape{since: time.Now().Add(-5 * time.Minute), sound: media.AAC}})
	launch(t, r, cs)
	w := newWall(t, r, 1, mayReplay())
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.state(is(0, "a", "live"))
	w.tell(`{"type":"replay","slot":0,"back_s":20}`)
	w.state(func(s wallState) bool { return s.State == "replay" && s.Sound == "" })
	if n := f.hummings.Load(); n != 0 {
		t.Errorf("%d sounds transcoded that nobody listens to", n)
	}
	w.tell(`{"type":"listen","slot":0}`)
	w.state(func(s wallState) bool { return s.State == "replay" && s.Sound == string(relay.CodeSoundTranscoded) })
	w.hears(0) // the first byte of a number
	w.tell(`{"type":"live","slot":0}`)
	w.state(sounds(0, relay.CodeSoundTranscoded))
	w.hears('a')
	w.tell(`{"type":"hide","slot":0}`)
	within(t, "end of all", func() bool { return f.hums.Load() == 0 && cs.inUse.Load() == 0 })
}

// A replay that finds nothing leaves the live picture, and says why.
func TestNoReplay(t *testing.T) {
	t.Parallel()
	a := &tape{since: time.Now().Add(-time.Minute)}
	r, cs := withTape(t, a)
	w := newWall(t, r, 2, mayReplay())
	refused := func(slot int, reason relay.Code) {
		t.Helper()
		w.state(func(s wallState) bool { return s.Type == "error" && s.Slot == slot && s.Reason == string(reason) })
	}
	w.tell(`{"type":"replay","slot":0,"back_s":30}`)
	refused(0, relay.CodeNothingShown)
	w.tell(`{"type":"replay","slot":0,"back_s":300}`)
	refused(0, relay.CodeBadMessage)
	w.tell(`{"type":"show","slot":1,"camera":"b","profile":"sub"}`)
	w.state(is(1, "b", "live"))
	w.tell(`{"type":"replay","slot":1,"back_s":30}`)
	refused(1, relay.CodeForbidden)
	w.state(is(1, "b", "live"))
	a.mu.Lock()
	a.until = a.since.Add(time.Second)
	a.mu.Unlock()
	w.tell(`{"type":"show","slot":0,"camera":"a","profile":"sub"}`)
	w.state(is(0, "a", "live"))
	w.tell(`{"type":"replay","slot":0,"back_s":20}`)
	refused(0, relay.CodeNoFootage)
	w.state(is(0, "a", "live"))
	if n := cs.inUse.Load(); n != 2 {
		t.Errorf("%d streams open", n)
	}
}
