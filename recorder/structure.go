package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// structure checks, as the bytes pass, that they are a segment: boxes (ISO/IEC 14496-12 section 4.2) in the order
// ftyp moov (prft? moof mdat)+ mfra?, each whole. It keeps one box header in memory. The contents of boxes are vouched
// for by the hash.
type structure struct {
	head  [8]byte
	have  int   // bytes of head
	left  int64 // of the box's body
	state boxState
	count int // whole fragments
	at    int64
	err   error
}

// boxState is the box that came last.
type boxState int

const (
	boxNone boxState = iota
	boxFtyp
	boxMoov
	boxPrft
	boxMoof
	boxMdat
	boxMfra
)

// errStructure: what was sent is not a segment.
var errStructure = errors.New("not a segment")

// Write takes the next bytes. It never fails; see finish.
func (s *structure) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.err == nil {
		if s.left > 0 {
			k := min(s.left, int64(len(p)))
			s.left -= k
			s.at += k
			p = p[k:]
			continue
		}
		k := copy(s.head[s.have:], p)
		s.have += k
		s.at += int64(k)
		p = p[k:]
		if s.have == len(s.head) {
			s.have = 0
			s.box()
		}
	}
	return n, nil
}

func (s *structure) box() {
	size, typ := int64(binary.BigEndian.Uint32(s.head[:])), string(s.head[4:])
	next := boxNone
	switch {
	case typ == "ftyp" && s.state == boxNone:
		next = boxFtyp
	case typ == "moov" && s.state == boxFtyp:
		next = boxMoov
	case typ == "prft" && (s.state == boxMoov || s.state == boxMdat):
		next = boxPrft
	case typ == "moof" && (s.state == boxMoov || s.state == boxPrft || s.state == boxMdat):
		next = boxMoof
	case typ == "mdat" && s.state == boxMoof:
		next = boxMdat
		s.count++
	case typ == "mfra" && s.state == boxMdat:
		next = boxMfra
	}
	if next == boxNone || size < 8 {
		s.err = fmt.Errorf("%w: box %q of %d bytes at offset %d", errStructure, typ, size, s.at-8)
		return
	}
	s.state, s.left = next, size-8
}

// finish reports whether all that was written is one whole segment.
func (s *structure) finish() error {
	switch {
	case s.err != nil:
		return s.err
	case s.left > 0 || s.have > 0:
		return fmt.Errorf("%w: it ends within a box", errStructure)
	case s.state != boxMdat && s.state != boxMfra:
		return fmt.Errorf("%w: it ends after %d fragments in the middle of one", errStructure, s.count)
	}
	return nil
}
