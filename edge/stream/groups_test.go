package stream_test

import (
	"fmt"
	"testing"

	"skein/edge/media"
	"skein/edge/stream"
)

var h265Only = &media.Description{Tracks: []media.Track{{Codec: media.H265, ClockRate: 90000}}}

// publish takes one letter a picture: K an IDR picture, O an open key, l a picture that leads its group, p any other.
func publish(s *stream.Stream, d *media.Description, pictures string, size int) {
	for _, c := range pictures {
		u := unit(d, 0, c == 'K' || c == 'O', size)
		u.Open, u.Leading = c == 'O', c == 'l'
		s.Publish(u)
	}
}

// Pictures that lead an open group are left out where a reader begins with it, and only there.
func TestLeadingPicturesAreLeftOutWhereReadingBegins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		desc          *media.Description
		before, after string
		history       bool
		want          string
	}{
		{"next key", h265Only, "Kpp", "pOllpOllp", false, "[5 8 9 10 11 12]"},
		{"history", h265Only, "KppOllp", "pOllp", true, "[4 7 8 9 10 11 12]"},
		{"in the middle of what leads", h265Only, "KppOl", "lpOllp", true, "[4 7 8 9 10 11]"},
		{"H.264 begins with an IDR picture", videoOnly, "KppOllp", "p", true, "[1 2 3 4 5 6 7 8]"},
		{"H.264 without one", videoOnly, "OppOllp", "p", true, "[4 7 8]"},
	} {
		s := stream.New(stream.Options{})
		publish(s, c.desc, c.before, 100)
		r := s.Subscribe(stream.ReaderOptions{History: c.history})
		publish(s, c.desc, c.after, 100)
		if got := fmt.Sprint(drain(r)); got != c.want {
			t.Errorf("%s: read %s, want %s", c.name, got, c.want)
		}
		r.Close()
	}
}

func TestReaderThatSkippedLeavesOutWhatLeads(t *testing.T) {
	t.Parallel()
	s := stream.New(stream.Options{})
	r := s.Subscribe(stream.ReaderOptions{Queue: 4})
	defer r.Close()
	publish(s, h265Only, "Kpppp", 100) // the fifth overflows the queue
	drain(r)
	publish(s, h265Only, "pOll", 100)
	publish(s, h265Only, "p", 100)
	if got := fmt.Sprint(drain(r)); got != "[7 10]" {
		t.Errorf("read %s, want [7 10]", got)
	}
}

// A group of pictures too large to be kept: who shows pictures has its key frame at once and goes on with the next; who
// records does not take that key frame for footage.
func TestStillOfAGroupTooLarge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		still bool
		want  string
	}{{true, "[1 6 7]"}, {false, "[6 7]"}} {
		s := stream.New(stream.Options{HistoryBytes: 2000})
		publish(s, h265Only, "Kppp", 1000)
		r := s.Subscribe(stream.ReaderOptions{History: true, Still: c.still})
		publish(s, h265Only, "pKp", 100)
		if got := fmt.Sprint(drain(r)); got != c.want {
			t.Errorf("still %v: read %s, want %s", c.still, got, c.want)
		}
		r.Close()
	}
}
