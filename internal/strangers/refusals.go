package strangers

import (
	"log/slog"
	"sync"
	"time"
)

// tellEvery is how often refusals are told in the log.
const tellEvery = 10 * time.Second

// Refusals counts what is refused to strangers and tells it in few lines, however many there are: who can connect must
// not be able to fill the log either. The zero value is ready. Its methods may be called by several goroutines.
type Refusals struct {
	mu   sync.Mutex // guards the fields below
	n    int        // since told
	last string
	told time.Time
}

// Note counts one. who and why are those of the last one told.
func (r *Refusals) Note(who, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.last = who + ": " + why
}

// Tell logs what was noted since the last line, unless that is too young. It is called every now and then.
func (r *Refusals) Tell(now time.Time, log *slog.Logger, msg string) {
	r.mu.Lock()
	n, last := r.n, r.last
	if n == 0 || now.Sub(r.told) < tellEvery {
		r.mu.Unlock()
		return
	}
	r.n, r.told = 0, now
	r.mu.Unlock()
	log.Warn(msg, "refused", n, "last", last)
}
