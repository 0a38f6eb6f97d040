package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"skein/recorder/segment"
)

// recordSize is the length of one packed record. The layout, big-endian:
//
//	 0  3  milliseconds of the start within its hour
//	 3  3  duration in milliseconds
//	 6  5  sequence
//	11  6  first 48 bits of the SHA-256
//	17  5  size of the object in bytes
//	22  1  cause of the gap before the segment, 0: none
//	23  1  shard: position in the camera's shard table, from 1; 0: not known
//
// The first idSize bytes are the record's identity, the same facts that make the object's key; the others may be
// replaced by a later Add. Records of an hour are kept in ascending order of these bytes.
const (
	recordSize = 24
	idSize     = 17

	offDuration = 3
	offSeq      = 6
	offHash     = 11
	offBytes    = 17
	offGap      = 22
	offShard    = 23
)

// Limits of what a record can hold. Segments are cut at a minute, so all have room.
const (
	MaxDuration = time.Hour
	MaxSeq      = 1<<40 - 1
	MaxBytes    = 1<<40 - 1
)

// ErrRecord means a record that cannot be packed: a limit is exceeded or the start is not a time of this era.
var ErrRecord = errors.New("record does not fit the index")

// causes lists the gap causes by their byte. The order is stored: append only.
func causes() [11]segment.Cause {
	return [...]segment.Cause{
		"", segment.CauseCameraOff, segment.CauseNetwork, segment.CauseEdgeDown, segment.CauseSpoolFull,
		segment.CauseStoreRefused, segment.CauseClock, segment.CausePrivacy, segment.CausePlanned, segment.CauseUnknown,
		segment.CauseConfig,
	}
}

// causeUnknown is the byte of a cause that this version does not know.
const causeUnknown = 9

func causeByte(c segment.Cause) byte {
	for i, known := range causes() {
		if c == known {
			return byte(i)
		}
	}
	return causeUnknown
}

// hourOf returns the hours since 1970 in which t lies.
func hourOf(t time.Time) int64 {
	ms := t.UnixMilli()
	h := ms / 3_600_000
	if ms%3_600_000 < 0 {
		h--
	}
	return h
}

func hourStart(h int64) time.Time { return time.UnixMilli(h * 3_600_000).UTC() }

// appendRecord packs r with the given shard byte.
func appendRecord(b []byte, r segment.Record, shard byte) ([]byte, error) {
	switch {
	case r.Start.Year() < 1970 || hourOf(r.Start)/24 > 1<<16-1:
		return b, fmt.Errorf("%w: start %v", ErrRecord, r.Start)
	case r.Duration < 0 || r.Duration > MaxDuration:
		return b, fmt.Errorf("%w: duration %v, at most %v", ErrRecord, r.Duration, MaxDuration)
	case r.Seq > MaxSeq:
		return b, fmt.Errorf("%w: sequence %d", ErrRecord, r.Seq)
	case r.Bytes < 0 || r.Bytes > MaxBytes:
		return b, fmt.Errorf("%w: size %d", ErrRecord, r.Bytes)
	}
	b = put(b, uint64(r.Start.UnixMilli()-hourOf(r.Start)*3_600_000), 3)
	b = put(b, uint64(r.Duration.Milliseconds()), 3)
	b = put(b, r.Seq, 5)
	b = append(b, r.Hash[:]...)
	b = put(b, uint64(r.Bytes), 5)
	return append(b, causeByte(r.Gap), shard), nil
}

// put appends the n low bytes of v, big-endian.
func put(b []byte, v uint64, n int) []byte {
	var full [8]byte
	binary.BigEndian.PutUint64(full[:], v)
	return append(b, full[8-n:]...)
}

// words is a packed record read as three numbers: every field is a shift away.
type words struct{ a, b, c uint64 }

func wordsOf(p []byte) words {
	_ = p[recordSize-1]
	return words{binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:]), binary.BigEndian.Uint64(p[16:])}
}

func (w *words) start() time.Duration    { return time.Duration(w.a>>40) * time.Millisecond }
func (w *words) duration() time.Duration { return time.Duration(w.a>>16&0xff_ffff) * time.Millisecond }
func (w *words) seq() uint64             { return w.a&0xffff<<24 | w.b>>40 }
func (w *words) bytes() int64            { return int64(w.c >> 16 & 0xff_ffff_ffff) }
func (w *words) gap() int                { return int(w.c >> 8 & 0xff) }
func (w *words) shard() int              { return int(w.c & 0xff) }

