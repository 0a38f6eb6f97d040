package clip

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"skein/recorder/segment"
)

// Limits of one coverage request.
const (
	MaxCoverage        = 100 * 24 * time.Hour
	maxCoverageCameras = 2000
)

// Coverage is what is recorded of one camera: spans and gaps add up to the asked range.
type Coverage struct {
	Camera string          `json:"camera"`
	Spans  []segment.Range `json:"spans"`
	Gaps   []segment.Gap   `json:"gaps"`
}

// coverages answers for all cameras, a bounded number at the same time.
func (h *Handler) coverages(ctx context.Context, cameras []string, within segment.Range) ([]Coverage, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]Coverage, len(cameras))
	var wg sync.WaitGroup
	slots := make(chan struct{}, readAhead)
	for i, camera := range cameras {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			recs, err := h.library.records.Range(ctx, camera, within)
			if err != nil {
				cancel(fmt.Errorf("find footage of %s: %w", camera, err))
				return
			}
			spans, gaps := segment.Coverage(recs, within, h.tail(ctx, camera, within.To))
			spans, gaps = segment.Refine(spans, gaps, h.gaps(camera, within))
			all[i] = Coverage{Camera: camera, Spans: spans, Gaps: gaps}
			if spans == nil {
				all[i].Spans = []segment.Range{}
			}
			if gaps == nil {
				all[i].Gaps = []segment.Gap{}
			}
		})
	}
	wg.Wait()
	return all, context.Cause(ctx)
}

func (h *Handler) coverage(w http.ResponseWriter, r *http.Request) {
	within, err := parseRange(r.URL.Query(), MaxCoverage)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	cameras := r.URL.Query()["camera"]
	if len(cameras) == 0 || len(cameras) > maxCoverageCameras {
		problem(w, http.StatusBadRequest, "invalid cameras",
			fmt.Sprintf("want 1 to %d times camera=…, have %d", maxCoverageCameras, len(cameras)))
		return
	}
	all, err := h.coverages(r.Context(), cameras, within)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(struct { // a client that left needs no answer
		segment.Range
		Cameras []Coverage `json:"cameras"`
	}{within, all})
}
