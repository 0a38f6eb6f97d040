package recorder

import (
	"context"
	"slices"
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

// add counts a segment just indexed, and returns how many bytes there are now in all.
func (u *usage) add(camera string, r segment.Record, now time.Time) (total int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.camera(camera)
	c.add(r, now)
	u.total += r.Bytes
	if c.scanning != nil {
		c.scanning[idOf(r)] = r.Bytes
	}
	return u.total
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

// removed counts a segment out.
func (u *usage) removed(camera string, r segment.Record) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cameras[camera]
	if c == nil {
		return
	}
	c.bytes -= r.Bytes
	c.segments--
	u.total -= r.Bytes
	if !r.Start.After(c.oldest) && r.End().After(c.oldest) {
		c.oldest = r.End() // there about the next one begins; the index is measured again every hour
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
	r.usage.removed(camera, rec)
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
