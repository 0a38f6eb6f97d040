package recorder_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"skein/edge/spool"
	"skein/recorder"
	"skein/recorder/segment"
)

func gapOf(camera string, from time.Time, d time.Duration, c segment.Cause) segment.GapDoc {
	return segment.GapDoc{
		Camera: camera, Gap: segment.Gap{Range: segment.Range{From: from, To: from.Add(d)}, Cause: c}, Noted: from.Add(d),
	}
}

// withDocs keeps gap documents in the store.
func withDocs(d *recorder.Deps) { d.Docs = d.Store.(recorder.Documents) } // the store is a whole archive

// putGap sends a gap document as an edge does.
func (b *bed) putGap(camera string, from time.Time, body any) int {
	b.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	target := b.url + "/v1/ingest/gaps/" + camera + "/" + strconv.FormatInt(from.UnixMilli(), 10)
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPut, target, bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	status, _, _ := b.do(q)
	return status
}

// A gap document is stored, known at once, replaced by its later version, and known again after a restart.
func TestGapDocumentsAreKept(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withDocs)
	from := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	open := gapOf("cam", from, time.Minute, segment.CauseCameraOff)
	open.Due = open.To.Add(time.Minute)
	closed := gapOf("cam", from, 10*time.Minute, segment.CauseCameraOff)
	shipper := &spool.HTTPShipper{URLs: []string{b.url}, Token: token}
	defer shipper.Close()
	for _, d := range []segment.GapDoc{
		open, closed, open, gapOf("cam", from.Add(-40*24*time.Hour), time.Hour, segment.CauseNetwork),
	} {
		if err := shipper.ShipGap(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	within := segment.Range{From: from.Add(5 * time.Minute), To: from.Add(time.Hour)}
	check := func(r *recorder.Recorder) error {
		got := r.Gaps("cam", within)
		if len(got) != 1 || !got[0].To.Equal(closed.To) || !got[0].Due.IsZero() {
			return errors.New("wrong documents")
		}
		if old := r.Gaps("cam", segment.Range{From: from.AddDate(0, -2, 0), To: from}); len(old) != 1 {
			return errors.New("no old document")
		}
		return nil
	}
	if err := check(b.rec); err != nil {
		t.Fatalf("%v: %+v", err, b.rec.Gaps("cam", within))
	}
	next, err := recorder.New(recorder.Config{}, recorder.Deps{Store: b.store, Index: b.index, Docs: b.store})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	var wg sync.WaitGroup
	wg.Go(func() { _ = next.Run(ctx) })
	for check(next) != nil && ctx.Err() == nil {
		<-time.After(10 * time.Millisecond)
	}
	if err := check(next); err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
}

func TestGapDocumentsAreChecked(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withDocs)
	from := time.Now().UTC().Truncate(time.Millisecond)
	good := gapOf("cam", from, time.Minute, segment.CauseNetwork)
	if s := b.putGap("cam", from, good); s != http.StatusNoContent {
		t.Errorf("good document: %d", s)
	}
	reversed := gapOf("cam", from, -time.Minute, segment.CauseNetwork)
	for name, s := range map[string]int{
		"other camera": b.putGap("cam2", from, good),
		"other time":   b.putGap("cam", from.Add(time.Second), good),
		"reversed":     b.putGap("cam", from, reversed),
		"no document":  b.putGap("cam", from, "text"),
		"long":         b.putGap("cam", from, string(make([]byte, 10000))),
		"odd camera":   b.putGap("..%2f..", from, good),
	} {
		if s != http.StatusBadRequest {
			t.Errorf("%s: %d", name, s)
		}
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.url+"/v1/ingest/gaps/cam/1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if s, _, _ := b.do(q); s != http.StatusUnauthorized {
		t.Errorf("without a token: %d", s)
	}
	var refused *spool.RefusedError
	err = (&spool.HTTPShipper{URLs: []string{b.url}, Token: token}).ShipGap(t.Context(), reversed)
	if !errors.As(err, &refused) {
		t.Errorf("refusal is told as %v", err)
	}
}

// A silence inside a segment that is shipped comes out as a gap document.
func TestHolesOfASegmentAreGaps(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withDocs)
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m, data := footage(t, "cam", 1, start, 8)
	m.Holes = []segment.Gap{{
		Range: segment.Range{From: start.Add(2 * time.Second), To: start.Add(4 * time.Second)}, Cause: segment.CauseNetwork,
	}}
	if s, _, body := b.do(b.request(m, data)); s != http.StatusOK {
		t.Fatalf("%d: %s", s, body)
	}
	if got := b.rec.Gaps("cam", m.Range()); len(got) != 1 || !got[0].Inside {
		t.Errorf("gaps %+v", got)
	}
	m.Seq, m.Prev = 2, m.SHA256
	m.Holes[0].To = m.End().Add(time.Hour)
	if s, _, _ := b.do(b.request(m, data)); s != http.StatusBadRequest {
		t.Errorf("a hole beyond the segment: %d", s)
	}
}

func FuzzParseGap(f *testing.F) {
	for _, s := range []string{
		`{"camera":"cam","from":"2026-11-23T12:00:00Z","to":"2026-11-23T12:00:10Z","cause":"network","noted":"2026-11-23T12:00:10Z"}`,
		`{"camera":"cam","from":"2026-11-23T12:00:00Z","to":"2026-11-23T12:00:10Z","cause":"camera_off","due":"2026-11-23T12:01:10Z"}`,
		`{"camera":"","from":"9999-11-23T12:00:00Z","to":"0001-11-23T12:00:10Z","cause":"x"}`, `{"lost":{}}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := segment.ParseGapDoc(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("%+v: %v", d, err)
		}
		if e, err := segment.ParseGapDoc(again); err != nil || !e.From.Equal(d.From) || !e.To.Equal(d.To) || e.Name() != d.Name() {
			t.Errorf("%+v becomes %+v, %v", d, e, err)
		}
	})
}
