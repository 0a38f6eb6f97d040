package recorder_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/internal/caller"
	"skein/recorder"
	"skein/recorder/index"
	"skein/recorder/segment"
	"skein/recorder/store"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestIngestStoresIndexesAndGivesAReceipt(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	m, data := footage(t, "cam", 1, noon, 4)
	for i := range 3 { // repetitions get the same receipt
		status, _, body := b.do(b.request(m, data))
		var r segment.Receipt
		if err := json.Unmarshal(body, &r); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		if r.SHA256 != m.SHA256 || r.Seq != 1 || r.Bytes != m.Bytes || r.Key != m.Key() || r.Camera != "cam" ||
			r.Shard != store.LocalShard || r.Stored.IsZero() || !r.Start.Equal(noon) {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	b.want("after three times the same", 1)
	have, err := b.store.Manifest(t.Context(), store.LocalShard, m.Key())
	if err != nil || have.SHA256 != m.SHA256 {
		t.Errorf("stored manifest %+v: %v", have, err)
	}
	if s := b.rec.Storage(); s.Bytes != m.Bytes || s.Segments != 1 {
		t.Errorf("storage %+v", s)
	}
}

func TestIngestTakesAnRFC3339Start(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	m, data := footage(t, "cam", 1, noon, 1)
	q := b.request(m, data)
	q.URL.Path = "/v1/ingest/segments/cam/2026-11-23T20:00:00.000+08:00"
	if status, _, body := b.do(q); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
}

func TestIngestRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{MaxSegment: 1 << 20}, nil)
	m, data := footage(t, "cam", 2, noon, 4)
	changed := func(f func(m *segment.Manifest)) segment.Manifest {
		c := m
		f(&c)
		return c
	}
	flipped := bytes.Clone(data)
	flipped[len(flipped)/2] ^= 1
	header := func(name, value string) func(*http.Request) {
		return func(q *http.Request) { q.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		m      segment.Manifest
		body   []byte
		change func(*http.Request)
		status int
	}{
		{"no token", m, data, func(q *http.Request) { q.Header.Del("Authorization") }, 401},
		{"wrong token", m, data, header("Authorization", "Bearer x"), 401},
		{"other scheme", m, data, header("Authorization", "Basic "+token), 401},
		{"no manifest", m, data, func(q *http.Request) { q.Header.Del(recorder.ManifestHeader) }, 400},
		{"manifest is not base64", m, data, header(recorder.ManifestHeader, "{}"), 400},
		{"manifest is not JSON", m, data, header(recorder.ManifestHeader, "e30K"), 400},
		{"manifest is huge", m, data, header(recorder.ManifestHeader, strings.Repeat("A", 9000)), 400},
		{"flipped byte", m, flipped, nil, 400},
		{"wrong hash", changed(func(m *segment.Manifest) { m.SHA256[3]++ }), data, nil, 400},
		{"size of the manifest", changed(func(m *segment.Manifest) { m.Bytes++ }), data, nil, 400},
		{"other camera in the address", m, data, func(q *http.Request) {
			q.URL.Path = strings.Replace(q.URL.Path, "/cam/", "/cat/", 1)
		}, 400},
		{"other start in the address", m, data, func(q *http.Request) { q.URL.Path += "0" }, 400},
		{"start is no time", m, data, func(q *http.Request) { q.URL.Path = "/v1/ingest/segments/cam/noon" }, 400},
		{"no seq", changed(func(m *segment.Manifest) { m.Seq = 0 }), data, nil, 400},
		{"no chain", changed(func(m *segment.Manifest) { m.Prev = segment.Hash{} }), data, nil, 400},
		{"profile", changed(func(m *segment.Manifest) { m.Profile = "x" }), data, nil, 400},
		{"duration", changed(func(m *segment.Manifest) { m.Duration = 24 * time.Hour }), data, nil, 400},
		{"start", changed(func(m *segment.Manifest) { m.Start = m.Start.Add(time.Microsecond) }), data, nil, 400},
		{"gap", changed(func(m *segment.Manifest) { m.Gap = &segment.Gap{Cause: "x"} }), data, nil, 400},
		{"too large", changed(func(m *segment.Manifest) { m.Bytes = 2 << 20 }), make([]byte, 2<<20), nil, 413},
		{"no length", m, data, func(q *http.Request) { q.ContentLength = -1; q.TransferEncoding = []string{"chunked"} }, 411},
	} {
		q := b.request(c.m, c.body)
		if c.change != nil {
			c.change(q)
		}
		if status, _, body := b.do(q); status != c.status {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"no ftyp":         func(d []byte) []byte { return d[8:] },
		"cut in a box":    func(d []byte) []byte { return d[:len(d)-3] },
		"text":            func([]byte) []byte { return []byte("this is not a segment at all") },
		"trailing":        func(d []byte) []byte { return append(bytes.Clone(d), 0, 0, 0, 9, 'f', 'r', 'e', 'e', 0) },
		"box of size 0":   func(d []byte) []byte { return append(bytes.Clone(d), make([]byte, 8)...) },
		"only the header": func(d []byte) []byte { return d[:bytes.Index(d, []byte("prft"))-4] },
	} {
		// the hash is right: only the structure gives it away
		c, body := m, spoil(data)
		c.Bytes, c.SHA256 = int64(len(body)), segment.Hash(sum(body))
		if status, _, answer := b.do(b.request(c, body)); status != 400 || !bytes.Contains(answer, []byte("not a segment")) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	b.want("after refusals", 0)
	left, _ := filepath.Glob(filepath.Join(b.dir, ".tmp", "*"))
	if len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if status, _, body := b.do(b.request(m, data)); status != 200 {
		t.Fatalf("the right one: %d %s", status, body)
	}
	other, otherData := footage(t, "cam", 2, noon, 5)
	if status, _, body := b.do(b.request(other, otherData)); status != 409 {
		t.Errorf("another segment in its place: %d %s", status, body)
	}
	b.want("at the end", 1)
}

// scripted is a store and an index that fail when told.
type scripted struct {
	recorder.Index
	recorder.Store
	failPut, failAdd atomic.Bool
}

func (s *scripted) Put(ctx context.Context, m segment.Manifest, src store.Source) (string, error) {
	if s.failPut.Load() {
		return "", store.ErrUnavailable
	}
	return s.Store.Put(ctx, m, src)
}

func (s *scripted) Add(ctx context.Context, camera string, r segment.Record) error {
	if s.failAdd.Load() {
		return index.ErrUnavailable
	}
	return s.Index.Add(ctx, camera, r)
}

func TestNoReceiptWithoutStoreAndIndex(t *testing.T) {
	t.Parallel()
	s := &scripted{}
	b := newBed(t, recorder.Config{}, func(d *recorder.Deps) {
		s.Index, s.Store = d.Index, d.Store
		d.Index, d.Store = s, s
	})
	m, data := footage(t, "cam", 1, noon, 2)
	s.failPut.Store(true)
	status, h, _ := b.do(b.request(m, data))
	if status != 503 || h.Get("Retry-After") == "" {
		t.Errorf("store down: %d %v", status, h)
	}
	b.want("store down", 0)
	s.failPut.Store(false)
	s.failAdd.Store(true)
	if status, _, _ := b.do(b.request(m, data)); status != 503 {
		t.Errorf("index down: %d", status)
	}
	s.failAdd.Store(false)
	if status, _, body := b.do(b.request(m, data)); status != 200 {
		t.Errorf("again: %d %s", status, body)
	}
	b.want("again", 1)
}

func TestBodyCutOffLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	m, data := footage(t, "cam", 1, noon, 4)
	q := b.request(m, data)
	u, _ := url.Parse(b.url)
	for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		var head bytes.Buffer
		q.Body = io.NopCloser(bytes.NewReader(data))
		if err := q.Write(&head); err != nil {
			t.Fatal(err)
		}
		cut := head.Len() - len(data) + n
		if _, err := conn.Write(head.Bytes()[:cut]); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite() // it is one
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if bytes.Contains(answer, []byte("200 OK")) {
			t.Errorf("cut after %d bytes: %s", n, answer)
		}
	}
	b.want("after cuts", 0)
}

func TestManyAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	list := chain(t, "cam", 4)
	for i := range 8 {
		q := b.request(list[i%4].m, list[i%4].data)
		wg.Go(func() {
			resp, err := client.Do(q)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				t.Error(resp.Status, err)
			}
		})
	}
	wg.Wait()
	b.want("four segments, each twice at once", 4)
}

