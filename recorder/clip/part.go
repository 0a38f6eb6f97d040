package clip

import (
	"math"
	"time"

	"skein/recorder/fmp4"
)

// partCut names a part: fragments [first, last] of a segment, on a timeline that begins at t0. Frames at or after
// until are left out (zero: none). begins tells that a player begins to decode with this part: frames that lead its
// first group of pictures are left out.
type partCut struct {
	first, last int
	t0, until   time.Time
	begins      bool
}

// part lays out one part of a stream; ok is false if it holds no sample.
func part(s source, x *fmp4.Index, c partCut) (p *plan, ok bool) {
	b := planner{}
	b.sources = []source{s}
	var runs []fmp4.PartRun
	for _, i := range partIndexes(x) {
		var r fmp4.PartRun
		if t := x.Tracks[i]; isG711(t.Codec) {
			r = b.partSound(x, i, c)
		} else {
			r = b.partCopy(x, i, c)
		}
		r.ID = uint32(len(runs) + 1)
		if len(r.Samples) > 0 {
			runs = append(runs, r)
		}
	}
	if len(runs) == 0 {
		return nil, false
	}
	b.setHeader(fmp4.AppendPartHead(nil, uint32(c.first+1), runs))
	return &b.plan, true
}

// bounds returns the shift of a track's times onto the part's timeline, and the first time that is left out.
func (c partCut) bounds(x *fmp4.Index, track int) (shift, limit int64) {
	scale := x.Tracks[track].TimeScale
	shift, limit = fmp4.Ticks(x.Start.Sub(c.t0), scale), math.MaxInt64
	if !c.until.IsZero() {
		limit = fmp4.Ticks(c.until.Sub(x.Start), scale)
	}
	return shift, limit
}

// partCopy takes the samples of a track as they are.
func (p *planner) partCopy(x *fmp4.Index, track int, c partCut) fmp4.PartRun {
	shift, limit := c.bounds(x, track)
	run := fmp4.PartRun{Video: x.Tracks[track].Codec.IsVideo()}
	end := int64(0) // of the last sample taken
	keys := 0
	for _, f := range x.Fragments[c.first : c.last+1] {
		for _, r := range f.Runs {
			if r.Track != track {
				continue
			}
			at, off := r.DTS, r.Offset
			for _, s := range r.Samples {
				if s.Key {
					keys++
				}
				if at+int64(s.Shift) < limit && !(c.begins && s.Leading && keys < 2) {
					if n := len(run.Samples); n == 0 {
						run.DTS = at + shift
					} else if at > end {
						run.Samples[n-1].Duration += uint32(at - end)
					}
					run.Samples = append(run.Samples, s)
					p.copyBytes(off, int64(s.Size))
					end = at + int64(s.Duration)
				}
				at += int64(s.Duration)
				off += int64(s.Size)
			}
		}
	}
	return run
}

// partSound takes the samples of a G.711 track as FLAC.
func (p *planner) partSound(x *fmp4.Index, track int, c partCut) fmp4.PartRun {
	shift, limit := c.bounds(x, track)
	in := x.Tracks[track]
	t := &audioTrack{in: in}
	p.audio = append(p.audio, t)
	var run fmp4.PartRun
	end := int64(0)
	for _, f := range x.Fragments[c.first : c.last+1] {
		for _, r := range f.Runs {
			if r.Track != track {
				continue
			}
			at, off := r.DTS, r.Offset
			for i := 0; i < len(r.Samples); {
				n, ticks, size := stretch(in, r.Samples[i:], true)
				count := int(size) / in.Channels
				if at < limit && count > 0 {
					if k := len(run.Samples); k == 0 {
						run.DTS = at + shift
					} else if at > end {
						run.Samples[k-1].Duration += uint32(at - end)
					}
					p.addSound(&run, piece{off: off, first: max(0, at+shift), n: int32(count), kind: kindFLAC}, in.Channels)
					end = at + int64(count)
				}
				at += ticks
				off += size
				i += n
			}
		}
	}
	return run
}

// addSound appends a FLAC piece and its samples.
func (p *planner) addSound(run *fmp4.PartRun, c piece, channels int) {
	c.out = p.size
	flacBlocks(c.first, int(c.n), flacBlock, func(first int64, n int) {
		size := flacSize(first, n, channels, false)
		run.Samples = append(run.Samples, fmp4.Sample{Size: uint32(size), Duration: uint32(n), Key: true})
		c.size += int64(size)
	})
	p.sources[0].end = max(p.sources[0].end, c.off+int64(c.n)*int64(channels))
	p.size += c.size
	p.pieces.add(c)
}
