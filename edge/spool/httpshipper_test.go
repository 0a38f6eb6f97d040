package spool

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"skein/recorder/segment"
)

// sealedFile writes a file with its manifest.
func sealedFile(t *testing.T, size int) (segment.Manifest, string) {
	t.Helper()
	data := make([]byte, size)
	path := filepath.Join(t.TempDir(), "x.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return segment.Manifest{
		Camera: "cam", Profile: "main", Seq: 1, Start: time.UnixMilli(1763912345678).UTC(), Bytes: int64(size),
		SHA256: sha256.Sum256(data),
	}, path
}

// receiver answers as a recorder does.
func receiver(t *testing.T, m segment.Manifest) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, q *http.Request) {
		raw, _ := base64.StdEncoding.DecodeString(q.Header.Get("Skein-Manifest"))
		var got segment.Manifest
		if err := json.Unmarshal(raw, &got); err != nil || got.SHA256 != m.SHA256 || !got.Start.Equal(m.Start) {
			t.Errorf("manifest %s: %v", raw, err)
		}
		if q.Method != http.MethodPut || q.URL.Path != "/v1/ingest/segments/cam/1763912345678" ||
			q.Header.Get("Authorization") != "Bearer secret" || q.ContentLength != m.Bytes {
			t.Errorf("%s %s %v", q.Method, q.URL, q.Header)
		}
		h := sha256.New()
		if n, err := io.Copy(h, q.Body); err != nil || n != m.Bytes || segment.Hash(h.Sum(nil)) != m.SHA256 {
			t.Errorf("body of %d bytes: %v", n, err)
		}
		_ = json.NewEncoder(w).Encode(segment.Receipt{Camera: "cam", Seq: 1, Bytes: m.Bytes, SHA256: m.SHA256})
	}
}

func TestRecordersAreTriedInOrder(t *testing.T) {
	t.Parallel()
	m, path := sealedFile(t, 300_000)
	var asked atomic.Int64
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer bad.Close()
	good := httptest.NewServer(receiver(t, m))
	defer good.Close()
	h := &HTTPShipper{URLs: []string{bad.URL, good.URL + "/"}, Token: "secret"}
	defer h.Close()
	for range 3 {
		r, err := h.Ship(t.Context(), m, path)
		if err != nil || r.SHA256 != m.SHA256 {
			t.Fatal(r, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the recorder that fails was asked %d times", n)
	}
}

func TestPacedBodyKeepsItsRate(t *testing.T) {
	t.Parallel()
	m, path := sealedFile(t, 300_000)
	good := httptest.NewServer(receiver(t, m))
	defer good.Close()
	h := &HTTPShipper{URLs: []string{good.URL}, Token: "secret"}
	defer h.Close()
	limiter := rate.NewLimiter(1_000_000, pace)
	began := time.Now()
	_, err := h.ShipPaced(t.Context(), m, path, func(ctx context.Context, n int) error {
		if n > pace {
			t.Errorf("asked for %d bytes at once", n)
		}
		return limiter.WaitN(ctx, n)
	})
	if took := time.Since(began); err != nil || took < 150*time.Millisecond {
		t.Errorf("300 kB at 1 MB/s with a burst of %d took %v: %v", pace, took, err)
	}
}

func TestAnswersOfARecorder(t *testing.T) {
	t.Parallel()
	m, path := sealedFile(t, 100)
	for status, refused := range map[int]bool{
		400: true, 409: true, 413: true, 401: false, 404: false, 429: false, 500: false, 503: false, 302: false, 204: false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
		}))
		h := &HTTPShipper{URLs: []string{strings.Replace(server.URL, "//", "//user:hunter2@", 1)}}
		_, err := h.Ship(t.Context(), m, path)
		if err == nil || isRefused(err) != refused {
			t.Errorf("%d: %v", status, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: the password is in %q", status, err)
		}
		h.Close()
		server.Close()
		if _, err := h.Ship(t.Context(), m, path); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("closed: %v", err)
		}
		h.Close()
	}
}

func TestFileThatIsNotAsSealedIsALocalFault(t *testing.T) {
	t.Parallel()
	m, path := sealedFile(t, 100)
	m.Bytes++
	h := &HTTPShipper{URLs: []string{"http://127.0.0.1:1"}}
	defer h.Close()
	if _, err := h.Ship(t.Context(), m, path); !errors.Is(err, errLocal) {
		t.Error(err)
	}
	if _, err := h.Ship(t.Context(), m, path+"x"); !errors.Is(err, errLocal) {
		t.Error(err)
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add(200, []byte(`{"camera":"cam","seq":1,"sha256":"00"}`))
	f.Add(503, []byte(`{"detail":"store is down"}`))
	f.Add(400, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		resp := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(string(body)))}
		if _, err := readReceipt(resp, "http://x"); err == nil && status != 200 && status != 201 {
			t.Fatalf("%d is a receipt", status)
		}
	})
}
