package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errUnknown = errors.New("unknown")

// one is a Streams with one camera.
type one struct {
	stream *stream.Stream
	opens  atomic.Int64
	open   atomic.Int64
}

func (o *one) Open(_ context.Context, camera string, p media.Profile) (*stream.Stream, func(), error) {
	if camera != "gate" || p != media.Main {
		return nil, nil, fmt.Errorf("open %s: %w", camera, errUnknown)
	}
	o.opens.Add(1)
	o.open.Add(1)
	return o.stream, func() { o.open.Add(-1) }, nil
}

// counting is a Decoder that makes nothing of a picture but counts.
type counting struct {
	calls, now, most atomic.Int64
	wait             chan struct{}
}

func (c *counting) Decode(_ context.Context, _ media.Codec, _ int, _ []byte) ([]byte, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for {
		m := c.most.Load()
		if n <= m || c.most.CompareAndSwap(m, n) {
			break
		}
	}
	if c.wait != nil {
		<-c.wait
	}
	return []byte{0xff, 0xd8, byte(c.calls.Add(1))}, nil
}

var h264 = &media.Description{Tracks: []media.Track{{
	Codec: media.H264, ClockRate: 90000, SPS: []byte{0x67, 1}, PPS: []byte{0x68, 1},
}}}

func key(s *stream.Stream) {
	now := time.Now()
	s.Publish(&media.AccessUnit{Desc: h264, Key: true, NALUs: [][]byte{{0x65, 1}}, Wall: now, Arrival: now})
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestManyAskersCostOneDecoding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &one{stream: stream.New(stream.Options{})}
		dec := &counting{}
		h := snapshot.Handler(snapshot.New(snapshot.Options{Streams: src, Decoder: dec}), errUnknown, nil)
		key(src.stream)
		time.Sleep(300 * time.Millisecond) // of the bubble's clock
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				w := get(h, "/v1/snapshots/gate.jpg")
				if w.Code != 200 || w.Header().Get(snapshot.AgeHeader) != "300" || w.Header().Get("Content-Type") != "image/jpeg" {
					t.Errorf("%d %v", w.Code, w.Header())
				}
			})
		}
		wg.Wait()
		if n := dec.calls.Load(); n != 1 {
			t.Errorf("%d decodings for 20 askers", n)
		}
		time.Sleep(3 * time.Second)
		get(h, "/v1/snapshots/gate.jpg") // still the same key frame
		if n := dec.calls.Load(); n != 1 {
			t.Errorf("%d decodings of one key frame", n)
		}
		key(src.stream)
		if w := get(h, "/v1/snapshots/gate.jpg"); w.Header().Get(snapshot.AgeHeader) != "3300" {
			t.Errorf("inside two seconds the kept picture answers: age %s", w.Header().Get(snapshot.AgeHeader))
		}
		time.Sleep(2100 * time.Millisecond)
		if w := get(h, "/v1/snapshots/gate.jpg"); w.Header().Get(snapshot.AgeHeader) != "2100" {
			t.Errorf("age %s of the new key frame", w.Header().Get(snapshot.AgeHeader))
		}
		if n := src.open.Load(); n != 0 {
			t.Errorf("%d streams still open", n)
		}
	})
}

func TestDecodingsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dec := &counting{wait: make(chan struct{})}
		streams := many{}
		for i := range 10 {
			s := stream.New(stream.Options{})
			key(s)
			streams[strconv.Itoa(i)] = s
		}
		snaps := snapshot.New(snapshot.Options{Streams: streams, Decoder: dec, Jobs: 3})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := snaps.Get(t.Context(), strconv.Itoa(i), media.Main); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(dec.wait)
		wg.Wait()
		if n := dec.most.Load(); n != 3 {
			t.Errorf("%d decodings at the same time, want 3", n)
		}
	})
}

type many map[string]*stream.Stream

func (m many) Open(_ context.Context, camera string, _ media.Profile) (*stream.Stream, func(), error) {
	return m[camera], func() {}, nil
}

func TestProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &one{stream: stream.New(stream.Options{})}
		bare := snapshot.Handler(snapshot.New(snapshot.Options{Streams: src}), errUnknown, nil)
		for path, want := range map[string]int{
			"/v1/snapshots/other.jpg": 404, "/v1/snapshots/gate.jpg?profile=sub": 404, "/v1/snapshots/gate.jpg?profile=x": 400,
			"/v1/snapshots/gate.png": 404, "/v1/snapshots/gate.jpg": 503, // no picture yet
		} {
			if w := get(bare, path); w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		key(src.stream)
		if w := get(bare, "/v1/snapshots/gate.jpg"); w.Code != 501 || !bytes.Contains(w.Body.Bytes(), []byte("ffmpeg")) {
			t.Errorf("without a decoder: %d %s", w.Code, w.Body)
		}
		mjpeg := &media.Description{Tracks: []media.Track{{Codec: media.MJPEG, ClockRate: 90000}}}
		src.stream.Publish(&media.AccessUnit{Desc: mjpeg, Key: true, NALUs: [][]byte{{0xff, 0xd8, 9}}, Arrival: time.Now()})
		if w := get(bare, "/v1/snapshots/gate.jpg"); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), []byte{0xff, 0xd8, 9}) {
			t.Errorf("MJPEG needs no decoder: %d %x", w.Code, w.Body)
		}
	})
}

// A key frame of the simulation, decoded by the real program, is a picture of its size that tells its own time.
func TestDecodesRealPictures(t *testing.T) {
	t.Parallel()
	dec := snapshot.FindFFmpeg()
	if dec == nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal("ffmpeg is missing")
		}
		t.Skip("ffmpeg is missing")
	}
	for _, codec := range []media.Codec{media.H264, media.H265} {
		cam := sim.Camera{ID: "gate", Video: sim.Video{Codec: codec, Width: 1280, Height: 720}}
		src, err := sim.NewSource(cam, media.Main, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		reader, err := sim.NewReader(cam, media.Main)
		if err != nil {
			t.Fatal(err)
		}
		u := src.Next()
		s := &one{stream: stream.New(stream.Options{})}
		s.stream.Publish(&media.AccessUnit{
			Desc: &media.Description{Tracks: []media.Track{{Codec: codec, ClockRate: 90000}}}, Key: u.Key, NALUs: u.NALUs, Wall: u.Wall, Arrival: time.Now(),
		})
		began := time.Now()
		w := get(snapshot.Handler(snapshot.New(snapshot.Options{Streams: s, Decoder: dec}), errUnknown, nil), "/v1/snapshots/gate.jpg")
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		size := w.Body.Len()
		img, err := jpeg.Decode(w.Body)
		if err != nil || img.Bounds().Dx() != 1280 || img.Bounds().Dy() != 720 {
			t.Fatalf("%v: %v", codec, err)
		}
		drawn, err := reader.Read(img)
		if told := w.Header().Get(snapshot.TimeHeader); err != nil || told != u.Wall.Format(time.RFC3339Nano) ||
			!drawn.Wall.Equal(u.Wall.Truncate(time.Millisecond)) {
			t.Errorf("%v: the picture is told to be of %s, it shows %v, %v", codec, told, drawn.Wall, err)
		}
		t.Logf("%v: %d bytes after %v", codec, size, time.Since(began).Round(time.Millisecond))
	}
	if _, err := dec.Decode(t.Context(), media.H264, 1, []byte{0, 0, 0, 1, 0x65, 1, 2, 3}); !errors.Is(err, snapshot.ErrDecode) {
		t.Errorf("garbage: %v", err)
	}
}
