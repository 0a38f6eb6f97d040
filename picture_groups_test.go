package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/spool"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/recorder/clip"
	"skein/recorder/fmp4/fmp4test"
	"skein/recorder/segment"
)

// pictureGroup is a camera that is odd in one way, and what must become of it. Whatever it is, each of its pictures is in
// the clip and in the HLS stream once, in order, and decoders have nothing to say.
type pictureGroup struct {
	name    string
	film    fmp4test.Spec
	camera  rtsptest.Options
	strip   func(nalu []byte) bool // NAL units that the camera does not send
	refresh status.Refresh
	// joins is a place in the film at which another recording begins: with the first entry from there on, at first.
	joins, first int
	// segments is how many are made of the film at least.
	segments int
}

func pictureGroups() []pictureGroup {
	noRecoveryPoints := func(n []byte) bool { return n[0]&0x1f == 6 }
	return []pictureGroup{
		{
			name: "key frame every 24 s", film: fmp4test.Spec{Video: "h264", Seconds: 100, FPS: 5, GOP: 120},
			camera: rtsptest.Options{FPS: 5}, refresh: status.RefreshIDR, joins: 130, first: 240, segments: 3,
		},
		{
			name: "key frame every 120 s", film: fmp4test.Spec{Video: "h265", Seconds: 300, FPS: 5, GOP: 600, Encoder: "open-gop=0"},
			camera: rtsptest.Options{FPS: 5}, refresh: status.RefreshIDR, joins: 500, first: 600, segments: 2,
		},
		{
			name: "open groups", camera: rtsptest.Options{}, refresh: status.RefreshOpen,
			film:  fmp4test.Spec{Video: "h264", Seconds: 20, GOP: 50, BFrames: 2, Encoder: "open-gop=1:b-adapt=0"},
			joins: 60, first: 100, segments: 4,
		},
		{
			name: "open groups, H.265", camera: rtsptest.Options{}, refresh: status.RefreshOpen,
			film:  fmp4test.Spec{Video: "h265", Seconds: 20, GOP: 50, BFrames: 3, Encoder: "open-gop=1:b-adapt=0"},
			joins: 60, first: 100, segments: 4,
		},
		{
			name: "I pictures that nothing announces", camera: rtsptest.Options{}, refresh: status.RefreshOpen,
			film:  fmp4test.Spec{Video: "h264", Seconds: 20, GOP: 50, BFrames: 2, Encoder: "open-gop=1:b-adapt=0"},
			strip: noRecoveryPoints, joins: 60, first: 100, segments: 2,
		},
		{
			name: "gradual refresh", camera: rtsptest.Options{}, refresh: status.RefreshGradual,
			film:  fmp4test.Spec{Video: "h264", Seconds: 20, GOP: 50, Encoder: "intra-refresh=1"},
			joins: 60, first: 118, segments: 4, // a decoder shows pictures once they are whole
		},
	}
}

// forgets is what a decoder says where decoding begins with an open group of x264: the pictures after the key bid it
// forget one from before.
const forgets = "mmco: unref short failure"

func TestPictureGroupsAreRecordedWhole(t *testing.T) {
	for _, c := range pictureGroups() {
		t.Run(c.name, func(t *testing.T) {
			src := fmp4test.Make(t, c.film)
			c.camera.Film = filmOf(src, c.strip)
			for _, from := range []int{0, c.joins} {
				a := &filmArchive{dir: t.TempDir()}
				o := c.camera
				if from > 0 {
					o.Film = &rtsptest.Film{Codec: o.Film.Codec, Units: o.Film.Units[from:], Shown: o.Film.Shown[from:]}
				}
				synctest.Test(t, func(t *testing.T) { a.film(t, o, c.refresh) })
				want := src.Frames
				if from > 0 {
					want = src.Frames[c.first:]
				} else if len(a.recs) < c.segments {
					t.Errorf("%d segments, want %d at least", len(a.recs), c.segments)
				}
				a.judge(t, want)
			}
		})
	}
}

