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

// manyRecords is a Records that answers for many cameras at once. recorder/index does.
type manyRecords interface {
	RangeMany(ctx context.Context, cameras []string, within segment.Range) ([][]segment.Record, error)
}

const (
	// togetherRange is the longest range for which cameras are asked about together: their records are in memory at the
	// same time.
	togetherRange = 3 * time.Hour
	togetherMost  = 100 // cameras
)

// coverages answers for all cameras, a bounded number at the same time.
func (h *Handler) coverages(ctx context.Context, cameras []string, within segment.Range) ([]Coverage, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]Coverage, len(cameras))
	find, step := h.findOne, 1
	if many, ok := h.library.records.(manyRecords); ok && within.Duration() <= togetherRange {
		find, step = many.RangeMany, togetherMost
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, readAhead)
	for first := 0; first < len(cameras); first += step {
		ids := cameras[first:min(first+step, len(cameras))]
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			lists, err := find(ctx, ids, within)
			if err != nil {
				cancel(fmt.Errorf("find footage of %s: %w", ids[0], err))
				return
			}
			for i, recs := range lists {
				all[first+i] = h.coverageOf(ctx, ids[i], within, recs)
			}
		})
	}
	wg.Wait()
	return all, context.Cause(ctx)
}

func (h *Handler) findOne(ctx context.Context, cameras []string, within segment.Range) ([][]segment.Record, error) {
	recs, err := h.library.records.Range(ctx, cameras[0], within)
	return [][]segment.Record{recs}, err
}

func (h *Handler) coverageOf(ctx context.Context, camera string, within segment.Range, recs []segment.Record) Coverage {
	spans, gaps := segment.Coverage(recs, within, segment.CauseUnknown)
	spans, gaps = segment.Refine(spans, gaps, h.gaps(camera, within))
	if n := len(gaps); n > 0 && gaps[n-1].Cause == segment.CauseUnknown && gaps[n-1].To.Equal(within.To) {
		gaps[n-1].Cause = h.behind(ctx, camera, within.To)
	}
	if h.began != nil && len(gaps) > 0 && gaps[0].Cause == segment.CauseUnknown && gaps[0].From.Equal(within.From) {
		if first, left, ok := h.began(ctx, camera); ok {
			gaps = segment.Explain(gaps, segment.Gap{
				Range: segment.Range{From: within.From, To: first}, Cause: segment.CauseNotInUse,
			})
			gaps = segment.Explain(gaps, segment.Gap{Range: segment.Range{From: first, To: left}, Cause: segment.CauseDeleted})
		}
	}
	c := Coverage{Camera: camera, Spans: spans, Gaps: gaps}
	if spans == nil {
		c.Spans = []segment.Range{}
	}
	if gaps == nil {
		c.Gaps = []segment.Gap{}
	}
	return c
}

// behindMost is how far behind the end of a range the footage is looked for that ends a gap there.
const behindMost = 24 * time.Hour

// behind tells why there is no footage at a moment: the first segment after it knows. One that is not there, or cannot
// be asked for, leaves the cause unknown.
func (h *Handler) behind(ctx context.Context, camera string, at time.Time) segment.Cause {
	if time.Since(at) < 0 {
		return segment.CauseUnknown // nothing can be there yet
	}
	recs, err := h.library.records.Range(ctx, camera, segment.Range{From: at, To: at.Add(behindMost)})
	if err != nil || len(recs) == 0 || recs[0].Gap == "" {
		return segment.CauseUnknown
	}
	return recs[0].Gap
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
