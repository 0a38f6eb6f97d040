package recorder

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/recorder/segment"
)

// usage is how much footage there is, by camera. It is measured from the index and kept up to date between.
type usage struct {
	mu      sync.Mutex // guards the fields below
	cameras map[string]*cameraUsage
	total   int64
	ready   bool // measured once
}

type cameraUsage struct {
	bytes    int64
	segments int64
	oldest   time.Time
	newest   time.Time
	hours    map[int64]int64 // bytes by hour of footage since 1970, the last rateHours

	scanning map[recordID]int64 // added while the camera is being measured
}

// recordID tells segments of a camera apart.
type recordID struct {
	start int64
	seq   uint64
}

// rateHours is the stretch over which the growth of the archive is averaged.
const rateHours = 24

func newUsage() *usage { return &usage{cameras: map[string]*cameraUsage{}} }

func idOf(r segment.Record) recordID { return recordID{r.Start.UnixMilli(), r.Seq} }

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func (u *usage) camera(id string) *cameraUsage {
	c := u.cameras[id]
	if c == nil {
		c = &cameraUsage{hours: map[int64]int64{}}
		u.cameras[id] = c
	}
	return c
}

// add counts a segment just indexed.
func (u *usage) add(camera string, r segment.Record, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.camera(camera)
	c.add(r, now)
	u.total += r.Bytes
	if c.scanning != nil {
		c.scanning[idOf(r)] = r.Bytes
	}
}

func (c *cameraUsage) add(r segment.Record, now time.Time) {
	c.bytes += r.Bytes
	c.segments++
	if c.oldest.IsZero() || r.Start.Before(c.oldest) {
		c.oldest = r.Start
	}
	if r.End().After(c.newest) {
		c.newest = r.End()
	}
	h, first := hourOf(r.Start), hourOf(now)-rateHours
	if h < first {
		return
	}
	c.hours[h] += r.Bytes
	for k := range c.hours {
		if k < first {
			delete(c.hours, k)
		}
	}
}

// removed counts a segment out. next is the start of the oldest one left, zero if not known.
func (u *usage) removed(camera string, r segment.Record, next time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cameras[camera]
	if c == nil {
		return
	}
	c.bytes -= r.Bytes
	c.segments--
	u.total -= r.Bytes
	if !next.IsZero() {
		c.oldest = next
	}
}

// begin starts measuring a camera.
func (u *usage) begin(camera string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.camera(camera).scanning = map[recordID]int64{}
}

// end replaces what is known of a camera by what was measured and what was added meanwhile.
func (u *usage) end(camera string, c *cameraUsage, seen map[recordID]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.camera(camera)
	for id, bytes := range old.scanning {
		if !seen[id] {
			c.bytes += bytes
			c.segments++
		}
	}
	if old.newest.After(c.newest) {
		c.newest = old.newest
	}
	u.total += c.bytes - old.bytes
	u.cameras[camera] = c
}

func (u *usage) bytes() (n int64, ready bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.total, u.ready
}

// scan measures the archive from the index, camera by camera and day by day.
func (r *Recorder) scan(ctx context.Context) error {
	cameras, err := r.deps.Index.Cameras(ctx)
	if err != nil {
		return err
	}
	for _, id := range cameras {
		if err := r.scanCamera(ctx, id); err != nil {
			return err
		}
	}
	r.usage.mu.Lock()
	defer r.usage.mu.Unlock()
	r.usage.ready = true
	return nil
}

func (r *Recorder) scanCamera(ctx context.Context, id string) error {
	r.usage.begin(id)
	days, err := r.deps.Index.Days(ctx, id)
	if err != nil {
		return err
	}
	c := &cameraUsage{hours: map[int64]int64{}}
	now := time.Now()
	recent := map[recordID]bool{}
	for _, day := range days {
		list, err := dayOf(ctx, r.deps.Index, id, day)
		if err != nil {
			return err
		}
		for _, rec := range list {
			c.add(rec, now)
			recent[idOf(rec)] = true
		}
		if len(recent) > 1<<16 { // what is added during the scan is of today, or rarely a backlog's
			clear(recent)
		}
	}
	r.usage.end(id, c, recent)
	return nil
}

