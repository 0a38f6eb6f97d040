package index

import (
	"bytes"
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
func causes() [10]segment.Cause {
	return [...]segment.Cause{
		"", segment.CauseCameraOff, segment.CauseNetwork, segment.CauseEdgeDown, segment.CauseSpoolFull,
		segment.CauseStoreRefused, segment.CauseClock, segment.CausePrivacy, segment.CausePlanned, segment.CauseUnknown,
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

func get(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// errDamaged means stored bytes that this package did not write.
var errDamaged = errors.New("damaged index entry")

// decodeHour appends the unpacked records of hour h to out. A shard byte that the table does not know becomes
// an empty name: the
// store then searches all shards.
func decodeHour(out []segment.Record, b []byte, h int64, shards []string) ([]segment.Record, error) {
	return decodeWithin(out, b, h, shards, segment.Range{})
}

// decodeWithin is decodeHour that leaves out, unpacked, most of what does not overlap within; the zero range keeps all.
func decodeWithin(
	out []segment.Record, b []byte, h int64, shards []string, within segment.Range,
) ([]segment.Record, error) {
	if len(b)%recordSize != 0 {
		return out, fmt.Errorf("%w: %d bytes are not whole records", errDamaged, len(b))
	}
	base, known := hourStart(h), causes()
	first, end := -MaxDuration, 2*MaxDuration
	if !within.To.IsZero() {
		first, end = within.From.Sub(base), within.To.Sub(base)
	}
	var last []byte
	for ; len(b) > 0; b = b[recordSize:] {
		p := b[:recordSize]
		start := time.Duration(get(p[:offDuration])) * time.Millisecond
		dur := time.Duration(get(p[offDuration:offSeq])) * time.Millisecond
		if start >= time.Hour || dur > MaxDuration {
			return out, fmt.Errorf("%w: start or duration out of range", errDamaged)
		}
		if last != nil && bytes.Compare(last, p[:idSize]) >= 0 {
			return out, fmt.Errorf("%w: records are not in order", errDamaged)
		}
		last = p[:idSize]
		if start+dur < first || start > end {
			continue
		}
		r := segment.Record{
			Start: base.Add(start), Duration: dur, Seq: get(p[offSeq:offHash]),
			Bytes: int64(get(p[offBytes:offGap])), Gap: segment.CauseUnknown,
		}
		if c := int(p[offGap]); c < len(known) {
			r.Gap = known[c]
		}
		copy(r.Hash[:], p[offHash:offBytes])
		if s := int(p[offShard]); s > 0 && s <= len(shards) {
			r.Shard = shards[s-1]
		}
		out = append(out, r)
	}
	return out, nil
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
