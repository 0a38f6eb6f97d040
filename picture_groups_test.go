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

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/spool"
	"skein/edge/status"
	"skein/edge/stream"
	"skein/gateway/snapshot"
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
	bad     bool // its timestamps are, and the state says so
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
			joins: 60, first: 108, segments: 4, // a decoder shows pictures once they are whole
		},
		{
			name: "marker on every packet of four slices", camera: rtsptest.Options{MarkAll: true},
			refresh: status.RefreshIDR, film: fmp4test.Spec{Video: "h264", Seconds: 12, GOP: 50, Encoder: "slices=4"},
			joins: 60, first: 100, segments: 2,
		},
		{
			name: "one timestamp for all", bad: true, refresh: status.RefreshIDR,
			camera: rtsptest.Options{Stamp: func(int, uint32) uint32 { return 0 }},
			film:   fmp4test.Spec{Video: "h264", Seconds: 40, GOP: 50}, joins: 60, first: 100, segments: 4,
		},
		{
			name: "timestamps that jitter back", bad: true, refresh: status.RefreshIDR,
			camera: rtsptest.Options{Stamp: func(n int, ts uint32) uint32 {
				if n%4 == 3 {
					ts -= 3700
				}
				return ts
			}},
			film: fmp4test.Spec{Video: "h264", Seconds: 12, GOP: 50}, joins: 60, first: 100, segments: 2,
		},
		{
			name: "timestamps that come in pairs", bad: true, refresh: status.RefreshIDR,
			camera: rtsptest.Options{Stamp: func(n int, ts uint32) uint32 { return ts - uint32(n%2*3600) }},
			film:   fmp4test.Spec{Video: "h265", Seconds: 12, GOP: 50, Encoder: "open-gop=0"}, joins: 60, first: 100,
			segments: 2,
		},
	}
}

// forgets is what a decoder says where decoding begins with an open group of x264: the pictures after the key bid it
// forget one from before.
const forgets = "mmco: unref short failure"

func TestPictureGroupsAreRecordedWhole(t *testing.T) {
	beside(t, 1, 40*time.Second)
	for _, c := range pictureGroups() {
		t.Run(c.name, func(t *testing.T) {
			c.film.Size = "160x96"
			src := fmp4test.Make(t, c.film)
			c.camera.Film = filmOf(src, c.strip)
			for _, from := range []int{0, c.joins} {
				a := &filmArchive{dir: t.TempDir()}
				o := c.camera
				if from > 0 {
					o.Film = &rtsptest.Film{Codec: o.Film.Codec, Units: o.Film.Units[from:], Shown: o.Film.Shown[from:]}
				}
				synctest.Test(t, func(t *testing.T) { a.film(t, o, c) })
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
	dir  string
	live *stream.Stream // what the camera sent last

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

// Open implements snapshot.Streams.
func (a *filmArchive) Open(context.Context, string, media.Profile) (*stream.Stream, func(), error) {
	return a.live, func() {}, nil
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
func (a *filmArchive) film(t *testing.T, o rtsptest.Options, c pictureGroup) {
	time.Sleep(time.Until(time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC))) // a bubble begins where no clock is believed
	s, err := spool.Open(spool.Config{Dir: t.TempDir(), Segment: 4 * time.Second}, spool.Deps{Shipper: a})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := stream.New(stream.Options{})
	a.live = st
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
	in.Close(nil)
	time.Sleep(time.Second)
	stop()
	time.Sleep(3 * time.Second)
	cancel()
	run.Wait()
	if st := stats.Snapshot(); st.Refresh != c.refresh || st.BadStamps != c.bad {
		t.Errorf("refresh %q, bad timestamps %v, want %q, %v", st.Refresh, st.BadStamps, c.refresh, c.bad)
	}
}

// judge compares the pictures in a clip and in HLS with those the camera sent, by what a decoder makes of them.
func (a *filmArchive) judge(t *testing.T, want []string) {
	t.Helper()
	h := clip.NewHandler(clip.Config{Records: a, Objects: clip.OpenFunc(a.open)})
	srv := httptest.NewServer(h)
	defer srv.Close()
	last := a.recs[len(a.recs)-1]
	thumbnail := httptest.NewRecorder()
	at := last.Start.Add(last.Duration - time.Millisecond).Format(time.RFC3339Nano)
	h.NewThumbnails(clip.ThumbnailConfig{Dir: t.TempDir()}).ServeHTTP(thumbnail,
		httptest.NewRequest("GET", "/v1/thumbnails/cam.jpg?at="+at, nil))
	if thumbnail.Code != 200 || !bytes.HasPrefix(thumbnail.Body.Bytes(), []byte{0xff, 0xd8}) {
		t.Errorf("thumbnail: %d %s", thumbnail.Code, thumbnail.Body)
	}
	pic, err := snapshot.New(snapshot.Options{Streams: a, Decoder: snapshot.FindFFmpeg()}).Get(t.Context(), "cam", media.Main)
	if err != nil || !bytes.HasPrefix(pic.JPEG, []byte{0xff, 0xd8}) {
		t.Errorf("snapshot: %v", err)
	}
	query := fmt.Sprintf("?from=%s&to=%s", a.recs[0].Start.Add(-time.Second).Format(time.RFC3339Nano),
		last.Start.Add(last.Duration+time.Second).Format(time.RFC3339Nano))
	for _, form := range []string{"mp4", "m3u8"} {
		url := srv.URL + "/v1/clips/cam." + form + query
		got, said := decoded(t, url)
		if !slices.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s: %d pictures, want %d; picture %d differs", form, len(got), len(want), at)
		}
		// A muxer that counts in milliseconds complains of times that do not rise.
		_, more := fmp4test.Run(t, "ffmpeg", "-v", "warning", "-i", url, "-map", "0:v", "-c", "copy", "-f", "matroska", "-y",
			os.DevNull)
		said += more
		if n := strings.Count(said, "\n"); n > 0 && (n > 1 || !strings.Contains(said, forgets)) {
			t.Errorf("%s: decoders complain:\n%.600s", form, said)
		}
	}
}

// decoded returns the MD5 of every picture as a decoder presents them, and its complaints.
func decoded(t *testing.T, url string) (hashes []string, complaints string) {
	t.Helper()
	out, complaints := fmp4test.Run(t, "ffmpeg", "-v", "warning", "-i", url, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-f", "framemd5", "-")
	for l := range strings.Lines(out) {
		if l[0] != '#' {
			hashes = append(hashes, strings.TrimSpace(l[strings.LastIndexByte(l, ',')+1:]))
		}
	}
	return hashes, complaints
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