// dayOf returns the records that start on a UTC day, in order.
func dayOf(ctx context.Context, x Index, camera string, day time.Time) ([]segment.Record, error) {
	within := segment.Range{From: day, To: day.Add(24 * time.Hour)}
	list, err := x.Range(ctx, camera, within)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(r segment.Record) bool {
		return r.Start.Before(within.From) || !r.Start.Before(within.To)
	}), nil
}

// Removed tells the role that something else, such as retention, has removed a segment.
func (r *Recorder) Removed(camera string, rec segment.Record) {
	r.usage.removed(camera, rec, time.Time{})
}

// Storage is what GET /v1/storage answers. Sizes are bytes; rates are over the last day of footage.
type Storage struct {
	Bytes       int64           `json:"bytes"`
	Segments    int64           `json:"segments"`
	MaxBytes    int64           `json:"max_bytes,omitempty"`
	Free        *int64          `json:"free,omitempty"`
	BytesPerDay int64           `json:"bytes_per_day"`
	DaysLeft    *float64        `json:"days_left,omitempty"` // until the archive is full
	DaysHeld    *float64        `json:"days_held,omitempty"` // days of footage that fit in all
	Measured    bool            `json:"measured"`            // false: still being counted
	Cameras     []CameraStorage `json:"cameras"`
}

// CameraStorage is one camera's part.
type CameraStorage struct {
	Camera      string    `json:"camera"`
	Bytes       int64     `json:"bytes"`
	Segments    int64     `json:"segments"`
	Oldest      time.Time `json:"oldest,omitzero"`
	Newest      time.Time `json:"newest,omitzero"`
	BytesPerDay int64     `json:"bytes_per_day"`
}

// perDay returns the growth of a camera, from the hours that are complete as far as possible.
func (c *cameraUsage) perDay(now time.Time) int64 {
	var sum int64
	from := now
	for h, b := range c.hours {
		if at := time.Unix(h*3600, 0); at.After(now.Add(-rateHours * time.Hour)) {
			sum += b
			if at.Before(from) {
				from = at
			}
		}
	}
	if c.oldest.After(from) {
		from = c.oldest
	}
	span := now.Sub(from)
	if sum == 0 || span < time.Minute {
		return 0
	}
	return int64(float64(sum) / span.Hours() * 24)
}

// Storage returns how much footage there is and how long the space will last.
func (r *Recorder) Storage() Storage {
	now := time.Now()
	out := Storage{MaxBytes: r.cfg.MaxBytes, Cameras: []CameraStorage{}}
	u := r.usage
	u.mu.Lock()
	out.Measured = u.ready
	for id, c := range u.cameras {
		s := CameraStorage{
			Camera: id, Bytes: c.bytes, Segments: c.segments, Oldest: c.oldest, Newest: c.newest,
			BytesPerDay: c.perDay(now),
		}
		out.Bytes += s.Bytes
		out.Segments += s.Segments
		out.BytesPerDay += s.BytesPerDay
		out.Cameras = append(out.Cameras, s)
	}
	u.mu.Unlock()
	slices.SortFunc(out.Cameras, func(a, b CameraStorage) int { return strings.Compare(a.Camera, b.Camera) })
	capacity := r.cfg.MaxBytes
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
	return out
}

func (r *Recorder) storage(w http.ResponseWriter, q *http.Request) {
	s := r.Storage()
	if want := q.URL.Query()["camera"]; len(want) > 0 {
		s.Cameras = slices.DeleteFunc(s.Cameras, func(c CameraStorage) bool { return !slices.Contains(want, c.Camera) })
	}
	writeJSON(w, s)
}
