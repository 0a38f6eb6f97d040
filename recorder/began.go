package recorder

import (
	"context"
	"path"
	"strings"
	"sync"
	"time"

	"skein/recorder/retain"
	"skein/recorder/segment"
)

// beganFor is how long an answer of began is good for: footage goes and comes.
const beganFor = time.Minute

// beginnings remembers where the footage of cameras begins.
type beginnings struct {
	mu sync.Mutex // guards of
	of map[string]beginning
}

type beginning struct {
	first, left time.Time
	known       bool
	at          time.Time
}

// Began tells when the camera's first footage began, deleted footage included, and the oldest that is left. ok is
// false while that is not certain: nothing is in the index, or its oldest segment is neither the first of the camera's
// chain nor preceded by tombstones.
func (r *Recorder) Began(ctx context.Context, camera string) (first, left time.Time, ok bool) {
	now := time.Now()
	r.began.mu.Lock()
	b, known := r.began.of[camera]
	r.began.mu.Unlock()
	if !known || now.Sub(b.at) >= beganFor {
		var err error
		if b, err = r.findBeginning(ctx, camera); err != nil {
			if ctx.Err() == nil {
				r.log.Warn("where the footage of a camera begins could not be found", "camera", camera, "err", err)
			}
			return first, left, false
		}
		b.at = now
		r.began.mu.Lock()
		r.began.of[camera] = b
		r.began.mu.Unlock()
	}
	return b.first, b.left, b.known
}

func (r *Recorder) findBeginning(ctx context.Context, camera string) (b beginning, err error) {
	days, err := r.deps.Index.Days(ctx, camera)
	if err != nil || len(days) == 0 {
		return b, err
	}
	list, err := r.deps.Index.Range(ctx, camera, segment.Range{From: days[0], To: days[0].AddDate(0, 0, 1)})
	if err != nil || len(list) == 0 {
		return b, err
	}
	oldest := list[0]
	for _, rec := range list {
		if rec.Start.Before(oldest.Start) {
			oldest = rec
		}
	}
	b.first, b.left, b.known = oldest.Start, oldest.Start, oldest.Seq == 1
	if b.known || r.deps.Docs == nil {
		return b, nil
	}
	for name, err := range r.deps.Docs.ListBlobs(ctx, retain.TombstonePrefix+camera+"/") { // the oldest day comes first
		if err != nil {
			return b, err
		}
		ms, _, _ := strings.Cut(path.Base(name), "-")
		if at, err := parseStart(ms); err == nil && at.Before(b.first) {
			b.first, b.known = at, true
		}
		break
	}
	return b, nil
}
