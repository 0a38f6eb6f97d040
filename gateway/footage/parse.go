package footage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"skein/edge/media"
)

// Parse returns the pictures of a progressive MP4 in decoding order, those before its edit list's start included, and
// its sound between them, each unit with the time of its track, from what is shown first on. starts is the capture time
// of the first one that is shown. Of several video tracks, as codecs change, it takes the last.
func Parse(data []byte, starts time.Time) ([]*media.AccessUnit, error) {
	moov := one(data, "moov")
	scale := scaleOf(one(moov, "mvhd"))
	if scale == 0 {
		return nil, fmt.Errorf("%w: no movie", errClip)
	}
	var pictures, sound []sample
	for _, trak := range all(moov, "trak") {
		t, ok := newTrack(trak, scale)
		if !ok {
			continue
		}
		s, err := t.units(data, starts)
		switch {
		case err != nil:
			return nil, err
		case t.video:
			pictures = s
		default:
			sound = append(sound, s...)
		}
	}
	return merge(pictures, sound), nil
}

// track is a track with what its sample entries describe.
type track struct {
	video bool
	stbl  []byte
	scale int64
	delay time.Duration // of the track in the movie
	skip  int64         // ticks before what is shown
	descs []*media.Track
}

func newTrack(trak []byte, movieScale int64) (*track, bool) {
	t := &track{scale: scaleOf(one(trak, "mdia", "mdhd")), stbl: one(trak, "mdia", "minf", "stbl")}
	stsd := one(t.stbl, "stsd")
	if t.scale == 0 || len(stsd) < 8 {
		return nil, false
	}
	good := true
	if each(stsd[8:], func(kind string, body []byte) {
		d, ok := describe(body)
		if !ok {
			d, ok = describeSound(kind, body, int(t.scale))
		}
		t.descs = append(t.descs, d)
		good = good && ok && d.Codec.IsVideo() == t.descs[0].Codec.IsVideo()
	}) != nil || !good || len(t.descs) == 0 {
		return nil, false
	}
	t.video = t.descs[0].Codec.IsVideo()
	empty, skip := edit(one(trak, "edts", "elst"))
	t.delay, t.skip = duration(empty, movieScale), skip
	return t, true
}

func duration(ticks, scale int64) time.Duration {
	return time.Duration(float64(ticks) / float64(scale) * float64(time.Second))
}

// samples are the tables of a track (ISO/IEC 14496-12 section 8.6 and 8.7).
type samples struct {
	n     int
	fixed uint32 // size of every sample, 0: they differ
	sizes table
	durs  table // runs of durations
	moves table // runs of composition offsets
	syncs table
	runs  table // of chunks
	small table // chunk offsets of 32 bits
	large table // or of 64
}

func (t *track) samples() (s samples, err error) {
	stsz := one(t.stbl, "stsz")
	if len(stsz) < 12 {
		return s, fmt.Errorf("%w: no sample sizes", errClip)
	}
	s.fixed, s.n = binary.BigEndian.Uint32(stsz[4:]), int(binary.BigEndian.Uint32(stsz[8:]))
	if s.n > maxSamples {
		return s, fmt.Errorf("%w: %d samples", errClip, s.n)
	}
	read := func(into *table, kind string, width int) {
		var e error
		*into, e = readTable(one(t.stbl, kind), width)
		err = errors.Join(err, e)
	}
	if s.fixed == 0 {
		var e error
		s.sizes, e = readTable(stsz[4:], 4)
		err = errors.Join(err, e)
	}
	read(&s.durs, "stts", 8)
	read(&s.moves, "ctts", 8)
	read(&s.syncs, "stss", 4)
	read(&s.runs, "stsc", 12)
	read(&s.small, "stco", 4)
	read(&s.large, "co64", 8)
	return s, err
}

// units reads all samples.
func (t *track) units(data []byte, starts time.Time) ([]sample, error) {
	s, err := t.samples()
	if err != nil {
		return nil, err
	}
	origin := starts.Add(-t.delay)
	var out []sample
	durs, moves := cursor{t: s.durs}, cursor{t: s.moves}
	chunks := chunkCursor{s: s}
	sync := 0
	for i, dts := 0, int64(0); i < s.n; i++ {
		offset, entry, ok := chunks.next()
		size := s.size(i)
		if !ok || entry < 1 || entry > len(t.descs) || offset > uint64(len(data)) || size > uint64(len(data))-offset {
			return nil, fmt.Errorf("%w: sample %d lies outside the file", errClip, i+1)
		}
		chunks.at += size
		nalus := [][]byte{data[offset : offset+size : offset+size]}
		if t.video {
			if nalus, err = split(nalus[0]); err != nil {
				return nil, fmt.Errorf("sample %d: %w", i+1, err)
			}
		}
		key := s.syncs.b == nil
		for sync < s.syncs.rows && int(s.syncs.at(sync, 0)) <= i+1 {
			key = int(s.syncs.at(sync, 0)) == i+1
			sync++
		}
		pts := dts + int64(int32(moves.next()))
		out = append(out, sample{track: t.descs[entry-1], unit: &media.AccessUnit{
			Key: key && t.video, NALUs: nalus, PTS: pts - t.skip, Wall: origin.Add(duration(pts-t.skip, t.scale)),
		}})
		dts += int64(durs.next())
	}
	return out, nil
}

// size returns the size of sample i, from 0.
func (s *samples) size(i int) uint64 {
	if s.fixed != 0 || i >= s.sizes.rows {
		return uint64(s.fixed)
	}
	return uint64(s.sizes.at(i, 0))
}

// cursor walks through runs of (count, value), one sample at a time.
type cursor struct {
	t    table
	row  int
	done uint32 // of the row
}

// next returns the next sample's value, 0 behind the end.
func (c *cursor) next() uint32 {
	for c.row < c.t.rows && c.done >= c.t.at(c.row, 0) {
		c.row, c.done = c.row+1, 0
	}
	if c.row >= c.t.rows {
		return 0
	}
	c.done++
	return c.t.at(c.row, 1)
}

// chunkCursor walks through the samples of all chunks.
type chunkCursor struct {
	s     samples
	chunk int    // begun so far
	left  uint32 // samples of the present one
	at    uint64 // offset of the next sample
	run   int
}

// next returns the next sample's offset and sample entry, from 1. The caller adds its size to at.
func (c *chunkCursor) next() (offset uint64, entry int, ok bool) {
	runs := c.s.runs
	if c.left == 0 {
		switch {
		case c.chunk < c.s.small.rows:
			c.at = uint64(c.s.small.at(c.chunk, 0))
		case c.chunk < c.s.large.rows:
			c.at = uint64(c.s.large.at(c.chunk, 0))<<32 | uint64(c.s.large.at(c.chunk, 1))
		default:
			return 0, 0, false
		}
		c.chunk++
		for c.run+1 < runs.rows && int(runs.at(c.run+1, 0)) <= c.chunk {
			c.run++
		}
		if c.run >= runs.rows || runs.at(c.run, 1) == 0 {
			return 0, 0, false
		}
		c.left = runs.at(c.run, 1)
	}
	c.left--
	return c.at, int(runs.at(c.run, 2)), true
}

// split cuts a sample into its NAL units (ISO/IEC 14496-15, lengths of four bytes).
func split(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errClip
		}
		n := uint64(binary.BigEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, fmt.Errorf("%w: NAL unit of %d bytes", errClip, n)
		}
		if n > 0 {
			out = append(out, b[4:4+n:4+n])
		}
		b = b[4+n:]
	}
	return out, nil
}