func TestShipInOneProcessLinksTheFile(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, nil)
	m, data := footage(t, "cam", 1, noon, 2)
	path := filepath.Join(b.dir, "spooled.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := b.rec.Ship(t.Context(), m, path)
		if err != nil || r.SHA256 != m.SHA256 {
			t.Fatal(r, err)
		}
		_ = os.Remove(path) // the second time the spool has nothing left to show
	}
	after, err := os.Stat(filepath.Join(b.dir, filepath.FromSlash(m.Key())))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the object is a copy: %v", err)
	}
	b.want("shipped", 1)
	m.Gap = &segment.Gap{Range: segment.Range{From: noon.Add(-time.Minute), To: noon}, Cause: segment.CauseSpoolFull}
	if _, err := b.rec.Ship(t.Context(), m, path); err != nil {
		t.Fatal(err)
	}
	list, err := b.index.Range(t.Context(), "cam", segment.Range{From: noon, To: noon.Add(time.Second)})
	if err != nil || len(list) != 1 || list[0].Gap != segment.CauseSpoolFull {
		t.Errorf("gap typed later: %+v %v", list, err)
	}
	if s := b.rec.Storage(); s.Segments != 1 {
		t.Errorf("storage %+v", s)
	}
	m.SHA256[0]++
	if _, err := b.rec.Ship(t.Context(), m, path); !errors.Is(err, store.ErrConflict) {
		t.Errorf("other content: %v", err)
	}
}

