package recorder_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"skein/recorder"
	"skein/recorder/clip"
	"skein/recorder/retain"
	"skein/recorder/segment"
)

// Time before a camera's first footage is called so, and deleted footage likewise; what cannot be known stays unknown.
func TestCoverageBeforeTheFirstFootage(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	gap := func(from, to int, c segment.Cause) segment.Gap {
		return segment.Gap{Range: segment.Range{From: at(from), To: at(to)}, Cause: c}
	}
	for _, c := range []struct {
		name   string
		seq    uint64 // of the oldest segment left; 0: there is none
		buried int    // minutes before noon at which the oldest deleted segment began, 0: none
		want   []segment.Gap
	}{
		{"the first of its chain", 1, 0, []segment.Gap{gap(-60, 0, "not_yet_in_use"), gap(1, 60, "unknown")}},
		{"older footage was deleted", 9, 20, []segment.Gap{
			gap(-60, -20, "not_yet_in_use"), gap(-20, 0, "deleted"), gap(1, 60, "unknown"),
		}},
		{"nobody knows", 9, 0, []segment.Gap{gap(-60, 0, "unknown"), gap(1, 60, "unknown")}},
		{"nothing is there", 0, 0, []segment.Gap{gap(-60, 60, "unknown")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, recorder.Config{}, withDocs)
			if c.seq > 0 {
				rec := segment.Record{Start: noon, Duration: time.Minute, Seq: c.seq, Bytes: 1}
				if err := b.index.Add(t.Context(), "cam", rec); err != nil {
					t.Fatal(err)
				}
			}
			if c.buried > 0 {
				for _, minute := range []int{-c.buried, -5} {
					first := at(minute)
					name := retain.TombstonePrefix + "cam/" + first.Format("2006/01/02/") + fmt.Sprintf("%d-1.json", first.UnixMilli())
					if err := b.store.PutBlob(t.Context(), name, []byte("[]")); err != nil {
						t.Fatal(err)
					}
				}
			}
			h := clip.NewHandler(clip.Config{Records: b.index, Gaps: b.rec.Gaps, Began: b.rec.Began})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/coverage?camera=cam&from="+
				at(-60).Format(time.RFC3339)+"&to="+at(60).Format(time.RFC3339), nil))
			var got struct {
				Cameras []struct{ Gaps []segment.Gap }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Cameras) != 1 {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if !slices.Equal(got.Cameras[0].Gaps, c.want) {
				t.Errorf("gaps %v, want %v", got.Cameras[0].Gaps, c.want)
			}
		})
	}
}
