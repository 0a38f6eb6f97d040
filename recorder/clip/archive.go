package clip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"skein/recorder/segment"
)

// Records finds segments of a camera: those that overlap within, ordered by start. recorder/index has it.
type Records interface {
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
}

// Object is a stored segment, read in ranges. Its reads are bounded by the context of Open.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Objects opens stored segments.
type Objects interface {
	Open(ctx context.Context, shard, key string) (Object, error)
}

// OpenFunc makes a function an Objects.
type OpenFunc func(ctx context.Context, shard, key string) (Object, error)

// Open implements Objects.
func (f OpenFunc) Open(ctx context.Context, shard, key string) (Object, error) {
	return f(ctx, shard, key)
}

// MaxRange is the longest range of one clip or playlist.
const MaxRange = 24 * time.Hour

// ErrRange: the asked range is empty, reversed or longer than MaxRange.
var ErrRange = errors.New("invalid range")

// NoFootageError: nothing was recorded in the range. Before and After are the nearest footage within a day, zero if
// there is none.
type NoFootageError struct {
	Camera        string
	Within        segment.Range
	Before, After time.Time
}

// Error implements error.
func (e *NoFootageError) Error() string {
	s := fmt.Sprintf("no footage of %s between %s and %s", e.Camera, stamp(e.Within.From), stamp(e.Within.To))
	switch {
	case !e.Before.IsZero() && !e.After.IsZero():
		s += fmt.Sprintf("; the nearest ends at %s and begins at %s", stamp(e.Before), stamp(e.After))
	case !e.Before.IsZero():
		s += fmt.Sprintf("; the nearest before ends at %s", stamp(e.Before))
	case !e.After.IsZero():
		s += fmt.Sprintf("; the nearest after begins at %s", stamp(e.After))
	default:
		s += "; there is none within a day of it"
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// nearest looks for footage around the range.
func nearest(ctx context.Context, records Records, camera string, within segment.Range) error {
	const day = 24 * time.Hour
	e := &NoFootageError{Camera: camera, Within: within}
	before, err := records.Range(ctx, camera, segment.Range{From: within.From.Add(-day), To: within.From})
	if err != nil {
		return fmt.Errorf("find footage of %s: %w", camera, err)
	}
	for _, r := range before {
		if r.End().After(e.Before) {
			e.Before = r.End()
		}
	}
	after, err := records.Range(ctx, camera, segment.Range{From: within.To, To: within.To.Add(day)})
	if err != nil {
		return fmt.Errorf("find footage of %s: %w", camera, err)
	}
	if len(after) > 0 {
		e.After = after[0].Start
	}
	return e
}

// choose drops records that lie wholly inside their predecessors and returns the rest by start.
func choose(all []segment.Record) []segment.Record {
	var kept []segment.Record
	for _, r := range all {
		if n := len(kept); n > 0 && !r.End().After(kept[n-1].End()) {
			continue
		}
		if n := len(kept); n > 0 && r.Start.Equal(kept[n-1].Start) {
			kept = kept[:n-1] // the longer recording of the same moment
		}
		kept = append(kept, r)
	}
	return kept
}
