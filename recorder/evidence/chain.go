// Package evidence proves footage: the chain of a camera's manifests, checkpoints over all chains signed with
// Ed25519, and
// the verification of both, which needs nothing but the files and the public key.
//
// What it proves is "unchanged since our edge sealed it". It says nothing about the scene, the camera's
// honesty, or what
// happened in a gap.
package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"skein/recorder/segment"
)

// Link is one element of a camera's chain: a segment, or the tombstone of one.
type Link struct {
	Camera  string
	Seq     uint64
	Start   time.Time
	Key     string
	SHA256  segment.Hash
	Prev    segment.Hash
	Deleted bool // a tombstone: there is no content to look at
	// Lost marks a tombstone whose manifest could not be read when it was written: only the first 48 bits of its hash
	// are known, in SHA256, and Prev is not.
	Lost bool
}

// LinkOf returns the link of a segment that is there.
func LinkOf(m segment.Manifest) Link {
	return Link{Camera: m.Camera, Seq: m.Seq, Start: m.Start, Key: m.Key(), SHA256: m.SHA256, Prev: m.Prev}
}

// Fault is what is wrong with a link.
type Fault string

// The faults.
const (
	FaultContent    Fault = "content"    // the bytes are not those that were sealed
	FaultMissing    Fault = "missing"    // a segment is not there and no tombstone tells why
	FaultOrder      Fault = "order"      // the link does not follow its predecessor
	FaultDouble     Fault = "double"     // two different segments have one sequence number
	FaultManifest   Fault = "manifest"   // manifest and key or camera do not belong together
	FaultCheckpoint Fault = "checkpoint" // a signed checkpoint names another segment here
	FaultSignature  Fault = "signature"  // a checkpoint is not signed by the trusted key
)

// Broken names the first link that does not hold.
type Broken struct {
	Fault  Fault     `json:"fault"`
	Camera string    `json:"camera,omitempty"`
	Seq    uint64    `json:"seq"` // of the segment, or of the checkpoint for FaultSignature
	Start  time.Time `json:"start,omitzero"`
	Key    string    `json:"key,omitempty"`
	Detail string    `json:"detail"`
}

// Error implements error.
func (b *Broken) Error() string {
	if b.Camera == "" {
		return fmt.Sprintf("checkpoint %d: %s: %s", b.Seq, b.Fault, b.Detail)
	}
	at := b.Start.Format(time.RFC3339)
	return fmt.Sprintf("camera %s, segment %d (%s): %s: %s", b.Camera, b.Seq, at, b.Fault, b.Detail)
}

func (l Link) broken(f Fault, format string, args ...any) *Broken {
	return &Broken{
		Fault: f, Camera: l.Camera, Seq: l.Seq, Start: l.Start, Key: l.Key, Detail: fmt.Sprintf(format, args...),
	}
}

// VerifyChain checks that the links of one camera follow each other without a hole. They may come in any order;
// they are
// sorted in place by sequence. A segment beside its own tombstone (deletion was refused) counts as there. The chain may
// begin anywhere: only a first link with sequence 1 must have no predecessor. nil means that it holds.
func VerifyChain(links []Link) *Broken {
	slices.SortStableFunc(links, func(a, b Link) int {
		if n := cmp.Compare(a.Seq, b.Seq); n != 0 || a.Deleted == b.Deleted {
			return n
		}
		if b.Deleted {
			return -1
		}
		return 1
	})
	for i, l := range links {
		if l.Seq == 1 && !l.Lost && !l.Prev.IsZero() {
			return l.broken(FaultOrder, "it is the first of its chain but names a predecessor")
		}
		if i == 0 {
			continue
		}
		if b := follows(links[i-1], l); b != nil {
			return b
		}
	}
	return nil
}

// follows reports how l fails to follow before.
func follows(before, l Link) *Broken {
	if l.Camera != before.Camera {
		return l.broken(FaultManifest, "it is among the segments of camera %s", before.Camera)
	}
	switch l.Seq {
	case before.Seq:
		if !sameHash(before, l) {
			return l.broken(FaultDouble, "SHA-256 %s and %s have the same sequence", before.SHA256, l.SHA256)
		}
		return nil
	case before.Seq + 1:
	default:
		missing := Link{Camera: l.Camera, Seq: before.Seq + 1, Start: before.Start}
		return missing.broken(FaultMissing, "segments %d to %d are not there and have no tombstone", before.Seq+1, l.Seq-1)
	}
	if !l.Lost && !hashIs(before, l.Prev) {
		return l.broken(FaultOrder, "it names %s before it, but segment %d is %s", l.Prev, before.Seq, before.SHA256)
	}
	return nil
}

func sameHash(a, b Link) bool {
	if b.Lost {
		a, b = b, a
	}
	return hashIs(a, b.SHA256)
}

// hashIs reports whether h is the link's hash, as far as that is known.
func hashIs(l Link, h segment.Hash) bool {
	if l.Lost {
		return [6]byte(l.SHA256[:6]) == [6]byte(h[:6])
	}
	return l.SHA256 == h
}

// VerifyContent reads a segment's bytes and compares them with its manifest. The error is about reading; Broken about
// the content.
func VerifyContent(r io.Reader, m segment.Manifest) (*Broken, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", m.Key(), err)
	}
	var got segment.Hash
	sum.Sum(got[:0])
	if n != m.Bytes || got != m.SHA256 {
		return LinkOf(m).broken(FaultContent, "%d bytes with SHA-256 %s, sealed were %d bytes with %s", n, got, m.Bytes,
			m.SHA256), nil
	}
	return nil, nil
}

// errHash48 is a tombstone whose short hash cannot be read.
var errHash48 = errors.New("tombstone without a readable hash")

// lost returns the link of a tombstone that only knows the first 48 bits.
func lost(l Link, hash48 string) (Link, error) {
	b, err := hex.DecodeString(hash48)
	if err != nil || len(b) != 6 {
		return l, fmt.Errorf("%w: %q", errHash48, hash48)
	}
	l.Lost, l.SHA256 = true, segment.Hash{}
	copy(l.SHA256[:], b)
	return l, nil
}
