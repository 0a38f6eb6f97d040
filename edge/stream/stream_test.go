package stream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/edge/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	videoOnly  = &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: 90000}}}
	audioVideo = &media.Description{Tracks: []media.Track{
		{Codec: media.H264, ClockRate: 90000}, {Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	audioOnly = &media.Description{Tracks: []media.Track{{Codec: media.G711A, ClockRate: 8000, Channels: 1}}}
)

func unit(d *media.Description, track int, key bool, size int) *media.AccessUnit {
	return &media.AccessUnit{
		Desc: d, Track: track, Key: key, Arrival: time.Now(), NALUs: [][]byte{make([]byte, size)},
	}
}

// gop publishes one key frame and n-1 others, and returns how many it published.
func gop(s *stream.Stream, n int) {
	for i := range n {
		s.Publish(unit(videoOnly, 0, i == 0, 100))
	}
}

func drain(r *stream.Reader) (seqs []uint64) {
	for {
		u, ok := r.TryNext()
		if !ok {
			return seqs
		}
		seqs = append(seqs, u.Seq)
	}
}

func TestReaderWithoutHistoryStartsAtTheNextKeyFrame(t *testing.T) {
	s := stream.New(stream.Options{})
	gop(s, 3)
	r := s.Subscribe(stream.ReaderOptions{})
	defer r.Close()
	s.Publish(unit(videoOnly, 0, false, 1)) // 4
	gop(s, 2)                               // 5, 6
	if got := fmt.Sprint(drain(r)); got != "[5 6]" {
		t.Errorf("read %s, want [5 6]", got)
	}
}

func TestReaderWithHistoryGetsTheCurrentGOPThenLiveWithoutHoleOrDouble(t *testing.T) {
	s := stream.New(stream.Options{})
	gop(s, 5)
	gop(s, 4) // 6..9
	r := s.Subscribe(stream.ReaderOptions{History: true})
	defer r.Close()
	s.Publish(unit(videoOnly, 0, false, 1)) // 10
	if got := fmt.Sprint(drain(r)); got != "[6 7 8 9 10]" {
		t.Errorf("read %s, want [6 7 8 9 10]", got)
	}
}

func TestJoiningWhilePublishingLosesAndDoublesNothing(t *testing.T) {
	s := stream.New(stream.Options{})
	gop(s, 3)
	const total = 4000
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		defer close(stop)
		for range total {
			gop(s, 10)
			runtime.Gosched()
		}
	})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := s.Subscribe(stream.ReaderOptions{History: true, Queue: 1 << 12})
				last := uint64(0)
				for range 100 {
					u, ok := r.TryNext()
					if !ok {
						break
					}
					if last == 0 && !u.Key {
						t.Error("first unit is no key frame")
					}
					if last != 0 && u.Seq != last+1 && r.Drops().Total() == 0 {
						t.Errorf("unit %d follows %d", u.Seq, last)
					}
					last = u.Seq
				}
				r.Close()
			}
		})
	}
	wg.Wait()
}

func TestOverflowSkipsToTheNextKeyFrameAndCountsWhy(t *testing.T) {
	s := stream.New(stream.Options{})
	r := s.Subscribe(stream.ReaderOptions{Queue: 4})
	defer r.Close()
	gop(s, 8)                                // 1..4 fit, 5 overflows, 6..8 are skipped
	s.Publish(unit(audioVideo, 1, false, 1)) // 9, audio
	drained := drain(r)
	gop(s, 2) // 10, 11
	if got := fmt.Sprint(drained, drain(r)); got != "[1 2 3 4] [10 11]" {
		t.Errorf("read %s, want [1 2 3 4] [10 11]", got)
	}
	d := r.Drops()
	want := map[stream.DropReason]uint64{stream.DropOverflow: 1, stream.DropSkip: 3, stream.DropAudio: 1}
	for _, why := range stream.DropReasons() {
		if d[why] != want[why] {
			t.Errorf("dropped %d for %s, want %d", d[why], why, want[why])
		}
	}
}

func TestASlowReaderDoesNotDelayTheProducerOrOthers(t *testing.T) {
	s := stream.New(stream.Options{})
	slow := s.Subscribe(stream.ReaderOptions{Queue: 2})
	fast := s.Subscribe(stream.ReaderOptions{Queue: 64})
	defer slow.Close()
	defer fast.Close()
	for range 50 {
		gop(s, 10)
		if n := len(drain(fast)); n != 10 {
			t.Fatalf("fast reader got %d units, want 10", n)
		}
	}
	if fast.Drops().Total() != 0 || slow.Drops().Total() == 0 {
		t.Errorf("drops: fast %v, slow %v", fast.Drops(), slow.Drops())
	}
}

func TestHistoryIsBoundedByAgeAndBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stream.New(stream.Options{HistoryBytes: 20_000, HistoryAge: 5 * time.Second})
		for range 10 { // ten seconds, a key frame a second
			gop(s, 4)
			time.Sleep(time.Second)
		}
		h := s.History()
		if len(h) < 20 || len(h) > 28 || !h[0].Key {
			t.Errorf("history holds %d units after 10 s at 4 a second, key first: %v", len(h), h[0].Key)
		}
		s.Publish(unit(videoOnly, 0, true, 19_000))
		s.Publish(unit(videoOnly, 0, false, 100))
		if n := len(s.History()); n != 2 {
			t.Errorf("history of less than 20 kB holds %d units, want the current 2", n)
		}
		s.Publish(unit(videoOnly, 0, false, 400))
		if h := s.History(); h != nil {
			t.Errorf("a GOP over the byte limit must not be kept, got %d units", len(h))
		}
		gop(s, 2)
		if n := len(s.History()); n != 2 {
			t.Errorf("after the next key frame the history holds %d units, want 2", n)
		}
	})
}

func TestAudioOnlyStreamHasAHistoryToo(t *testing.T) {
	s := stream.New(stream.Options{})
	s.Publish(unit(audioOnly, 0, false, 160))
	s.Publish(unit(audioOnly, 0, false, 160))
	r := s.Subscribe(stream.ReaderOptions{History: true})
	defer r.Close()
	if got := fmt.Sprint(drain(r)); got != "[1 2]" {
		t.Errorf("read %s, want [1 2]", got)
	}
}

func TestNextEndsWithTheStreamAfterDraining(t *testing.T) {
	gone := errors.New("camera removed")
	s := stream.New(stream.Options{})
	r := s.Subscribe(stream.ReaderOptions{})
	gop(s, 1)
	s.Close(gone)
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatalf("queued unit: %v", err)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, gone) {
		t.Errorf("after the end: %v, want %v", err, gone)
	}
	if _, err := s.Subscribe(stream.ReaderOptions{}).Next(t.Context()); !errors.Is(err, gone) {
		t.Errorf("joining a closed stream: %v, want %v", err, gone)
	}
	r.Close()
	r.Close()
}

func TestNextWaitsForThePublisherAndForTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stream.New(stream.Options{})
		r := s.Subscribe(stream.ReaderOptions{})
		defer r.Close()
		go func() {
			time.Sleep(time.Second)
			gop(s, 1)
		}()
		if u, err := r.Next(t.Context()); err != nil || u.Seq != 1 {
			t.Fatalf("got %v, %v", u, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestPublishTakesNoAllocation(t *testing.T) {
	s := stream.New(stream.Options{HistoryBytes: 1 << 30, HistoryAge: time.Hour})
	for range 8 {
		r := s.Subscribe(stream.ReaderOptions{Queue: 1 << 12})
		defer r.Close()
	}
	gop(s, 1)
	units := make([]*media.AccessUnit, 2002)
	for i := range units {
		units[i] = unit(videoOnly, 0, false, 1000)
	}
	i := 0
	if n := testing.AllocsPerRun(2000, func() { s.Publish(units[i]); i++ }); n != 0 {
		t.Errorf("Publish allocates %v times a unit", n)
	}
}

// TestPublishTakesNoLock holds the stream's only mutex by blocking a subscriber inside it: publishing goes on.
func TestPublishDoesNotWaitForSubscribers(t *testing.T) {
	s := stream.New(stream.Options{})
	unlock := stream.LockForTest(s)
	done := make(chan struct{})
	go func() {
		gop(s, 100)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("Publish waits for the mutex of Subscribe")
	}
	unlock()
	<-done
}

func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			s := stream.New(stream.Options{})
			var rs []*stream.Reader
			for range readers {
				rs = append(rs, s.Subscribe(stream.ReaderOptions{Queue: 8}))
			}
			u := unit(videoOnly, 0, false, 20_000)
			b.ReportAllocs()
			for b.Loop() {
				v := *u
				s.Publish(&v)
				for _, r := range rs {
					r.TryNext()
				}
			}
		})
	}
}
