package stream_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"skein/edge/media"
	"skein/edge/stream"
)

// What the history forgot can be collected, also after a moment of many short groups of pictures.
func TestHistoryLetsGo(t *testing.T) {
	t.Parallel()
	s := stream.New(stream.Options{HistoryAge: 2 * time.Second})
	defer s.Close(nil)
	desc := &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000}}}
	now := time.Unix(1e9, 0)
	publish := func(key bool) *media.AccessUnit {
		now = now.Add(40 * time.Millisecond)
		u := &media.AccessUnit{Desc: desc, Key: key, Arrival: now, Wall: now, NALUs: [][]byte{make([]byte, 100)}}
		s.Publish(u)
		return u
	}
	for range 40 { // a camera in trouble, or asked for key frames
		publish(true)
	}
	var old []weak.Pointer[media.AccessUnit]
	for i := range 5000 {
		if u := publish(i%50 == 0); i < 2000 {
			old = append(old, weak.Make(u))
		}
	}
	runtime.GC()
	held := 0
	for _, p := range old {
		if p.Value() != nil {
			held++
		}
	}
	if held > 0 {
		t.Errorf("%d of %d units from long ago are held", held, len(old))
	}
	if n := len(s.History()); n < 50 || n > 150 {
		t.Errorf("the history has %d units", n)
	}
}
