package recorder

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// earlyFor is how long after the last deletion before its time retention counts as not kept.
	earlyFor = time.Hour
	// earlyLog is how often the log tells of it again.
	earlyLog = time.Hour
)

// early knows whose footage had to go before its retention was over, because the archive is bounded too tightly. It is
// safe for concurrent use.
type early struct {
	log *slog.Logger

	mu      sync.Mutex // guards the fields below
	cameras map[string]time.Time
	count   int64     // segments since the start
	told    time.Time // when the log told last
	untold  int
}

// note notes that segments of a camera went before their time.
func (e *early) note(camera string, segments int, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cameras[camera] = now
	e.count += int64(segments)
	e.untold += segments
	if now.Sub(e.told) < earlyLog {
		return
	}
	e.log.Error("retention is not kept: the archive's bound makes footage go before its time; "+
		"raise archive.max_bytes, add disks, or lower bitrates", "camera", camera, "cameras", len(e.cameras),
		"segments", e.untold)
	e.told, e.untold = now, 0
}

// of reports whether footage of a camera went before its time lately.
func (e *early) of(camera string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.cameras[camera]
	return ok && now.Sub(t) < earlyFor
}

// kept reports whether no camera's footage went before its time lately.
func (e *early) kept(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.cameras {
		if now.Sub(t) < earlyFor {
			return false
		}
	}
	return true
}

// segments returns how many went before their time since the start.
func (e *early) segments() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}
