package recorder

import (
	"time"

	"skein/recorder/segment"
)

// NoteGap enters a document into the book as if it had been read from the store.
func (r *Recorder) NoteGap(d segment.GapDoc) { r.gaps.note(d) }

// SetSlowGrace changes how long an upload may be slow before it gives way. It is to be called before any.
func (r *Recorder) SetSlowGrace(d time.Duration) { r.places.grace = d }

// Uploading returns how many uploads of a node are under way.
func (r *Recorder) Uploading(node string) int {
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	return r.places.of[node]
}
