package fmp4

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"skein/recorder/fmp4/spill"
)

// Head is all of a movie's file before its media data. It reads the movie's tables where they are, so it holds no
// second copy of them, and is readable until their Spill is closed. It must not be used concurrently.
type Head struct {
	parts []headPart
	size  int64
	base  uint64 // offset of the media data in the file
}

// headPart is bytes, or a table.
type headPart struct {
	at    int64
	size  int64
	bytes []byte
	table *spill.Table
	based bool // the table holds offsets that count from base
}

// Size returns the length in bytes.
func (h *Head) Size() int64 { return h.size }

// ReadAt implements io.ReaderAt.
func (h *Head) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the start of a file")
	}
	n := 0
	for _, part := range h.parts {
		at := off + int64(n) - part.at
		if n == len(p) {
			return n, nil
		}
		if at < 0 || at >= part.size {
			continue
		}
		want := int(min(int64(len(p)-n), part.size-at))
		switch {
		case part.table == nil:
			copy(p[n:], part.bytes[at:at+int64(want)])
		case !part.based:
			if _, err := part.table.ReadAt(p[n:n+want], at); err != nil {
				return n, err
			}
		default:
			if err := h.offsets(part.table, p[n:n+want], at); err != nil {
				return n, err
			}
		}
		n += want
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// offsets reads chunk offsets, counted from the start of the file, into p; at need not be a multiple of 8.
func (h *Head) offsets(t *spill.Table, p []byte, at int64) error {
	var block [4096]byte
	for len(p) > 0 {
		first := at &^ 7
		b := block[:min(int64(len(block)), (at+int64(len(p))+7)&^7-first)]
		if _, err := t.ReadAt(b, first); err != nil {
			return err
		}
		for i := 0; i < len(b); i += 8 {
			binary.BigEndian.PutUint64(b[i:], binary.BigEndian.Uint64(b[i:])+h.base)
		}
		n := copy(p, b[at-first:])
		p = p[n:]
		at += int64(n)
	}
	return nil
}

// headBuilder builds boxes around tables that it does not copy.
type headBuilder struct {
	builder
	head   Head
	tables int64 // bytes of the tables so far
	opened []int64
}

// open begins a box that holds tables; close ends it.
func (w *headBuilder) open(at int) int {
	w.opened = append(w.opened, w.tables)
	return at
}

func (w *headBuilder) close(at int) {
	last := len(w.opened) - 1
	w.patch32(at, uint32(int64(len(w.b)-at)+w.tables-w.opened[last]))
	w.opened = w.opened[:last]
}

// table puts a table here.
func (w *headBuilder) table(t *spill.Table, based bool) {
	if t.Len() == 0 {
		return
	}
	w.head.parts = append(w.head.parts, headPart{at: int64(len(w.b)), size: t.Len(), table: t, based: based})
	w.tables += t.Len()
}

// finish cuts the built bytes at the tables.
func (w *headBuilder) finish() *Head {
	var parts []headPart
	var from, moved int64
	bytes := func(to int64) {
		if to > from {
			parts = append(parts, headPart{at: from + moved, size: to - from, bytes: w.b[from:to]})
		}
		from = to
	}
	for _, p := range w.head.parts {
		bytes(p.at)
		p.at += moved
		moved += p.size
		parts = append(parts, p)
	}
	bytes(int64(len(w.b)))
	w.head.parts, w.head.size = parts, from+moved
	w.head.base = uint64(w.head.size)
	return &w.head
}

// Header returns all of the file before size bytes of media data. No sample may follow.
func (m *Movie) Header(size int64) *Head {
	w := &headBuilder{}
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
	moov := w.open(w.box("moov"))
	mvhd(&w.builder, created, m.TimeScale, uint64(duration), len(m.Tracks)+1)
	for i, t := range m.Tracks {
		t.ID = uint32(i + 1)
		t.append(w, created)
	}
	w.close(moov)
	w.u32(1)
	w.str("mdat")
	w.u64(uint64(size + 16))
	return w.finish()
}

// append writes the trak box.
func (t *MovieTrack) append(w *headBuilder, created uint64) {
	t.endChunk()
	t.stts.flush()
	t.ctts.flush()
	video := t.Codec.IsVideo()
	e := entry{width: t.Width, height: t.Height}
	trak := w.open(w.box("trak"))
	tkhd(&w.builder, int(t.ID), created, uint64(t.Delay+t.Show), e, video)
	t.appendEdits(&w.builder)
	mdia := w.open(w.box("mdia"))
	mdhd(&w.builder, created, t.TimeScale, uint64(t.last))
	hdlr(&w.builder, video)
	minf := w.open(w.box("minf"))
	mediaHeader(&w.builder, video)
	stbl := w.open(w.box("stbl"))
	b := w.full("stsd", 0, 0)
	w.u32(uint32(len(t.Entries)))
	for _, e := range t.Entries {
		w.raw(e)
	}
	w.end(b)
	t.appendTable(w, "stts", &t.stts.Table, 8)
	if t.shift {
		b = w.open(w.full("ctts", 1, 0))
		w.u32(uint32(t.ctts.Len() / 8))
		w.table(&t.ctts.Table, false)
		w.close(b)
	}
	if video && t.keys < t.count {
		t.appendTable(w, "stss", &t.stss, 4)
	}
	t.appendTable(w, "stsc", &t.runs, 12)
	b = w.open(w.full("stsz", 0, 0))
	w.u32(0)
	w.u32(uint32(t.count))
	w.table(&t.sizes, false)
	w.close(b)
	b = w.open(w.full("co64", 0, 0))
	w.u32(uint32(t.chunks.Len() / 8))
	w.table(&t.chunks, true)
	w.close(b)
	w.close(stbl)
	w.close(minf)
	w.close(mdia)
	w.close(trak)
}

// appendTable writes a box that is a count and entries of size bytes.
func (t *MovieTrack) appendTable(w *headBuilder, typ string, table *spill.Table, size int64) {
	b := w.open(w.full(typ, 0, 0))
	w.u32(uint32(table.Len() / size))
	w.table(table, false)
	w.close(b)
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
