package recorder_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/internal/caller"
	"skein/recorder"
	"skein/recorder/fmp4"
	"skein/recorder/guard"
	"skein/recorder/index"
	"skein/recorder/segment"
	"skein/recorder/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef0123456789abcdef"

var (
	testSPS = []byte{
		0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00,
		0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
	}
	testPPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
)

// footage returns a segment of so many seconds and its manifest.
func footage(t testing.TB, camera string, seq uint64, start time.Time, seconds int) (segment.Manifest, []byte) {
	t.Helper()
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.H264, ClockRate: 90000, SPS: testSPS, PPS: testPPS, Width: 1920, Height: 1080, FPS: 25},
	}}
	var b bytes.Buffer
	w, err := fmp4.NewWriter(&b, desc, start)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 * seconds {
		nalu := make([]byte, 300)
		nalu[0], nalu[1], nalu[299] = 0x41, byte(i), 0x80
		if i%25 == 0 {
			nalu[0] = 0x65
		}
		u := &media.AccessUnit{
			Desc: desc, Epoch: 1, PTS: int64(i) * 3600, Wall: start.Add(time.Duration(i) * 40 * time.Millisecond),
			Key: i%25 == 0, NALUs: [][]byte{nalu},
		}
		if _, err := w.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Close(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	m := segment.Manifest{
		Camera: camera, Profile: "main", Seq: seq, Epoch: 1, Start: start, Duration: info.Duration,
		Bytes: int64(b.Len()), SHA256: sha256.Sum256(b.Bytes()), Codecs: info.Codecs, Frames: info.Frames,
		Sealed: segment.SealedDuration,
	}
	if seq > 1 {
		m.Prev = segment.Hash{1}
	}
	return m, b.Bytes()
}

// sealed is a segment with its content.
type sealed struct {
	m    segment.Manifest
	data []byte
}

// chain returns n segments of 4 seconds from noon on that follow each other.
func chain(t testing.TB, camera string, n int) []sealed {
	t.Helper()
	return chainFrom(t, camera, noon, n)
}

func chainFrom(t testing.TB, camera string, start time.Time, n int) []sealed {
	t.Helper()
	var list []sealed
	for i := range n {
		m, data := footage(t, camera, uint64(i+1), start.Add(time.Duration(i)*4*time.Second), 4)
		if i > 0 {
			m.Prev = list[i-1].m.SHA256
		}
		list = append(list, sealed{m, data})
	}
	return list
}

// bed is a recorder over a real directory store and the embedded index.
type bed struct {
	t     testing.TB
	dir   string
	store store.Archive
	index *index.Index
	rec   *recorder.Recorder
	cfg   recorder.Config
	url   string
}

func newBed(t testing.TB, cfg recorder.Config, change func(*recorder.Deps)) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir()}
	var err error
	if b.store, err = store.Open(store.Config{Dir: b.dir}, store.Options{}); err != nil {
		t.Fatal(err)
	}
	if b.index, err = index.Open(index.Config{Embedded: true}, index.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.index.Close()
		_ = b.store.Close()
	})
	b.cfg = cfg
	b.start(change)
	return b
}

// restart replaces the recorder by a new one of the same archive.
func (b *bed) restart(change func(*recorder.Deps)) { b.start(change) }

func (b *bed) start(change func(*recorder.Deps)) {
	t := b.t
	t.Helper()
	deps := recorder.Deps{
		Store: b.store, Index: b.index, Guard: door(t), Registry: prometheus.NewRegistry(),
		Manifest: b.store.Manifest,
		Now: func() time.Time { // footage is of a day in November 2026, and never from the future
			if now := time.Now(); now.After(noon.Add(24 * time.Hour)) {
				return now
			}
			return noon.Add(24 * time.Hour)
		},
	}
	if change != nil {
		change(&deps)
	}
	var err error
	if b.rec, err = recorder.New(b.cfg, deps); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b.rec.Handler())
	t.Cleanup(server.Close)
	b.url = server.URL
}

// The nodes of every bed. Each has a token of its own; that of edge-1 is token.
const (
	edge2Token   = "token-of-the-edge-node-edge-2"
	gatewayToken = "token-of-the-gateway-node-gw"
)

// door lets the nodes in.
func door(t testing.TB) *guard.Guard {
	t.Helper()
	g, err := guard.Open(guard.Options{Dir: t.TempDir(), Nodes: []guard.Credential{
		{Node: caller.Node{ID: "edge-1", Kind: caller.Edge}, Token: token},
		{Node: caller.Node{ID: "edge-2", Kind: caller.Edge}, Token: edge2Token},
		{Node: caller.Node{ID: "gw", Kind: caller.Gateway}, Token: gatewayToken},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// request is a PUT as an edge makes it, for tests to spoil.
func (b *bed) request(m segment.Manifest, body []byte) *http.Request {
	b.t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	target := b.url + "/v1/ingest/segments/" + m.Camera + "/" + strconv.FormatInt(m.Start.UnixMilli(), 10)
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPut, target, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set(recorder.ManifestHeader, base64.StdEncoding.EncodeToString(raw))
	return q
}

// do sends a request and returns the status and the body; every error must be a problem document.
func (b *bed) do(q *http.Request) (int, http.Header, []byte) {
	b.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // it is one
	if resp.StatusCode >= 400 {
		var p struct {
			Status        int
			Title, Detail string
		}
		if json.Unmarshal(data, &p) != nil || p.Status != resp.StatusCode || p.Title == "" || p.Detail == "" ||
			resp.Header.Get("Content-Type") != "application/problem+json" {
			b.t.Errorf("%d is answered with %s", resp.StatusCode, data)
		}
	}
	return resp.StatusCode, resp.Header, data
}

// stored returns the keys in the store and the records in the index.
func (b *bed) stored() (keys []string, records int) {
	b.t.Helper()
	ctx := context.Background()
	for e, err := range b.store.List(ctx, "v1/") {
		if err != nil {
			b.t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	cameras, err := b.index.Cameras(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range cameras {
		list, err := b.index.Range(ctx, c, segment.Range{From: time.Unix(0, 0), To: time.Unix(1<<33, 0)})
		if err != nil {
			b.t.Fatal(err)
		}
		records += len(list)
	}
	return keys, records
}

func (b *bed) want(what string, objects int) {
	b.t.Helper()
	if keys, n := b.stored(); len(keys) != objects || n != objects {
		b.t.Errorf("%s: %d objects, %d records, want %d: %s", what, len(keys), n, objects, fmt.Sprint(keys))
	}
}
