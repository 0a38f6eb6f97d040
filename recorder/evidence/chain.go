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

// Link is one element of a camera's chain: a segment, the tombstone of one, or the gap link of a run of segments that
// were sealed and given up before the archive had them.
type Link struct {
	Camera  string
	Seq     uint64
	First   uint64 // of a gap link's run, which ends with Seq; 0: the link is of one segment
	Start   time.Time
	Key     string
	SHA256  segment.Hash
	Prev    segment.Hash
	Deleted bool // a tombstone: there is no content to look at
	// Lost marks a tombstone whose manifest could not be read when it was written: only the first 48 bits of its hash
	// are known, in SHA256, and Prev is not.
	Lost bool
	// Cause of a gap link: why the edge gave the run up. SHA256 is that of the run's last segment, Prev that of the
	// segment before its first.
	Cause segment.Cause
	until time.Time // where the footage of a gap link's run ended
}

// low returns the sequence number with which the link begins.
func (l Link) low() uint64 {
	if l.First != 0 {
		return l.First
	}
	return l.Seq
}

// rank orders links that begin at the same number: what is there, what was deleted, what never came.
func (l Link) rank() int {
	switch {
	case l.Cause != "":
		return 2
	case l.Deleted:
		return 1
	}
	return 0
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
	FaultMissing    Fault = "missing"    // a segment is not there and neither tombstone nor gap link tells why
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

// VerifyChain checks that the links of one camera follow each other without a hole. They may come in any order; they
// are sorted in place by sequence. A segment beside its own tombstone (deletion was refused) or under a gap link (its
// receipt never reached the edge) counts as there. The chain may begin anywhere: only a first link with sequence 1
// must have no predecessor. nil means that it holds.
func VerifyChain(links []Link) *Broken {
	slices.SortStableFunc(links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.low(), b.low()), cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Seq, b.Seq))
	})
	known := make(map[uint64]Link, len(links)) // by sequence number: whose hash is told
	var reach Link                             // the one that leads furthest
	for i, l := range links {
		if l.low() == 1 && !l.Lost && !l.Prev.IsZero() {
			return l.broken(FaultOrder, "it is the first of its chain but names a predecessor")
		}
		if i > 0 {
			if b := follows(reach, known, l); b != nil {
				return b
			}
		}
		if _, ok := known[l.Seq]; !ok {
			known[l.Seq] = l
		}
		if l.Seq > reach.Seq {
			reach = l
		}
	}
	return nil
}

// follows reports how l fails to follow the links before it, of which reach leads furthest.
func follows(reach Link, known map[uint64]Link, l Link) *Broken {
	if l.Camera != reach.Camera {
		return l.broken(FaultManifest, "it is among the segments of camera %s", reach.Camera)
	}
	if same, ok := known[l.Seq]; ok && !sameHash(same, l) {
		return l.broken(FaultDouble, "SHA-256 %s and %s have the same sequence", same.SHA256, l.SHA256)
	}
	if l.low() > reach.Seq+1 {
		missing := Link{Camera: l.Camera, Seq: reach.Seq + 1, Start: reach.Start}
		return missing.broken(FaultMissing,
			"segments %d to %d are not there, and neither a tombstone nor a gap link tells why", reach.Seq+1, l.low()-1)
	}
	if before, ok := known[l.low()-1]; ok && !l.Lost && !hashIs(before, l.Prev) {
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
