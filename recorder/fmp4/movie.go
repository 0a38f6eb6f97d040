package fmp4

import (
	"math"
	"time"

	"skein/recorder/fmp4/spill"
)

// Movie lays out a progressive MP4 file: ftyp, moov with complete sample tables, then one mdat. All is known before
// the first media byte is sent, so a player can seek and the length of the file is exact.
type Movie struct {
	Created   time.Time
	TimeScale uint32
	Tracks    []*MovieTrack
}

// MovieTrack is the sample table of one track: about 4 bytes a sample, 8 more where durations and 8 where composition
// offsets change from one sample to the next. What does not fit goes to Spill.
type MovieTrack struct {
	Track            // ID is assigned by Header
	Entries [][]byte // sample entries
	Spill   *spill.File

	// Delay is the empty time before the track's first sample is presented, Skip the media time at which it begins
	// (what lies before is decoded, not shown), Show how long it is presented. Delay and Show are in ticks of the
	// movie, Skip in ticks of the track.
	Delay, Skip, Show int64

	open   bool        // the tables exist
	sizes  spill.Table // stsz entries
	count  int
	last   int64 // decode time of the last sample
	stts   pairs // count, delta
	ctts   pairs // count, offset
	shift  bool  // any offset is not 0
	stss   spill.Table
	keys   int         // in stss
	chunks spill.Table // co64 entries, relative to the mdat's payload
	runs   spill.Table // stsc entries
	chunk  chunk       // the one begun last
	before chunk       // the one that the last stsc entry is about
	number uint32      // of chunk, from 1
}

// chunk is what stsc tells of a chunk.
type chunk struct{ samples, entry uint32 }

// pairs is a run-length list of (count, value) in the form stts and ctts have.
type pairs struct {
	spill.Table
	count, value uint32 // the last pair, not yet in the table
}

func (p *pairs) add(v uint32) {
	if p.count > 0 && p.value != v {
		p.flush()
	}
	p.count++
	p.value = v
}

func (p *pairs) flush() {
	if p.count > 0 {
		p.U32(p.count)
		p.U32(p.value)
		p.count = 0
	}
}

// Chunk begins a chunk at offset of the mdat's payload, whose samples use Entries[entry].
func (t *MovieTrack) Chunk(offset int64, entry int) {
	if !t.open {
		t.open = true
		for _, p := range []*spill.Table{&t.sizes, &t.stts.Table, &t.ctts.Table, &t.stss, &t.chunks, &t.runs} {
			*p = spill.NewTable(t.Spill)
		}
	}
	t.endChunk()
	t.number++
	t.chunk = chunk{entry: uint32(entry + 1)}
	t.chunks.U64(uint64(offset))
}

// endChunk notes the chunk begun last, if it differs from the one before it (ISO/IEC 14496-12 section 8.7.4).
func (t *MovieTrack) endChunk() {
	if t.number > 0 && t.chunk != t.before {
		t.runs.U32(t.number)
		t.runs.U32(t.chunk.samples)
		t.runs.U32(t.chunk.entry)
		t.before = t.chunk
	}
}

// Sample appends a sample to the chunk begun last. dts must rise; where it does not, it is taken as one tick after the
// sample before. shift is the presentation time minus dts.
func (t *MovieTrack) Sample(size uint32, dts, shift int64, key bool) {
	if t.count > 0 {
		if late := t.last + 1 - dts; late > 0 {
			dts += late
			shift -= late
		}
		t.stts.add(uint32(min(dts-t.last, math.MaxUint32)))
	}
	t.last = dts
	t.count++
	t.sizes.U32(size)
	t.ctts.add(uint32(int32(max(min(shift, math.MaxInt32), math.MinInt32))))
	t.shift = t.shift || shift != 0
	if key {
		t.stss.U32(uint32(t.count))
		t.keys++
	}
	t.chunk.samples++
}

// Count returns the number of samples.
func (t *MovieTrack) Count() int { return t.count }

// Finish tells the time at which the last sample ends, in ticks of the track. No sample may follow.
func (t *MovieTrack) Finish(end int64) {
	if t.count > 0 {
		t.stts.add(uint32(max(1, min(end-t.last, math.MaxUint32))))
		t.last = max(end, t.last+1)
	}
}
