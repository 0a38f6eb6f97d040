package recorder

import "skein/recorder/segment"

// NoteGap enters a document into the book as if it had been read from the store.
func (r *Recorder) NoteGap(d segment.GapDoc) { r.gaps.note(d) }
