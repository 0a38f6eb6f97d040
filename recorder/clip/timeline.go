package clip

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"skein/recorder/segment"
)

// Timeline tells which moment each picture of a clip is of. It is the body of GET /v1/clips/{camera}.json.
//
// The picture shown t seconds into the MP4 of the same range is that of Start + t while this lies in a span. In a gap
// between two spans the last picture before it stands still; gaps before the first and after the last span are not in
// the MP4. HLS tells its times itself: every stretch without a gap begins with an EXT-X-PROGRAM-DATE-TIME.
type Timeline struct {
	Camera        string `json:"camera"`
	segment.Range        // as it was asked for
	// Start is when the first picture was taken: a little before From where one was in force at that moment.
	Start time.Time `json:"start,omitzero"`
	// Spans are the stretches in which picture follows picture, without any where nothing was recorded.
	Spans []TimelineSpan `json:"spans"`
	// Gaps are all other moments of the range, with their causes.
	Gaps []segment.Gap `json:"gaps"`
}

// TimelineSpan is a stretch of pictures and where it lies in the MP4.
type TimelineSpan struct {
	segment.Range
	At float64 `json:"at_s"` // seconds from the beginning of the MP4
}

// timeline answers which moments a clip shows.
func (h *Handler) timeline(w http.ResponseWriter, r *http.Request, camera string, within segment.Range) {
	ctx := r.Context()
	recs, err := h.library.find(ctx, camera, within)
	var none *NoFootageError
	if errors.As(err, &none) {
		recs, err = nil, nil
	}
	var t Timeline
	if err == nil {
		t, err = h.library.timeline(ctx, camera, within, recs)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	t.Gaps = missing(within, t.Spans, h.coverageOf(ctx, camera, within, recs).Gaps)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(t) // a client that left needs no answer
}

// timeline returns the spans of the clip of a range. They are those of the frames that layout takes.
func (l *library) timeline(
	ctx context.Context, camera string, within segment.Range, recs []segment.Record,
) (Timeline, error) {
	t := Timeline{Camera: camera, Range: within, Spans: []TimelineSpan{}}
	first := planner{within: within, scale: 90000} // lays out the clip until it is known with which picture it begins
	err := l.each(ctx, camera, recs, func(s slice) error {
		if !first.begun {
			first.sources = append(first.sources, source{})
			first.take(s)
		}
		if first.begun {
			t.Start = first.from
			t.take(s)
		}
		return nil
	})
	return t, err
}

// take adds the fragments of one segment.
func (t *Timeline) take(s slice) {
	shown := segment.Range{From: t.Start, To: t.To}
	if !s.limit.IsZero() {
		shown.To = earlier(shown.To, s.limit)
	}
	for _, f := range fragmentSpans(s.x) {
		r, ok := segment.Range{From: f.from, To: f.to}.Clip(shown)
		if !ok {
			continue
		}
		if n := len(t.Spans); n > 0 && r.From.Sub(t.Spans[n-1].To) <= segment.Join {
			t.Spans[n-1].To = later(t.Spans[n-1].To, r.To)
			continue
		}
		t.Spans = append(t.Spans, TimelineSpan{Range: r, At: r.From.Sub(t.Start).Seconds()})
	}
}

// missing returns what lies in none of the spans, with the causes that coverage knows. Where coverage tells several for
// one hole it is split; what coverage takes for recorded at its edges belongs to the cause beside it.
func missing(within segment.Range, spans []TimelineSpan, known []segment.Gap) []segment.Gap {
	gaps := []segment.Gap{}
	hole := func(from, to time.Time) {
		if to.Sub(from) <= segment.Join {
			return
		}
		whole := segment.Range{From: from, To: to}
		n := len(gaps)
		for _, g := range known {
			part, ok := g.Range.Clip(whole)
			switch {
			case !ok:
			case len(gaps) > n && gaps[len(gaps)-1].Cause == g.Cause:
				gaps[len(gaps)-1].To = part.To
			default:
				if len(gaps) > n {
					gaps[len(gaps)-1].To = part.From
				}
				gaps = append(gaps, segment.Gap{Range: part, Cause: g.Cause})
			}
		}
		if len(gaps) == n {
			gaps = append(gaps, segment.Gap{Range: whole, Cause: segment.CauseUnknown})
		}
		gaps[n].From, gaps[len(gaps)-1].To = from, to
	}
	at := within.From
	for _, s := range spans {
		hole(at, s.From)
		at = later(at, s.To)
	}
	hole(at, within.To)
	return gaps
}
