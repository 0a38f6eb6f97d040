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

// The limit is of memory, whatever a camera makes its pictures of: of one byte each, eight million fitted into 8 MiB.
func TestHistoryOfTinyUnitsIsBounded(t *testing.T) {
	s := stream.New(stream.Options{})
	defer s.Close(nil)
	desc := &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000}}}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), 0
	for i := range 200_000 {
		nalus := [][]byte{make([]byte, 1), make([]byte, 1)}
		s.Publish(&media.AccessUnit{Desc: desc, Key: i == 0, Arrival: time.Now(), NALUs: nalus})
		if i%10_000 == 0 {
			most = max(most, int(int64(heap())-int64(before)))
		}
	}
	if most > 16<<20 {
		t.Errorf("the history took %d bytes of memory, its limit is 8 MiB", most)
	}
}