// precedes compares the identities.
func (w *words) precedes(o *words) bool {
	if w.a != o.a {
		return w.a < o.a
	}
	if w.b != o.b {
		return w.b < o.b
	}
	return w.c>>56 < o.c>>56
}

// errDamaged means stored bytes that this package did not write.
var errDamaged = errors.New("damaged index entry")

// window is a range of time, counted from the start of an hour.
type window struct{ from, to time.Duration }

func windowOf(within segment.Range, h int64) window {
	base := hourStart(h)
	return window{within.From.Sub(base), within.To.Sub(base)}
}

// holds reports whether a record overlaps the window, or is without length and begins in it.
func (v window) holds(w *words) bool {
	start := w.start()
	return start < v.to && (start+w.duration() > v.from || start == v.from)
}

// countHour checks the packed records of hour h and returns how many of them overlap within.
func countHour(b []byte, h int64, within segment.Range) (n int, err error) {
	if len(b)%recordSize != 0 {
		return 0, fmt.Errorf("%w: %d bytes are not whole records", errDamaged, len(b))
	}
	v := windowOf(within, h)
	var last words
	for i := 0; i < len(b); i += recordSize {
		w := wordsOf(b[i:])
		if w.start() >= time.Hour || w.duration() > MaxDuration {
			return 0, fmt.Errorf("%w: start or duration out of range", errDamaged)
		}
		if i > 0 && !last.precedes(&w) {
			return 0, fmt.Errorf("%w: records are not in order", errDamaged)
		}
		if last = w; v.holds(&w) {
			n++
		}
	}
	return n, nil
}

// appendHour unpacks the records of hour h that overlap within and appends them to out. The bytes are those that
// countHour found in order. A shard byte that the table does not know becomes an empty name: the store then searches
// all shards.
func appendHour(out []segment.Record, b []byte, h int64, shards []string, within segment.Range) []segment.Record {
	v, base, known := windowOf(within, h), hourStart(h), causes()
	for ; len(b) >= recordSize; b = b[recordSize:] {
		w := wordsOf(b)
		if !v.holds(&w) {
			continue
		}
		out = append(out, segment.Record{})
		r := &out[len(out)-1] // filled in place: a record is large to copy
		r.Start, r.Duration, r.Seq, r.Bytes = base.Add(w.start()), w.duration(), w.seq(), w.bytes()
		copy(r.Hash[:], b[offHash:offBytes])
		r.Gap = segment.CauseUnknown
		if c := w.gap(); c < len(known) {
			r.Gap = known[c]
		}
		if s := w.shard(); s > 0 && s <= len(shards) {
			r.Shard = shards[s-1]
		}
	}
	return out
}

// camera is the decoded form of a camera's head entry:
//
//	0  1  format, 1
//	1  1  number of shard names n
//	2  …  n times: length (1 byte), name
//	…  …  days since 1970 that have records, 2 bytes each, ascending
type camera struct {
	shards []string
	days   []uint16
}

// headFormat is the first byte of a camera's head entry.
const headFormat = 1

func decodeHead(b []byte) (camera, error) {
	var c camera
	if len(b) == 0 {
		return c, nil
	}
	if len(b) < 2 || b[0] != headFormat {
		return c, fmt.Errorf("%w: head of unknown format", errDamaged)
	}
	n := int(b[1])
	b = b[2:]
	for range n {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return camera{}, fmt.Errorf("%w: shard table is cut short", errDamaged)
		}
		c.shards = append(c.shards, string(b[1:1+b[0]]))
		b = b[1+b[0]:]
	}
	if len(b)%2 != 0 {
		return camera{}, fmt.Errorf("%w: days are cut short", errDamaged)
	}
	for ; len(b) > 0; b = b[2:] {
		d := binary.BigEndian.Uint16(b)
		if len(c.days) > 0 && c.days[len(c.days)-1] >= d {
			return camera{}, fmt.Errorf("%w: days are not in order", errDamaged)
		}
		c.days = append(c.days, d)
	}
	return c, nil
}
