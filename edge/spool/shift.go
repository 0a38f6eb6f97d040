package spool

import (
	"time"

	"skein/edge/media"
)

// shift moves units of a new epoch that began in the middle of a group of pictures to the time line of the open
// segment, until the next key frame lets a new segment begin. Nothing is lost to a clock's step.
type shift struct {
	epoch uint32
	wall  time.Duration
	pts   map[int]int64 // by track
}

// newShift measures by the arrival of units how far u's time line is from the segment's.
func (r *recording) newShift(u *media.AccessUnit) *shift {
	step := max(u.Arrival.Sub(r.last.Arrival), time.Millisecond)
	return &shift{epoch: u.Epoch, wall: r.last.Wall.Add(step).Sub(u.Wall), pts: map[int]int64{}}
}

func (r *recording) moved(u *media.AccessUnit) *media.AccessUnit {
	if u.Epoch != r.shift.epoch {
		r.shift = r.newShift(u)
	}
	d, ok := r.shift.pts[u.Track]
	if !ok {
		rate := int64(u.Desc.Tracks[u.Track].ClockRate)
		step := max(u.Arrival.Sub(r.last.Arrival), time.Millisecond)
		if u.Track < len(r.lastPTS) {
			d = r.lastPTS[u.Track] + max(1, int64(step)*rate/int64(time.Second)) - u.PTS
		}
		r.shift.pts[u.Track] = d
	}
	return rebased(u, r.last, r.f.part.epoch, r.shift.wall, d)
}

// rebased is a unit of a new epoch, moved to the time line of the segment that is open: see recording.shift.
func rebased(u, last *media.AccessUnit, epoch uint32, wall time.Duration, pts int64) *media.AccessUnit {
	v := *u
	v.Epoch, v.Desc = epoch, last.Desc
	v.Wall = u.Wall.Add(wall)
	v.PTS = u.PTS + pts
	return &v
}
