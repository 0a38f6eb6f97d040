package recorder

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Storage is what GET /v1/storage answers. Sizes are bytes; rates are over the last day of footage.
type Storage struct {
	Bytes       int64    `json:"bytes"`
	Segments    int64    `json:"segments"`
	MaxBytes    int64    `json:"max_bytes,omitempty"`
	Free        *int64   `json:"free,omitempty"`
	BytesPerDay int64    `json:"bytes_per_day"`
	DaysLeft    *float64 `json:"days_left,omitempty"` // until the archive is full
	DaysHeld    *float64 `json:"days_held,omitempty"` // days of footage that fit in all, at this rate
	Measured    bool     `json:"measured"`            // false: still being counted

	Retention Retention       `json:"retention"`
	Cameras   []CameraStorage `json:"cameras"`
}

// Retention compares what was promised with what there is room for.
type Retention struct {
	// Kept is false if footage had to go before its retention was over, within the last hour.
	Kept bool `json:"kept"`
	// Early counts the segments that had to go before, since the recorder started.
	Early int64 `json:"early_segments"`
	// Needed is how many bytes the cameras' retention takes once it is full, at the rate of now. Cameras whose footage is
	// kept for ever do not count.
	Needed int64 `json:"needed_bytes"`
	// Short is by how much Needed exceeds what there is room for; 0 if it fits.
	Short int64 `json:"short_bytes"`
}

// CameraStorage is one camera's part.
type CameraStorage struct {
	Camera      string    `json:"camera"`
	Bytes       int64     `json:"bytes"`
	Segments    int64     `json:"segments"`
	Oldest      time.Time `json:"oldest,omitzero"`
	Newest      time.Time `json:"newest,omitzero"`
	BytesPerDay int64     `json:"bytes_per_day"`
	KeepDays    int       `json:"keep_days,omitempty"` // its retention; 0: for ever
	Short       bool      `json:"short,omitempty"`     // footage went before that, within the last hour
}

// Storage returns how much footage there is and how long the space will last.
func (r *Recorder) Storage() Storage {
	now := time.Now()
	out := Storage{MaxBytes: r.cfg.MaxBytes, Cameras: []CameraStorage{}}
	out.Retention = Retention{Kept: true, Early: r.early.segments()}
	u := r.usage
	u.mu.Lock()
	out.Measured = u.ready
	for id, c := range u.cameras {
		s := CameraStorage{
			Camera: id, Bytes: c.bytes, Segments: c.segments, Oldest: c.oldest, Newest: c.newest,
			BytesPerDay: c.perDay(now), KeepDays: r.keep(id), Short: r.early.of(id, now),
		}
		out.Retention.Needed += s.BytesPerDay * int64(s.KeepDays)
		out.Retention.Kept = out.Retention.Kept && !s.Short
		out.Bytes += s.Bytes
		out.Segments += s.Segments
		out.BytesPerDay += s.BytesPerDay
		out.Cameras = append(out.Cameras, s)
	}
	u.mu.Unlock()
	slices.SortFunc(out.Cameras, func(a, b CameraStorage) int { return strings.Compare(a.Camera, b.Camera) })
	capacity := r.cfg.MaxBytes // 0: not known
	if r.deps.Free != nil {
		if free, _, err := r.deps.Free(); err == nil {
			out.Free = &free
			room := out.Bytes + max(0, free-r.cfg.MinFree)
			if capacity == 0 || room < capacity {
				capacity = room
			}
		}
	}
	if capacity > 0 && out.BytesPerDay > 0 {
		left := float64(max(0, capacity-out.Bytes)) / float64(out.BytesPerDay)
		held := float64(capacity) / float64(out.BytesPerDay)
		out.DaysLeft, out.DaysHeld = &left, &held
	}
	if capacity > 0 {
		out.Retention.Short = max(0, out.Retention.Needed-capacity)
	}
	return out
}

func (r *Recorder) storage(w http.ResponseWriter, q *http.Request) {
	s := r.Storage()
	if want := q.URL.Query()["camera"]; len(want) > 0 {
		s.Cameras = slices.DeleteFunc(s.Cameras, func(c CameraStorage) bool { return !slices.Contains(want, c.Camera) })
	}
	writeJSON(w, s)
}
