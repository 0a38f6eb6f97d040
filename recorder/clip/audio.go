package clip

import (
	"time"

	"skein/recorder/fmp4"
)

// audioSlack is how far sound may lie from its wall time before it is moved. Sound as it was recorded is only moved to
// come behind the sound before it, for which originalSlack is the limit.
const (
	audioSlack    = 60 * time.Millisecond
	originalSlack = 20 * time.Millisecond
)

// maxFill bounds the silence that is put in frame by frame; a longer gap is one long last frame instead.
const maxFill = 10 * time.Minute

// audioTrack is the output track of one kind of sound.
type audioTrack struct {
	mt     fmp4.MovieTrack
	in     fmp4.Track
	base   time.Time // wall time of media time 0
	begun  bool
	end    int64 // ticks: where the next sample is due
	silent []byte
}

func (t *audioTrack) wall(at int64) time.Time { return t.base.Add(fmp4.Duration(at, t.mt.TimeScale)) }

// audioTrack returns the output track for a track of a segment and its index.
func (p *planner) audioTrack(in fmp4.Track) (*audioTrack, int16) {
	for i, t := range p.audio {
		if t.in.Codec == in.Codec && t.in.TimeScale == in.TimeScale && t.in.Channels == in.Channels {
			return t, int16(i)
		}
	}
	t := &audioTrack{in: in, silent: silentFrame(in)}
	t.mt.Track, t.mt.Spill = in, p.spill
	if p.flac(in.Codec) {
		t.mt.Track = flacTrack(in)
	}
	p.audio = append(p.audio, t)
	return t, int16(len(p.audio) - 1)
}

// addAudio adds the samples of a run that lie in the range.
func (p *planner) addAudio(s slice, r fmp4.Run) {
	in := s.x.Tracks[r.Track]
	from := p.from
	if !p.begun {
		from = p.within.From
	}
	at, off := r.DTS, r.Offset
	for i := 0; i < len(r.Samples); {
		n, ticks, size := stretch(in, r.Samples[i:], p.flac(in.Codec))
		wall := s.x.Time(r.Track, at)
		end := s.x.Time(r.Track, at+ticks)
		late := !s.limit.IsZero() && wall.After(s.limit.Add(audioSlack))
		if end.After(from) && wall.Before(p.within.To) && !late {
			p.place(in, r.Samples[i:i+n], wall, off, size)
		}
		at += ticks
		off += size
		i += n
	}
}

// stretch returns how many samples are handled as one: for what becomes FLAC all that follow without a hole, up to a
// block, otherwise one.
func stretch(in fmp4.Track, samples []fmp4.Sample, flac bool) (n int, ticks, size int64) {
	for _, s := range samples {
		if n > 0 && (!flac || ticks+int64(s.Duration) > flacBlock) {
			break
		}
		n++
		ticks += int64(s.Duration)
		size += int64(s.Size)
		if int64(s.Duration)*int64(in.Channels) != int64(s.Size) {
			break
		}
	}
	return n, ticks, size
}

// place puts sound that was captured at wall behind what the track has, with silence between where some is missing,
// unless it goes in as it was recorded.
func (p *planner) place(in fmp4.Track, samples []fmp4.Sample, wall time.Time, off, size int64) {
	t, index := p.audioTrack(in)
	if !t.begun {
		t.begun, t.base = true, wall
		if !p.begun {
			p.begun, p.from = true, later(wall, p.within.From)
		}
	}
	at := fmp4.Ticks(wall.Sub(t.base), t.mt.TimeScale)
	slack := fmp4.Ticks(audioSlack, t.mt.TimeScale)
	if p.original {
		slack = fmp4.Ticks(originalSlack, t.mt.TimeScale)
	}
	switch {
	case t.end-at > slack:
		return // already there from an overlapping segment
	case p.original:
		t.end = max(t.end, at)
	case at-t.end > slack:
		p.fill(t, index, at)
	}
	if p.flac(in.Codec) {
		p.placeFLAC(t, index, off, size)
		return
	}
	t.mt.Chunk(p.size, entryIndex(&t.mt.Entries, in.Entry))
	for _, s := range samples {
		t.mt.Sample(s.Size, t.end, 0, true)
		t.end += int64(s.Duration)
	}
	p.copyBytes(off, size)
}

func (p *planner) placeFLAC(t *audioTrack, index int16, off, size int64) {
	n := int(size) / t.in.Channels
	src := int32(len(p.sources) - 1)
	p.sources[src].end = max(p.sources[src].end, off+size)
	p.addFLAC(t, piece{off: off, first: t.end, n: int32(n), source: src, track: index, kind: kindFLAC})
	t.end += int64(n)
}

// addFLAC appends the frames of a piece to the track's table and the piece to the plan.
func (p *planner) addFLAC(t *audioTrack, c piece) {
	c.out = p.size
	most := flacBlock
	if c.kind == kindSilence {
		most = flacSilence
	}
	t.mt.Chunk(p.size, entryIndex(&t.mt.Entries, t.mt.Entry))
	flacBlocks(c.first, int(c.n), most, func(first int64, n int) {
		size := flacSize(first, n, t.in.Channels, c.kind == kindSilence)
		t.mt.Sample(uint32(size), first, 0, true)
		c.size += int64(size)
	})
	p.size += c.size
	p.pieces.add(c)
}

// fill puts silence between the track's end and at.
func (p *planner) fill(t *audioTrack, index int16, at int64) {
	const most = 1 << 30 // samples a piece may count
	if isG711(t.in.Codec) {
		for t.end < at {
			n := min(at-t.end, most)
			p.addFLAC(t, piece{first: t.end, n: int32(n), source: -1, track: index, kind: kindSilence})
			t.end += n
		}
		return
	}
	var frame int64
	if len(t.mt.Entries) > 0 && t.in.TimeScale > 0 && t.silent != nil && t.frameTicks() > 0 {
		frame = t.frameTicks()
	} else {
		t.end = at
		return
	}
	n := (at - t.end) / frame
	if n > 0 && fmp4.Duration(n*frame, t.mt.TimeScale) <= maxFill {
		size := n * int64(len(t.silent))
		t.mt.Chunk(p.size, 0)
		for range n {
			t.mt.Sample(uint32(len(t.silent)), t.end, 0, true)
			t.end += frame
		}
		p.pieces.add(piece{out: p.size, size: size, n: int32(n), source: -1, track: index, kind: kindRepeat})
		p.size += size
	}
	t.end = at
}

// frameTicks returns how long a silent frame lasts.
func (t *audioTrack) frameTicks() int64 {
	if isAAC := len(t.silent) > 3; !isAAC {
		return int64(t.mt.TimeScale) / 50
	}
	if t.in.Rate == 0 {
		return 1024
	}
	return 1024 * int64(t.mt.TimeScale) / int64(t.in.Rate)
}

// finish sets the edit of the track against the plan's range.
func (t *audioTrack) finish(p *planner) {
	t.mt.Finish(t.end)
	from, to := later(p.from, t.base), earlier(p.to, t.wall(t.end))
	t.mt.Delay = fmp4.Ticks(from.Sub(p.from), p.scale)
	t.mt.Skip = fmp4.Ticks(from.Sub(t.base), t.mt.TimeScale)
	t.mt.Show = max(0, fmp4.Ticks(to.Sub(from), p.scale))
}
