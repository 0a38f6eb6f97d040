package clip_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/recorder/clip"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 3, 7, 59, 58, 123456789, time.UTC)

// archive is segments in a directory.
type archive struct {
	dir    string
	recs   []segment.Record
	opens  atomic.Int64
	bytes  atomic.Int64
	broken atomic.Bool // Open fails
}

const camera = "cam0"

func (a *archive) Range(_ context.Context, cam string, within segment.Range) ([]segment.Record, error) {
	var found []segment.Record
	for _, r := range a.recs {
		if cam == camera && r.Range().Overlaps(within) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b segment.Record) int { return a.Start.Compare(b.Start) })
	return found, nil
}

func (a *archive) Open(_ context.Context, _, key string) (clip.Object, error) {
	a.opens.Add(1)
	if a.broken.Load() {
		return nil, errors.New("store is down")
	}
	f, err := os.Open(filepath.Join(a.dir, filepath.Base(key)))
	if err != nil {
		return nil, err
	}
	s, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &object{f, s.Size(), a}, nil
}

type object struct {
	*os.File
	size int64
	a    *archive
}

func (o *object) Size() int64 { return o.size }

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.File.ReadAt(p, off)
	o.a.bytes.Add(int64(n))
	return n, err
}

// record seals units into segments of about length, as the spool does.
func (a *archive) record(t testing.TB, desc *media.Description, units []*media.AccessUnit, length time.Duration) {
	t.Helper()
	var w *fmp4.Writer
	var file bytes.Buffer
	var began time.Time
	seal := func(next time.Time) {
		info, err := w.Close(next)
		if err != nil {
			t.Fatal(err)
		}
		r := segment.Record{
			Start: began.Truncate(time.Millisecond), Duration: info.Duration.Round(time.Millisecond),
			Seq: uint64(len(a.recs) + 1), Bytes: int64(file.Len()),
		}
		r.Hash[0] = byte(len(a.recs))
		if err := os.WriteFile(filepath.Join(a.dir, filepath.Base(r.Key(camera))), file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		a.recs = append(a.recs, r)
		w = nil
	}
	for i := 0; i < len(units); i++ {
		u := units[i]
		if w != nil && u.IsVideo() && u.Key && u.Wall.Sub(began) >= length {
			seal(u.Wall)
		}
		if w == nil {
			var err error
			file.Reset()
			if w, err = fmp4.NewWriter(&file, desc, u.Wall); err != nil {
				t.Fatal(err)
			}
			began = u.Wall
		}
		if _, err := w.Write(u); errors.Is(err, fmp4.ErrSplit) {
			seal(time.Time{})
			i--
		} else if err != nil {
			t.Fatal(err)
		}
	}
	seal(time.Time{})
}

// serve returns the address of a handler over the archive.
func (a *archive) serve(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(clip.NewHandler(clip.Config{Records: a, Objects: a}))
	t.Cleanup(s.Close)
	return s.URL
}

// get fetches an address and fails the test unless the status is want.
func get(t testing.TB, url string, want int, header ...string) ([]byte, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s: status %d, want %d: %s", url, resp.StatusCode, want, body)
	}
	return body, resp.Header
}

// span returns the query of a range.
func span(from, to time.Time) string {
	return "?from=" + from.UTC().Format(time.RFC3339Nano) + "&to=" + to.UTC().Format(time.RFC3339Nano)
}

// cut returns the units of [from, to) seconds, from the first key frame on.
func cut(units []*media.AccessUnit, from, to int) []*media.AccessUnit {
	var some []*media.AccessUnit
	for _, u := range units {
		at := u.Wall.Sub(start)
		if at >= time.Duration(from)*time.Second && at < time.Duration(to)*time.Second && (len(some) > 0 || u.Key) {
			some = append(some, u)
		}
	}
	return some
}
