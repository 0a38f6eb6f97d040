package fmp4

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"skein/edge/media"
)

// parseMoov reads the tracks of a whole moov box.
func parseMoov(moov []byte) (*Index, error) {
	bad := func(why string) (*Index, error) { return nil, fmt.Errorf("%w: %s", ErrNotSegment, why) }
	c := cursor{b: moov}
	typ, body, ok := c.box()
	if !ok || typ != "moov" {
		return bad("no moov")
	}
	x := &Index{moov: bytes.Clone(moov)}
	c = cursor{b: body}
	for {
		typ, b, ok := c.box()
		if !ok {
			break
		}
		if typ != "trak" {
			continue
		}
		t, err := parseTrak(b)
		if err != nil {
			return nil, err
		}
		x.Tracks = append(x.Tracks, t)
	}
	if c.bad || len(x.Tracks) == 0 || len(x.Tracks) > maxTracks {
		return bad("no readable tracks")
	}
	return x, nil
}

func parseTrak(trak []byte) (Track, error) {
	var t Track
	c := cursor{b: child(trak, "tkhd")}
	if version := c.u32() >> 24; version == 1 {
		c.take(16)
	} else {
		c.take(8)
	}
	t.ID = c.u32()
	mdia := child(trak, "mdia")
	m := cursor{b: child(mdia, "mdhd")}
	if version := m.u32() >> 24; version == 1 {
		m.take(16)
	} else {
		m.take(8)
	}
	t.TimeScale = m.u32()
	s := cursor{b: child(child(child(mdia, "minf"), "stbl"), "stsd")}
	s.take(8)
	if c.bad || m.bad || s.bad || t.ID == 0 || t.TimeScale == 0 || t.TimeScale > 1e9 {
		return t, fmt.Errorf("%w: malformed track", ErrNotSegment)
	}
	entry := s.b
	typ, body, ok := s.box()
	if !ok {
		return t, fmt.Errorf("%w: no sample entry", ErrNotSegment)
	}
	t.Entry = bytes.Clone(entry[:len(body)+8])
	switch typ {
	case "avc1":
		t.Codec = media.H264
	case "hvc1":
		t.Codec = media.H265
	case "mp4v":
		t.Codec = media.MJPEG
	case "mp4a":
		t.Codec = media.AAC
	case "Opus":
		t.Codec = media.Opus
	case "alaw":
		t.Codec = media.G711A
	case "ulaw":
		t.Codec = media.G711U
	default:
		return t, fmt.Errorf("%w: sample entry %q", ErrNotSegment, typ)
	}
	e := cursor{b: body}
	if t.Codec.IsVideo() {
		e.take(24)
		t.Width, t.Height = int(e.u16()), int(e.u16())
	} else {
		e.take(16)
		t.Channels = int(e.u16())
		e.take(6)
		t.Rate = int(e.u32() >> 16)
	}
	if e.bad || (!t.Codec.IsVideo() && t.Channels == 0) {
		return t, fmt.Errorf("%w: short sample entry", ErrNotSegment)
	}
	return t, nil
}

// parseHead reads prft and moof, which begin at offset of the file, and returns the bytes of mdat its samples need.
func (x *Index) parseHead(head []byte, offset int64) (f FragmentIndex, data int64, err error) {
	f = FragmentIndex{Offset: offset, head: head}
	c := cursor{b: head}
	_, prft, _ := c.box()
	f.moof = len(prft) + 8
	typ, moof, ok := c.box()
	if !ok || typ != "moof" {
		return f, 0, errCut
	}
	if len(x.Fragments) == 0 {
		if err := x.parsePrft(prft); err != nil {
			return f, 0, err
		}
	}
	base := int64(f.moof)        // data offsets count from here
	next := int64(len(head)) + 8 // where the next run must begin
	c = cursor{b: moof}
	for {
		typ, b, ok := c.box()
		if !ok {
			break
		}
		if typ != "traf" {
			continue
		}
		r, at, err := x.parseTraf(b)
		if err != nil {
			return f, 0, err
		}
		if base+at != next || len(f.Runs) >= maxTracks {
			return f, 0, errCut
		}
		r.Offset = offset + next
		next += r.Size
		f.Runs = append(f.Runs, r)
	}
	if c.bad || len(f.Runs) == 0 {
		return f, 0, errCut
	}
	return f, next - int64(len(head)) - 8, nil
}

// parsePrft learns the segment's start from the first fragment.
func (x *Index) parsePrft(b []byte) error {
	c := cursor{b: b}
	if c.u32()>>24 != 1 {
		return errCut
	}
	id, ntp, t := c.u32(), c.u64(), int64(c.u64())
	if c.bad || t < 0 || t > 1<<50 {
		return errCut
	}
	for _, tr := range x.Tracks {
		if tr.ID == id {
			x.Start = fromNTP(ntp).Add(-duration(t, tr.TimeScale))
			return nil
		}
	}
	return errCut
}

// parseTraf reads a traf as this package writes them: one tfhd with defaults, one tfdt, one trun with sizes. at is the
// data offset.
func (x *Index) parseTraf(b []byte) (r Run, at int64, err error) {
	h := cursor{b: child(b, "tfhd")}
	flags := h.u32()
	id, dur, sampleFlags := h.u32(), h.u32(), h.u32()
	d := cursor{b: child(b, "tfdt")}
	d.u32()
	r.DTS = int64(d.u64())
	r.Track = -1
	for i, t := range x.Tracks {
		if t.ID == id {
			r.Track = i
		}
	}
	if h.bad || d.bad || flags&0xffffff != 0x020028 || r.Track < 0 || r.DTS < 0 || r.DTS > 1<<50 {
		return r, 0, errCut
	}
	at, err = r.parseTrun(child(b, "trun"), dur, sampleFlags)
	return r, at, err
}

func (r *Run) parseTrun(b []byte, dur, flags uint32) (at int64, err error) {
	c := cursor{b: b}
	has := c.u32() & 0xffffff
	n := int(c.u32())
	at = int64(int32(c.u32()))
	first := flags
	if has&0x004 != 0 {
		first = c.u32()
	}
	width := 4
	for _, bit := range []uint32{0x100, 0x400, 0x800} {
		if has&bit != 0 {
			width += 4
		}
	}
	if c.bad || has&0x201 != 0x201 || has&^0xf05 != 0 || n < 1 || n > maxSamples || len(c.b) != n*width {
		return 0, errCut
	}
	r.Samples = make([]Sample, n)
	p := c.b
	field := func() uint32 {
		v := binary.BigEndian.Uint32(p)
		p = p[4:]
		return v
	}
	for i := range r.Samples {
		s := Sample{Duration: dur}
		f := flags
		if i == 0 {
			f = first
		}
		if has&0x100 != 0 {
			s.Duration = field()
		}
		s.Size = field()
		if has&0x400 != 0 {
			f = field()
		}
		if has&0x800 != 0 {
			s.Shift = int32(field())
		}
		s.Key = f&0x10000 == 0
		if s.Key {
			s.Recovery = uint16(f)
		}
		s.Leading = !s.Key && f&(3<<26) == flagsLeading
		r.Size += int64(s.Size)
		r.Samples[i] = s
	}
	return at, nil
}