// filmOf makes a camera's film of an encoded stream.
func filmOf(src *fmp4test.Source, strip func([]byte) bool) *rtsptest.Film {
	f := &rtsptest.Film{Codec: src.Desc.Tracks[0].Codec}
	for _, u := range src.Units {
		nalus := slices.Clone(u.NALUs)
		if t := src.Desc.Tracks[0]; u.Key && !slices.ContainsFunc(nalus, func(n []byte) bool { return bytes.Equal(n, t.SPS) }) {
			sets := slices.DeleteFunc([][]byte{t.VPS, t.SPS, t.PPS}, func(n []byte) bool { return len(n) == 0 })
			nalus = append(sets, nalus...)
		}
		if strip != nil {
			nalus = slices.DeleteFunc(nalus, strip)
		}
		f.Units = append(f.Units, nalus)
		f.Shown = append(f.Shown, int(u.PTS)*src.Spec.FPS/90000)
	}
	return f
}

// filmArchive is what a camera's footage goes into. It is the archive of a clip.Handler.
type filmArchive struct {
	dir string

	mu   sync.Mutex // guards the field below
	recs []segment.Record
}

// Ship implements spool.Shipper.
func (a *filmArchive) Ship(_ context.Context, m segment.Manifest, path string) (segment.Receipt, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(a.dir, filepath.Base(m.Key())), data, 0o600)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recs = append(a.recs, m.Record("a"))
	return segment.Receipt{
		Camera: m.Camera, Start: m.Start, Seq: m.Seq, SHA256: m.SHA256, Bytes: m.Bytes, Key: m.Key(),
	}, err
}

// Range implements clip.Records.
func (a *filmArchive) Range(_ context.Context, _ string, within segment.Range) ([]segment.Record, error) {
	var found []segment.Record
	for _, r := range a.recs {
		if r.Range().Overlaps(within) {
			found = append(found, r)
		}
	}
	return found, nil
}

// film records the whole of a camera's film in no time.
func (a *filmArchive) film(t *testing.T, o rtsptest.Options, refresh status.Refresh) {
	time.Sleep(time.Until(time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC))) // a bubble begins where no clock is believed
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), Segment: 4 * time.Second}, spool.Deps{Shipper: a})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := stream.New(stream.Options{})
	stats := &rtsp.Stats{}
	in, err := rtsp.NewReceiver([]rtsp.ReceiverTrack{{Codec: o.Film.Codec, Payload: 96}},
		rtsp.Publication{Sink: st, Stats: stats}, "tcp")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	record, stop := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { _ = s.Run(ctx) })
	run.Go(func() {
		if err := s.Record(record, "cam", st); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(time.Millisecond)
	if err := rtsptest.Play(o, len(o.Film.Units), func(b []byte, rtcp bool) {
		if rtcp {
			in.RTCP(0, b, time.Now())
		} else {
			in.RTP(0, b, time.Now())
		}
	}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	stop()
	time.Sleep(3 * time.Second)
	cancel()
	run.Wait()
	in.Close(nil)
	if got := stats.Snapshot().Refresh; got != refresh {
		t.Errorf("refresh %q, want %q", got, refresh)
	}
}

// judge compares the pictures in a clip and in HLS with those the camera sent, by what a decoder makes of them.
func (a *filmArchive) judge(t *testing.T, want []string) {
	t.Helper()
	srv := httptest.NewServer(clip.NewHandler(clip.Config{Records: a, Objects: clip.OpenFunc(a.open)}))
	defer srv.Close()
	last := a.recs[len(a.recs)-1]
	query := fmt.Sprintf("?from=%s&to=%s", a.recs[0].Start.Add(-time.Second).Format(time.RFC3339Nano),
		last.Start.Add(last.Duration+time.Second).Format(time.RFC3339Nano))
	for _, form := range []string{"mp4", "m3u8"} {
		url := srv.URL + "/v1/clips/cam." + form + query
		if got := fmp4test.FrameHashes(t, url); !slices.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s: %d pictures, want %d; picture %d differs", form, len(got), len(want), at)
		}
		w := fmp4test.Warnings(t, url)
		if n := strings.Count(w, "\n"); n > 0 && (n > 1 || !strings.Contains(w, forgets)) {
			t.Errorf("%s: decoders complain:\n%.600s", form, w)
		}
	}
}

func (a *filmArchive) open(_ context.Context, _, key string) (clip.Object, error) {
	f, err := os.Open(filepath.Join(a.dir, filepath.Base(key)))
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	return filmObject{f, st.Size()}, err
}

type filmObject struct {
	*os.File
	size int64
}

func (o filmObject) Size() int64 { return o.size }
