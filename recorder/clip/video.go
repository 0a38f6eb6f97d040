package clip

import (
	"math"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// holeTime is how long after a frame the next must come for the frame to be in force until then.
const holeTime = time.Second

// videoTrack is the output track of one video codec.
type videoTrack struct {
	mt    fmp4.MovieTrack
	base  time.Time // wall time of media time 0
	shown time.Time // wall time of the first frame that is shown
	end   time.Time // wall time of the end
}

// videoCut is what is taken from the video of one segment: samples [first, last] in decoding order.
type videoCut struct {
	s           slice
	index       int // track of the segment
	t           *videoTrack
	entry       int
	shift       int64 // output ticks at the segment's start
	first, last int
	group       int   // decoding begins with first: up to here no sample that leads the group is taken
	limit       int64 // segment ticks: frames from here on come from the next segment
}

// span is a video sample in the search for the cut.
type span struct {
	pts      int64
	key      bool
	leading  bool
	recovery int
}

// keyOf returns the key frame with which decoding must begin so that sample show can be shown, and show, or the
// sample that is shown instead because that one needs pictures of the segment before. The pictures of a gradual refresh
// are to be whole by then, if there is such a key frame.
func keyOf(spans []span, show int) (key, shown int) {
	key = -1
	for i, f := range spans[:show+1] {
		if f.key && f.pts <= spans[show].pts && (key < 0 || i+f.recovery <= show) {
			key = i
		}
	}
	if key < 0 {
		return 0, 0
	}
	return key, show
}

// groupEnd returns the first sample after first that belongs to another group of pictures.
func groupEnd(spans []span, first int) int {
	for i := first + 1; i < len(spans); i++ {
		if spans[i].key {
			return i
		}
	}
	return len(spans)
}

// cutVideo decides which frames of the segment are taken, nil if none is.
func (p *planner) cutVideo(s slice, index int) *videoCut {
	scale := s.x.Tracks[index].TimeScale
	spans := flatten(s.x, index)
	to, limit := fmp4.Ticks(p.within.To.Sub(s.x.Start), scale), int64(math.MaxInt64)
	if !s.limit.IsZero() {
		limit = fmp4.Ticks(s.limit.Sub(s.x.Start), scale)
	}
	show := -1 // the first frame shown
	key := 0
	if p.begun {
		for i, f := range spans {
			if f.key {
				show, key = i, i
				break
			}
		}
	} else {
		show = inForce(spans, fmp4.Ticks(p.within.From.Sub(s.x.Start), scale), scale, s.x)
		if show >= 0 {
			key, show = keyOf(spans, show)
		}
	}
	if show < 0 || (!p.begun && spans[show].pts >= min(to, limit)) {
		return nil
	}
	c := &videoCut{s: s, index: index, first: key, limit: limit, last: -1}
	c.t = p.videoTrack(s, index)
	if c.t.base.IsZero() || s.x.Start.Sub(p.to) > segment.Join {
		c.group = groupEnd(spans, key)
	}
	for i, f := range spans {
		if i >= key && f.pts < min(to, limit) && (i >= c.group || !f.leading) {
			c.last = i
		}
	}
	if c.last < 0 {
		return nil
	}
	if c.t.base.IsZero() {
		c.t.base = s.x.Time(index, decodeTime(s.x, index, key))
		c.t.shown = s.x.Time(index, spans[show].pts)
		c.t.mt.Skip = (spans[show].pts - decodeTime(s.x, index, key)) * int64(p.scale) / int64(scale)
	}
	if !p.begun {
		p.begun, p.from = true, c.t.shown
	}
	c.entry = entryIndex(&c.t.mt.Entries, s.x.Tracks[index].Entry)
	c.shift = fmp4.Ticks(s.x.Start.Sub(c.t.base), p.scale)
	return c
}

// videoTrack returns the output track for the codec of the segment's track.
func (p *planner) videoTrack(s slice, index int) *videoTrack {
	in := s.x.Tracks[index]
	for _, t := range p.video {
		if t.mt.Codec == in.Codec {
			return t
		}
	}
	t := &videoTrack{}
	t.mt.Track, t.mt.Spill = in, p.spill
	t.mt.TimeScale = p.scale
	p.video = append(p.video, t)
	return t
}

// flatten lists the samples of a video track.
func flatten(x *fmp4.Index, index int) []span {
	var all []span
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if r.Track != index {
				continue
			}
			at := r.DTS
			for _, s := range r.Samples {
				all = append(all, span{at + int64(s.Shift), s.Key, s.Leading, int(s.Recovery)})
				at += int64(s.Duration)
			}
		}
	}
	return all
}

// decodeTime returns the decode time of sample number n of a track.
func decodeTime(x *fmp4.Index, index, n int) int64 {
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if r.Track != index {
				continue
			}
			if n >= len(r.Samples) {
				n -= len(r.Samples)
				continue
			}
			at := r.DTS
			for _, s := range r.Samples[:n] {
				at += int64(s.Duration)
			}
			return at
		}
	}
	return 0
}

// inForce returns the frame that is in force at time at: the last one presented until then, unless a hole follows it.
// Otherwise the first frame after at; -1 if there is none.
func inForce(spans []span, at int64, scale uint32, x *fmp4.Index) int {
	now, next := -1, -1
	for i, f := range spans {
		if f.pts <= at && (now < 0 || f.pts > spans[now].pts) {
			now = i
		}
		if f.pts > at && (next < 0 || f.pts < spans[next].pts) {
			next = i
		}
	}
	if now < 0 {
		return next
	}
	until := fmp4.Ticks(x.Duration(), scale)
	if next >= 0 {
		until = spans[next].pts
		if until-spans[now].pts > fmp4.Ticks(holeTime, scale) && at-spans[now].pts > fmp4.Ticks(holeTime, scale) {
			return next
		}
	}
	if at >= until {
		return next
	}
	return now
}

// addVideo adds the samples of a run that lie in the cut. number is the decoding number of the run's first sample.
func (p *planner) addVideo(c *videoCut, r fmp4.Run, number int) {
	scale := int64(c.s.x.Tracks[c.index].TimeScale)
	at, off := r.DTS, r.Offset
	joined := false // a chunk is open and the last sample went into it
	for i, s := range r.Samples {
		n := number + i
		taken := n >= c.first && n <= c.last && at+int64(s.Shift) < c.limit && (n >= c.group || !s.Leading)
		if taken {
			if !joined {
				c.t.mt.Chunk(p.size, c.entry)
			}
			dts := c.shift + at*int64(p.scale)/scale
			pts := c.shift + (at+int64(s.Shift))*int64(p.scale)/scale
			c.t.mt.Sample(s.Size, dts, pts-dts, s.Key)
			p.copyBytes(off, int64(s.Size))
		}
		joined = taken
		at += int64(s.Duration)
		off += int64(s.Size)
	}
}
