// Package segment is the vocabulary of the archive: segments, their object keys, time ranges and gaps.
//
// It is a leaf: values and arithmetic only, no I/O.
package segment

import (
	"encoding/hex"
	"errors"
	"time"
)

// ErrIndexIncomplete means that the index is new or has lost records, and is being filled from the buckets: what it
// would answer now would call footage a gap. Trying again later works.
var ErrIndexIncomplete = errors.New("the index is not complete: it is being rebuilt from the archive")

// Hash is a SHA-256 digest. Its text form is 64 lower-case hexadecimal digits.
type Hash [32]byte

// String returns the digest in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether the hash is unset.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	v, err := ParseHash(string(b))
	if err != nil {
		return err
	}
	*h = v
	return nil
}

// Manifest describes one sealed segment. It is written when the segment is sealed, travels with it, and is stored as
// the object's metadata. Hash of the previous manifest's segment makes a chain per camera.
type Manifest struct {
	Camera   string        `json:"camera"`
	Profile  string        `json:"profile"`
	Seq      uint64        `json:"seq"`   // per camera, from 1, without holes
	Epoch    uint32        `json:"epoch"` // media-time epoch of the first frame
	Start    time.Time     `json:"start"` // wall time of the first frame, UTC, whole milliseconds
	Duration time.Duration `json:"duration_ns"`
	Bytes    int64         `json:"bytes"`
	SHA256   Hash          `json:"sha256"`
	Prev     Hash          `json:"prev"`               // SHA256 of segment Seq-1, zero for the first
	Codecs   string        `json:"codecs"`             // RFC 6381, e.g. "avc1.64001f,mp4a.40.2"
	Frames   int           `json:"frames"`             // video access units
	Damaged  int           `json:"damaged,omitempty"`  // of these, lost a part on the way from the camera
	Clock    *int64        `json:"clock_ms,omitempty"` // camera clock minus edge clock, milliseconds; nil: not measured
	// Gap is the gap between the previous segment's end and Start, nil if there is none.
	Gap *Gap `json:"gap,omitempty"`
	// Holes are silences inside the segment, in order: no segment could begin after them. At most MaxHoles.
	Holes  []Gap  `json:"holes,omitempty"`
	Sealed Sealed `json:"sealed"` // why the segment ended here
}

// MaxHoles bounds Manifest.Holes: a manifest must fit into a header. What is beyond is joined to the last.
const MaxHoles = 4

// End returns the wall time at which the segment ends.
func (m Manifest) End() time.Time { return m.Start.Add(m.Duration) }

// Range returns the time the segment covers.
func (m Manifest) Range() Range { return Range{From: m.Start, To: m.End()} }

// Record returns the index record of the segment stored on the named shard.
func (m Manifest) Record(shard string) Record {
	r := Record{
		Start: m.Start, Duration: m.Duration.Round(time.Millisecond), Seq: m.Seq, Bytes: m.Bytes, Shard: shard,
	}
	copy(r.Hash[:], m.SHA256[:])
	if m.Gap != nil {
		r.Gap = m.Gap.Cause
	}
	return r
}

// Key returns the object key of the segment.
func (m Manifest) Key() string { return m.Record("").Key(m.Camera) }

// Sealed tells why a segment ended.
type Sealed string

// The reasons for which a segment is sealed.
const (
	SealedDuration  Sealed = "duration"  // reached its length
	SealedCodec     Sealed = "codec"     // codec or parameter sets changed
	SealedEpoch     Sealed = "epoch"     // media clock or wall clock stepped, or the source reconnected
	SealedStop      Sealed = "stop"      // recording ended in order
	SealedSilence   Sealed = "silence"   // nothing arrived for too long
	SealedRecovered Sealed = "recovered" // cut to its last whole fragment after a crash
	SealedError     Sealed = "error"     // the spool could not go on writing this file
)

// Record is what the index keeps of a segment: enough to name its object and to answer coverage.
type Record struct {
	Start    time.Time     // UTC, whole milliseconds
	Duration time.Duration // whole milliseconds
	Seq      uint64
	Bytes    int64
	Hash     [6]byte // first 48 bits of the SHA-256
	Shard    string
	Gap      Cause // cause of the gap before Start; empty if none
}

// End returns the wall time at which the segment ends.
func (r Record) End() time.Time { return r.Start.Add(r.Duration) }

// Early reports whether a segment that goes now goes before the retention of its camera, in days, is over; 0 or less is
// for ever.
func (r Record) Early(keep int, now time.Time) bool {
	return keep <= 0 || r.End().AddDate(0, 0, keep).After(now)
}

// Range returns the time the segment covers.
func (r Record) Range() Range { return Range{From: r.Start, To: r.End()} }

// Receipt is the recorder's word that a segment is stored, whole and indexed. Only a receipt lets the edge delete.
type Receipt struct {
	Camera string    `json:"camera"`
	Start  time.Time `json:"start"`
	Seq    uint64    `json:"seq"`
	SHA256 Hash      `json:"sha256"`
	Bytes  int64     `json:"bytes"`
	Key    string    `json:"key"`
	Shard  string    `json:"shard"`
	Stored time.Time `json:"stored"`
}
