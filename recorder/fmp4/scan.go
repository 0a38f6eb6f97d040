package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNotSegment: the object does not begin with the ftyp and moov of a segment.
var ErrNotSegment = errors.New("not a segment")

// Bounds of what a reader takes from stored bytes.
const (
	maxMoov      = 1 << 20
	maxMoof      = 4 << 20
	maxTrailer   = 64 << 20
	maxTracks    = 16
	maxFragments = 1 << 16
	maxSamples   = 1 << 18 // of one run
	tailRead     = 64 << 10
)

// Scan walks the boxes from the front and lists the whole fragments. validEnd is the offset after the last of them:
// a file cut there plays, and AppendTrailer makes it a sealed segment. It never reads media data. A file whose ftyp or
// moov is broken gives ErrNotSegment; an unreadable one, the read error. sealed files scan alike; their mfra is
// beyond validEnd.
func Scan(r io.ReaderAt, size int64) (x *Index, validEnd int64, err error) {
	s := scanner{r: r, size: size}
	x, at, err := s.header()
	if err != nil {
		return nil, 0, err
	}
	for len(x.Fragments) < maxFragments {
		f, err := s.fragment(x, at)
		if errors.Is(err, errCut) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		x.Fragments = append(x.Fragments, f)
		at += f.Size
	}
	return x, at, nil
}

// errCut: here the file stops being whole fragments.
var errCut = errors.New("no whole fragment")

type scanner struct {
	r    io.ReaderAt
	size int64
}

// boxAt reads the header of the box at offset. A box that does not lie within the file has size 0.
func (s scanner) boxAt(at int64) (typ string, size int64, err error) {
	var h [8]byte
	if at < 0 || at+8 > s.size {
		return "", 0, nil
	}
	if err := s.read(h[:], at); err != nil {
		return "", 0, err
	}
	size = int64(binary.BigEndian.Uint32(h[:]))
	if size < 8 || size > s.size-at {
		size = 0
	}
	return string(h[4:8]), size, nil
}

func (s scanner) read(p []byte, at int64) error {
	n, err := s.r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read segment at byte %d: %w", at, err)
}

// header reads ftyp and moov and returns the offset after them.
func (s scanner) header() (*Index, int64, error) {
	typ, n, err := s.boxAt(0)
	if err != nil {
		return nil, 0, err
	}
	if typ != "ftyp" || n == 0 {
		return nil, 0, fmt.Errorf("%w: no ftyp", ErrNotSegment)
	}
	at := n
	typ, n, err = s.boxAt(at)
	if err != nil {
		return nil, 0, err
	}
	if typ != "moov" || n == 0 || n > maxMoov {
		return nil, 0, fmt.Errorf("%w: no moov", ErrNotSegment)
	}
	moov := make([]byte, n)
	if err := s.read(moov, at); err != nil {
		return nil, 0, err
	}
	x, err := parseMoov(moov)
	return x, at + n, err
}

// fragment reads prft and moof at offset at; errCut if they or the mdat are not whole.
func (s scanner) fragment(x *Index, at int64) (FragmentIndex, error) {
	typ, prft, err := s.boxAt(at)
	if err != nil {
		return FragmentIndex{}, err
	}
	if typ != "prft" || prft == 0 || prft > 64 {
		return FragmentIndex{}, errCut
	}
	typ, moof, err := s.boxAt(at + prft)
	if err != nil {
		return FragmentIndex{}, err
	}
	if typ != "moof" || moof == 0 || moof > maxMoof {
		return FragmentIndex{}, errCut
	}
	typ, mdat, err := s.boxAt(at + prft + moof)
	if err != nil {
		return FragmentIndex{}, err
	}
	if typ != "mdat" || mdat == 0 {
		return FragmentIndex{}, errCut
	}
	head := make([]byte, prft+moof)
	if err := s.read(head, at); err != nil {
		return FragmentIndex{}, err
	}
	f, data, err := x.parseHead(head, at)
	if err != nil || data > mdat-8 {
		return FragmentIndex{}, errCut
	}
	f.Size = prft + moof + mdat
	return f, nil
}

// ReadIndex returns the index of a sealed segment with one read of its tail (two if it is long). A segment without
// a readable mfra is scanned from the front instead.
func ReadIndex(r io.ReaderAt, size int64) (*Index, error) {
	s := scanner{r: r, size: size}
	tail := make([]byte, min(size, tailRead))
	if err := s.read(tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	if n := trailerSize(tail); n > int64(len(tail)) && n <= min(size, maxTrailer) {
		tail = make([]byte, n)
		if err := s.read(tail, size-n); err != nil {
			return nil, err
		}
	}
	if n := trailerSize(tail); n > 0 && n <= int64(len(tail)) {
		if x, err := parseTrailer(tail[int64(len(tail))-n:], size-n); err == nil {
			return x, nil
		}
	}
	x, _, err := Scan(r, size)
	return x, err
}

// trailerSize returns the size of the mfra that ends tail, 0 if tail does not end in an mfro.
func trailerSize(tail []byte) int64 {
	if len(tail) < 16 {
		return 0
	}
	m := tail[len(tail)-16:]
	if binary.BigEndian.Uint32(m) != 16 || string(m[4:8]) != "mfro" {
		return 0
	}
	return int64(binary.BigEndian.Uint32(m[12:]))
}

// parseTrailer reads the mfra of a segment whose fragments end at limit.
func parseTrailer(b []byte, limit int64) (*Index, error) {
	c := cursor{b: b}
	typ, body, ok := c.box()
	if !ok || typ != "mfra" {
		return nil, errCut
	}
	c = cursor{b: child(body, "uuid")}
	if string(c.take(16)) != indexUUID || c.u32() != indexVersion {
		return nil, errCut
	}
	if len(c.b) < 8 {
		return nil, errCut
	}
	moov := c.take(int(min(binary.BigEndian.Uint32(c.b), maxMoov)))
	x, err := parseMoov(moov)
	if err != nil {
		return nil, err
	}
	at := int64(-1)
	for len(c.b) > 0 && len(x.Fragments) < maxFragments {
		offset := int64(c.u64())
		f, err := x.takeHead(&c, offset)
		if err != nil {
			return nil, err
		}
		if offset < 0 || f.Size > limit-offset || (at >= 0 && offset != at) {
			return nil, errCut
		}
		at = offset + f.Size
		x.Fragments = append(x.Fragments, f)
	}
	if c.bad || at != limit {
		return nil, errCut
	}
	return x, nil
}

// takeHead takes prft and moof off c. The size of the fragment follows from its samples.
func (x *Index) takeHead(c *cursor, offset int64) (FragmentIndex, error) {
	whole := c.b
	t1, b1, _ := c.box()
	t2, b2, ok := c.box()
	if !ok || t1 != "prft" || t2 != "moof" {
		return FragmentIndex{}, errCut
	}
	n := len(b1) + len(b2) + 16
	f, data, err := x.parseHead(whole[:n:n], offset)
	if err != nil {
		return FragmentIndex{}, err
	}
	f.Size = int64(n) + 8 + data
	return f, nil
}
