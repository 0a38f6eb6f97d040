package footage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"skein/edge/media"
)

var errClip = errors.New("malformed clip")

// maxSamples bounds a track: more than a clip of this package's ranges can have.
const maxSamples = 1 << 20

// each calls f with every box of b (ISO/IEC 14496-12 section 4.2).
func each(b []byte, f func(kind string, body []byte)) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("%w: %d stray bytes", errClip, len(b))
		}
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch {
		case size == 0:
			size = uint64(len(b))
		case size == 1 && len(b) >= 16:
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return fmt.Errorf("%w: a box %q of %d bytes", errClip, b[4:8], size)
		}
		f(string(b[4:8]), b[head:size])
		b = b[size:]
	}
	return nil
}

// all returns the bodies of the boxes at a path.
func all(b []byte, path ...string) [][]byte {
	var out [][]byte
	_ = each(b, func(kind string, body []byte) { // what cannot be read is not there
		if kind != path[0] {
			return
		}
		if len(path) == 1 {
			out = append(out, body)
			return
		}
		out = append(out, all(body, path[1:]...)...)
	})
	return out
}

// one returns the body of the first box at a path, nil if there is none.
func one(b []byte, path ...string) []byte {
	if found := all(b, path...); len(found) > 0 {
		return found[0]
	}
	return nil
}

// table is a box that begins with version, flags and a number of rows.
type table struct {
	rows  int
	width int // bytes of a row
	b     []byte
}

// readTable reads a table whose rows are width bytes. A box that is not there is an empty table.
func readTable(body []byte, width int) (table, error) {
	if body == nil {
		return table{}, nil
	}
	if len(body) < 8 {
		return table{}, fmt.Errorf("%w: a table of %d bytes", errClip, len(body))
	}
	n := uint64(binary.BigEndian.Uint32(body[4:]))
	if n > maxSamples || n*uint64(width) > uint64(len(body)-8) {
		return table{}, fmt.Errorf("%w: a table of %d rows in %d bytes", errClip, n, len(body))
	}
	return table{rows: int(n), width: width, b: body[8:]}, nil
}

// at returns column c, of 32 bits, of row i.
func (t table) at(i, c int) uint32 { return binary.BigEndian.Uint32(t.b[i*t.width+4*c:]) }

// scaleOf reads the ticks per second of an mvhd or mdhd box, 0 if it cannot be read.
func scaleOf(body []byte) int64 {
	at := 12
	if len(body) > 0 && body[0] == 1 {
		at = 20
	}
	if len(body) < at+4 {
		return 0
	}
	return int64(binary.BigEndian.Uint32(body[at:]))
}

// edit reads an edit list: how long the track is empty at first, in the movie's ticks, and which of its own ticks is
// the first that is shown.
func edit(body []byte) (empty, skip int64) {
	if len(body) < 8 {
		return 0, 0
	}
	width := 12
	if body[0] == 1 {
		width = 20
	}
	t, err := readTable(body, width)
	for i := 0; err == nil && i < t.rows; i++ {
		duration, start := int64(t.at(i, 0)), int64(int32(t.at(i, 1)))
		if width == 20 {
			duration = int64(t.at(i, 0))<<32 | int64(t.at(i, 1))
			start = int64(t.at(i, 2))<<32 | int64(t.at(i, 3))
		}
		if start < 0 {
			empty += duration
		} else {
			skip = start
		}
	}
	return empty, skip
}

// entryHead is the length of a visual sample entry before its boxes (ISO/IEC 14496-12 section 12.1.3).
const entryHead = 78

// describe reads codec and parameter sets of a sample entry; ok is false if it is no picture we know.
func describe(body []byte) (*media.Track, bool) {
	if len(body) < entryHead {
		return nil, false
	}
	t := media.Track{
		ClockRate: 90000, Width: int(binary.BigEndian.Uint16(body[24:])), Height: int(binary.BigEndian.Uint16(body[26:])),
	}
	if c := one(body[entryHead:], "avcC"); len(c) > 6 {
		t.Codec = media.H264
		rest := readSets(c[6:], int(c[5]&0x1f), func(b []byte) { t.SPS = b })
		if len(rest) > 0 {
			readSets(rest[1:], int(rest[0]), func(b []byte) { t.PPS = b })
		}
	} else if c := one(body[entryHead:], "hvcC"); len(c) > 23 {
		t.Codec = media.H265
		rest := c[23:]
		for range c[22] {
			if len(rest) < 3 {
				break
			}
			kind := rest[0] & 0x3f
			rest = readSets(rest[3:], int(binary.BigEndian.Uint16(rest[1:])), func(b []byte) {
				switch kind {
				case 32:
					t.VPS = b
				case 33:
					t.SPS = b
				case 34:
					t.PPS = b
				}
			})
		}
	}
	return &t, len(t.SPS) > 0 && len(t.PPS) > 0
}

// readSets reads n parameter sets with lengths of two bytes and returns what follows; take is given the first.
func readSets(b []byte, n int, take func([]byte)) []byte {
	for i := range n {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil
		}
		size := 2 + int(binary.BigEndian.Uint16(b))
		if i == 0 {
			take(b[2:size:size])
		}
		b = b[size:]
	}
	return b
}
