package recorder_test

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/spool"
	"skein/edge/stream"
	"skein/recorder"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// camera publishes numbered frames as fast as it is told, with the times of 25 frames a second.
type camera struct {
	st    *stream.Stream
	desc  *media.Description
	frame uint64
	begun time.Time
	size  int
}

func newCamera() *camera {
	return &camera{
		size: 500, st: stream.New(stream.Options{}), begun: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond),
		desc: &media.Description{Tracks: []media.Track{
			{Codec: media.H264, ClockRate: 90000, SPS: testSPS, PPS: testPPS, Width: 1920, Height: 1080, FPS: 25},
		}},
	}
}

func (c *camera) shoot(n int) {
	for range n {
		at := c.begun.Add(time.Duration(c.frame) * 40 * time.Millisecond)
		key := c.frame%25 == 0
		c.frame++
		nalu := make([]byte, c.size)
		nalu[0], nalu[c.size-1] = 0x41, 0x80
		if key {
			nalu[0] = 0x65
		}
		binary.BigEndian.PutUint64(nalu[1:], c.frame)
		c.st.Publish(&media.AccessUnit{
			Desc: c.desc, Epoch: 1, PTS: int64(c.frame) * 3600, Wall: at, Arrival: at, Key: key, NALUs: [][]byte{nalu},
		})
	}
}

// fault stands between edge and recorder and spoils what passes.
type fault struct {
	on     atomic.Bool
	down   atomic.Bool
	kinds  [5]atomic.Int64
	target atomic.Pointer[http.Handler]

	mu  sync.Mutex // guards rnd
	rnd *rand.Rand
}

func (f *fault) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	f.mu.Lock()
	kind := f.rnd.IntN(8)
	f.mu.Unlock()
	if !f.on.Load() {
		kind = 7
	}
	if f.down.Load() {
		kind = 0
	}
	if kind < len(f.kinds) {
		f.kinds[kind].Add(1)
	}
	switch kind {
	case 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	case 1: // the connection is cut in the middle of the body
		_, _ = io.CopyN(io.Discard, q.Body, 5000)
		panic(http.ErrAbortHandler)
	case 2: // the recorder gets half of it
		q.Body = io.NopCloser(io.LimitReader(q.Body, 7000))
		(*f.target.Load()).ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	case 3: // stored, but the receipt is lost
		(*f.target.Load()).ServeHTTP(httptest.NewRecorder(), q)
		panic(http.ErrAbortHandler)
	case 4: // somebody else's receipt
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, `{"camera":"cam","seq":1,"bytes":1}`)
	default:
		(*f.target.Load()).ServeHTTP(w, q)
	}
}

// TestNoFrameIsLostOrDoubledBetweenEdgeAndArchive records with a spool that is restarted, ships through a link that
// fails in every way, to a recorder that is replaced meanwhile, and counts the frames in the archive.
func TestNoFrameIsLostOrDoubledBetweenEdgeAndArchive(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	f := &fault{rnd: rand.New(rand.NewPCG(3, 4))}
	handler := b.rec.Handler()
	f.target.Store(&handler)
	f.on.Store(true)
	server := httptest.NewServer(f)
	defer server.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close() // an address at which nobody listens

	cfg := spool.Config{Dir: t.TempDir(), Segment: 4 * time.Second, Sync: 50 * time.Millisecond}
	cfg.Ship = spool.ShipConfig{RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, BacklogRate: 20 << 20}
	cam := newCamera()
	for round := range 3 {
		cam.st = stream.New(stream.Options{}) // as after a restart
		shipper := &spool.HTTPShipper{URLs: []string{dead.URL, server.URL}, Token: token}
		f.down.Store(round == 0)
		s, err := spool.Open(cfg, spool.Deps{Shipper: shipper})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		wg.Go(func() {
			if err := s.Record(ctx, "cam", cam.st); err != nil {
				t.Error(err)
			}
		})
		for cam.st.Readers() == 0 {
			time.Sleep(time.Millisecond)
		}
		cam.shoot(1000)
		again, err := recorder.New(recorder.Config{}, recorder.Deps{
			Store: b.store, Index: b.index, Guard: door(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		handler := again.Handler()
		f.target.Store(&handler)
		if round == 2 {
			for s.Snapshot().Backlog > 0 || uint64(framesStored(t, b)) < cam.frame-200 {
				time.Sleep(10 * time.Millisecond)
			}
			f.on.Store(false)
		}
		cancel()
		wg.Wait()
		s.Close()
		_ = shipper.Close()
	}
	ship(t, cfg, &spool.HTTPShipper{URLs: []string{server.URL}, Token: token})
	wantArchive(t, b, cam.frame)
	for i := range f.kinds {
		if f.kinds[i].Load() == 0 {
			t.Errorf("fault %d never happened", i)
		}
	}
}

// ship empties a spool.
func ship(t *testing.T, cfg spool.Config, shipper *spool.HTTPShipper) {
	t.Helper()
	s, err := spool.Open(cfg, spool.Deps{Shipper: shipper})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer shipper.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	for s.Snapshot().Backlog > 0 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	if n := s.Snapshot().Backlog; n > 0 {
		t.Fatalf("%d segments left: %+v", n, s.Snapshot())
	}
}

func framesStored(t *testing.T, b *bed) (n int) {
	t.Helper()
	keys, _ := b.stored()
	for _, k := range keys {
		m, err := b.store.Manifest(t.Context(), "", k)
		if err != nil {
			t.Fatal(err)
		}
		n += m.Frames
	}
	return n
}

// wantArchive fails unless the archive holds frames 1 to last once, and the index has every object.
func wantArchive(t *testing.T, b *bed, last uint64) {
	t.Helper()
	list, err := b.index.Range(t.Context(), "cam", segment.Range{From: time.Unix(0, 0), To: time.Unix(1<<33, 0)})
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := b.stored()
	if len(keys) != len(list) {
		t.Errorf("%d objects, %d records", len(keys), len(list))
	}
	slices.SortFunc(list, func(x, y segment.Record) int { return int(x.Seq) - int(y.Seq) })
	var frames []uint64
	for i, r := range list {
		if r.Seq != uint64(i+1) {
			t.Fatalf("segment %d at place %d", r.Seq, i)
		}
		o, err := b.store.Open(t.Context(), r.Shard, r.Key("cam"))
		if err != nil {
			t.Fatal(err)
		}
		x, err := fmp4.ReadIndex(o, o.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range x.Fragments {
			at := f.Runs[0].Offset
			for _, s := range f.Runs[0].Samples {
				var n [13]byte
				if _, err := o.ReadAt(n[:], at); err != nil {
					t.Fatal(err)
				}
				frames = append(frames, binary.BigEndian.Uint64(n[5:]))
				at += int64(s.Size)
			}
		}
		o.Close()
	}
	for i, n := range frames {
		if n != uint64(i+1) {
			t.Fatalf("frame %d at place %d", n, i+1)
		}
	}
	if uint64(len(frames)) != last {
		t.Fatalf("%d frames archived, %d published", len(frames), last)
	}
}