func TestPublicAndReadingPaths(t *testing.T) {
	t.Parallel()
	down := errors.New("no index")
	b := newBed(t, recorder.Config{}, func(d *recorder.Deps) {
		d.Ready = func(context.Context) error { return down }
		d.Clips = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, q.URL.Path) })
	})
	person := ""
	get := func(path, auth string) (int, string) {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", auth)
		q.Header.Set(caller.Header, person)
		status, _, body := b.do(q)
		return status, string(body)
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 503, "/v1/storage": 401, "/v1/clips/cam.mp4": 401, "/v1/coverage": 401, "/": 401,
		"/metrics": 401,
	} {
		if status, body := get(path, ""); status != want {
			t.Errorf("%s without a token: %d %s", path, status, body)
		}
	}
	paths := map[string][2]int{ // for a gateway that names nobody, and for one that names a person
		"/v1/storage": {200, 200}, "/nothing": {404, 404}, "/v1/clips/cam.mp4": {403, 200}, "/v1/coverage": {403, 200},
	}
	for path, want := range paths {
		person = ""
		if status, body := get(path, "Bearer "+token); status != 403 {
			t.Errorf("%s for an edge: %d %s", path, status, body)
		}
		if status, body := get(path, "Bearer "+gatewayToken); status != want[0] {
			t.Errorf("%s for a gateway that names nobody: %d %s", path, status, body)
		}
		person = caller.Person{Name: "li"}.Encode()
		if status, body := get(path, "Bearer "+token); status != 403 {
			t.Errorf("%s for an edge that plays a gateway: %d %s", path, status, body)
		}
		if status, body := get(path, "Bearer "+gatewayToken); status != want[1] {
			t.Errorf("%s for a gateway: %d %s", path, status, body)
		}
	}
}
