package api

import (
	"sync"
	"time"
)

// maxRepeats bounds what is remembered; beyond it the oldest are forgotten, and recorded once more when repeated.
const maxRepeats = 4096

// repeats remembers for a while which acts were recorded.
type repeats struct {
	now func() time.Time

	mu   sync.Mutex // guards the field below
	last map[string]time.Time
}

func newRepeats(now func() time.Time) *repeats {
	return &repeats{now: now, last: map[string]time.Time{}}
}

// seen reports whether the act was recorded lately.
func (r *repeats) seen(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.last[key]
	return ok && r.now().Sub(t) < repeatAfter
}

// add remembers that the act was recorded now.
func (r *repeats) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if len(r.last) >= maxRepeats {
		var oldest string
		for k, t := range r.last {
			if now.Sub(t) >= repeatAfter {
				delete(r.last, k)
			} else if oldest == "" || t.Before(r.last[oldest]) {
				oldest = k
			}
		}
		if len(r.last) >= maxRepeats {
			delete(r.last, oldest)
		}
	}
	r.last[key] = now
}
