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
	asked []time.Time // begin of every range asked for
	until time.Time   // nothing is recorded from then on; zero: all is
}

const (
	tapeFrame = 40 * time.Millisecond
	tapeGOP   = 25
)

func (a *tape) Units(_ context.Context, camera string, from, to time.Time) ([]*media.AccessUnit, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, from)
	if camera != "a" {
		return nil, nil
	}
	desc := &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000, SPS: sps, PPS: pps}}}
	first := max(int(from.Sub(a.since)/tapeFrame), 0) / tapeGOP * tapeGOP
	var out []*media.AccessUnit
	for n := first; ; n++ {
		at := a.since.Add(time.Duration(n) * tapeFrame)
		if !at.Before(to) || (!a.until.IsZero() && !at.Before(a.until)) {
			return out, nil
		}
		nalu := make([]byte, 400)
		nalu[0] = 0x41
		if n%tapeGOP == 0 {
			nalu[0] = 0x65
		}
		binary.BigEndian.PutUint32(nalu[1:], uint32(n))
		out = append(out, &media.AccessUnit{Desc: desc, Key: n%tapeGOP == 0, NALUs: [][]byte{nalu}, Wall: at})
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
