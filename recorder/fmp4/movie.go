package fmp4

import (
	"encoding/binary"
	"math"
	"time"
)

// Movie lays out a progressive MP4 file: ftyp, moov with complete sample tables, then one mdat. All is known before
// the first media byte is sent, so a player can seek and the length of the file is exact.
type Movie struct {
	Created   time.Time
	TimeScale uint32
	Tracks    []*MovieTrack
}

// MovieTrack is the sample table of one track. Its memory is about 4 bytes a sample, 8 more where durations or
// composition offsets change from one sample to the next.
type MovieTrack struct {
	Track            // ID is assigned by Header
	Entries [][]byte // sample entries

	// Delay is the empty time before the track's first sample is presented, Skip the media time at which it begins
	// (what lies before is decoded, not shown), Show how long it is presented. Delay and Show are in ticks of the
	// movie, Skip in ticks of the track.
	Delay, Skip, Show int64

	sizes  []byte // stsz entries
	count  int
	last   int64  // decode time of the last sample
	stts   pairs  // count, delta
	ctts   pairs  // count, offset
	shift  bool   // any offset is not 0
	stss   []byte // numbers of key samples
	chunks []chunk
}

type chunk struct {
	offset  int64 // in mdat
	samples uint32
	entry   uint32
}

// pairs is a run-length list of (count, value) in the form stts and ctts have.
type pairs []byte

func (p *pairs) add(v uint32) {
	if n := len(*p); n > 0 && binary.BigEndian.Uint32((*p)[n-4:]) == v {
		c := binary.BigEndian.Uint32((*p)[n-8:])
		binary.BigEndian.PutUint32((*p)[n-8:], c+1)
		return
	}
	*p = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(*p, 1), v)
}

// Chunk begins a chunk at offset of the mdat's payload, whose samples use Entries[entry].
func (t *MovieTrack) Chunk(offset int64, entry int) {
	t.chunks = append(t.chunks, chunk{offset: offset, entry: uint32(entry + 1)})
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
	t.sizes = binary.BigEndian.AppendUint32(t.sizes, size)
	t.ctts.add(uint32(int32(max(min(shift, math.MaxInt32), math.MinInt32))))
	t.shift = t.shift || shift != 0
	if key {
		t.stss = binary.BigEndian.AppendUint32(t.stss, uint32(t.count))
	}
	t.chunks[len(t.chunks)-1].samples++
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

// Header returns all of the file before size bytes of media data.
func (m *Movie) Header(size int64) []byte {
	room := 1024
	for _, t := range m.Tracks {
		room += 1024 + len(t.sizes) + len(t.stts) + len(t.ctts) + len(t.stss) + 20*len(t.chunks)
	}
	w := builder{make([]byte, 0, room)}
	at := w.box("ftyp")
	w.str("isom")
	w.u32(0x200)
	w.str("isomiso2iso6mp41")
	w.end(at)
	var duration int64
	for _, t := range m.Tracks {
		duration = max(duration, t.Delay+t.Show)
	}
	created := uint64(max(0, m.Created.Unix()-mp4Epoch))
	moov := w.box("moov")
	mvhd(&w, created, m.TimeScale, uint64(duration), len(m.Tracks)+1)
	var patch []int // where chunk offsets begin
	for i, t := range m.Tracks {
		t.ID = uint32(i + 1)
		patch = append(patch, t.append(&w, created))
	}
	w.end(moov)
	base := int64(len(w.b)) + 16
	for i, t := range m.Tracks {
		for k, c := range t.chunks {
			binary.BigEndian.PutUint64(w.b[patch[i]+8*k:], uint64(base+c.offset))
		}
	}
	w.u32(1)
	w.str("mdat")
	w.u64(uint64(size + 16))
	return w.b
}

// append writes the trak box and returns where its chunk offsets begin.
func (t *MovieTrack) append(w *builder, created uint64) int {
	video := t.Codec.IsVideo()
	e := entry{width: t.Width, height: t.Height}
	trak := w.box("trak")
	tkhd(w, int(t.ID), created, uint64(t.Delay+t.Show), e, video)
	t.appendEdits(w)
	mdia := w.box("mdia")
	mdhd(w, created, t.TimeScale, uint64(t.last))
	hdlr(w, video)
	minf := w.box("minf")
	mediaHeader(w, video)
	stbl := w.box("stbl")
	b := w.full("stsd", 0, 0)
	w.u32(uint32(len(t.Entries)))
	for _, e := range t.Entries {
		w.raw(e)
	}
	w.end(b)
	b = w.full("stts", 0, 0)
	w.u32(uint32(len(t.stts) / 8))
	w.raw(t.stts)
	w.end(b)
	if t.shift {
		b = w.full("ctts", 1, 0)
		w.u32(uint32(len(t.ctts) / 8))
		w.raw(t.ctts)
		w.end(b)
	}
	if video && len(t.stss) < len(t.sizes) {
		b = w.full("stss", 0, 0)
		w.u32(uint32(len(t.stss) / 4))
		w.raw(t.stss)
		w.end(b)
	}
	t.appendChunkMap(w)
	b = w.full("stsz", 0, 0)
	w.u32(0)
	w.u32(uint32(t.count))
	w.raw(t.sizes)
	w.end(b)
	b = w.full("co64", 0, 0)
	w.u32(uint32(len(t.chunks)))
	at := len(w.b)
	w.zero(8 * len(t.chunks))
	w.end(b)
	w.end(stbl)
	w.end(minf)
	w.end(mdia)
	w.end(trak)
	return at
}

// appendEdits writes the edit list (ISO/IEC 14496-12 section 8.6.6): an empty edit for the delay, then the media.
func (t *MovieTrack) appendEdits(w *builder) {
	edts := w.box("edts")
	b := w.full("elst", 1, 0)
	if t.Delay > 0 {
		w.u32(2)
		w.u64(uint64(t.Delay))
		w.u64(math.MaxUint64) // -1
		w.u32(0x10000)
	} else {
		w.u32(1)
	}
	w.u64(uint64(t.Show))
	w.u64(uint64(t.Skip))
	w.u32(0x10000)
	w.end(b)
	w.end(edts)
}

func (t *MovieTrack) appendChunkMap(w *builder) {
	b := w.full("stsc", 0, 0)
	at := len(w.b)
	w.u32(0)
	n := uint32(0)
	for i, c := range t.chunks {
		if i > 0 && t.chunks[i-1].samples == c.samples && t.chunks[i-1].entry == c.entry {
			continue
		}
		w.u32(uint32(i + 1))
		w.u32(c.samples)
		w.u32(c.entry)
		n++
	}
	w.patch32(at, n)
	w.end(b)
}
