package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"skein/recorder/segment"
)

// Head is the last link of a camera's chain at the time of a checkpoint.
type Head struct {
	Camera string       `json:"camera"`
	Seq    uint64       `json:"seq"`
	SHA256 segment.Hash `json:"sha256"`
}

// Checkpoint fixes the heads of all chains at one moment. See FORMAT.md for what exactly is signed.
type Checkpoint struct {
	Seq   uint64       `json:"seq"` // from 1
	At    time.Time    `json:"at"`  // whole milliseconds
	Prev  segment.Hash `json:"prev"`
	Heads []Head       `json:"heads"` // ascending by camera
	Root  segment.Hash `json:"root"`
	Key   string       `json:"key"` // public key that signed, for information: trust comes from elsewhere
	Sig   string       `json:"sig"`
}

// NewCheckpoint returns a signed checkpoint that follows prev (nil: the first). heads must be ascending by camera.
func NewCheckpoint(prev *Checkpoint, at time.Time, heads []Head, key ed25519.PrivateKey) (Checkpoint, error) {
	c := Checkpoint{Seq: 1, At: at.UTC().Truncate(time.Millisecond), Heads: heads, Root: Root(heads)}
	if prev != nil {
		c.Seq, c.Prev = prev.Seq+1, prev.ID()
	}
	if err := c.ordered(); err != nil {
		return c, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PrivateKeySize {
		return c, errors.New("checkpoint: not an Ed25519 private key")
	}
	c.Key = hex.EncodeToString(public)
	c.Sig = hex.EncodeToString(ed25519.Sign(key, c.signed()))
	return c, nil
}

func (c *Checkpoint) ordered() error {
	for i := 1; i < len(c.Heads); i++ {
		if c.Heads[i-1].Camera >= c.Heads[i].Camera {
			return fmt.Errorf("checkpoint %d: heads are not in order at camera %s", c.Seq, c.Heads[i].Camera)
		}
	}
	return nil
}

// signed returns the bytes under the signature.
func (c *Checkpoint) signed() []byte {
	b := []byte("skein checkpoint v1\x00")
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(c.At.UnixMilli()))
	b = append(b, c.Prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(c.Heads)))
	return append(b, c.Root[:]...)
}

// ID is the hash by which the next checkpoint names this one.
func (c *Checkpoint) ID() segment.Hash { return sha256.Sum256(c.signed()) }

// Name returns the document's name.
func (c *Checkpoint) Name() string {
	return fmt.Sprintf("%s%s/%013d.json", CheckpointPrefix, c.At.Format("2006/01/02"), c.At.UnixMilli())
}

// CheckpointPrefix is where checkpoints are kept.
const CheckpointPrefix = "checkpoints/"

// Verify checks root and signature against a key that the caller trusts.
func (c *Checkpoint) Verify(trusted ed25519.PublicKey) *Broken {
	bad := func(format string, args ...any) *Broken {
		return &Broken{Fault: FaultSignature, Seq: c.Seq, Start: c.At, Detail: fmt.Sprintf(format, args...)}
	}
	if err := c.ordered(); err != nil {
		return bad("%v", err)
	}
	if root := Root(c.Heads); root != c.Root {
		return bad("its heads have the root %s, it says %s", root, c.Root)
	}
	sig, err := hex.DecodeString(c.Sig)
	if err != nil || len(trusted) != ed25519.PublicKeySize || !ed25519.Verify(trusted, c.signed(), sig) {
		return bad("not signed by the trusted key; it names key %s", c.Key)
	}
	return nil
}

// Head returns the camera's head.
func (c *Checkpoint) Head(camera string) (Head, bool) {
	for _, h := range c.Heads {
		if h.Camera == camera {
			return h, true
		}
	}
	return Head{}, false
}

// ParseCheckpoint reads a stored checkpoint. It checks the form only; Verify checks the rest.
func ParseCheckpoint(doc []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := json.Unmarshal(doc, &c); err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Seq == 0 || c.At.Year() < 1970 || c.At.Year() > 9999 {
		return c, errors.New("checkpoint: sequence or time is out of range")
	}
	return c, nil
}

// VerifyCheckpoints checks that the checkpoints, ascending by sequence, follow each other and are all signed by
// trusted.
func VerifyCheckpoints(list []Checkpoint, trusted ed25519.PublicKey) *Broken {
	for i := range list {
		c := &list[i]
		if b := c.Verify(trusted); b != nil {
			return b
		}
		if i == 0 {
			continue
		}
		if before := &list[i-1]; c.Seq != before.Seq+1 || c.Prev != before.ID() {
			return &Broken{
				Fault: FaultCheckpoint, Seq: c.Seq, Start: c.At,
				Detail: fmt.Sprintf("it does not follow checkpoint %d", before.Seq),
			}
		}
	}
	return nil
}

// Root returns the Merkle tree hash of the heads (RFC 6962 section 2.1).
func Root(heads []Head) segment.Hash {
	switch len(heads) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaf(heads[0])
	}
	k := split(len(heads))
	return node(Root(heads[:k]), Root(heads[k:]))
}

// split returns the largest power of two below n.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func leaf(h Head) segment.Hash {
	b := append([]byte{0}, h.Camera...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	return sha256.Sum256(append(b, h.SHA256[:]...))
}

func node(l, r segment.Hash) segment.Hash {
	b := append([]byte{1}, l[:]...)
	return sha256.Sum256(append(b, r[:]...))
}

// Proof returns the hashes that lead from head i to the root (RFC 6962 section 2.1.1): an export proves one camera with
// it without naming the others.
func Proof(heads []Head, i int) []segment.Hash {
	if len(heads) <= 1 || i < 0 || i >= len(heads) {
		return nil
	}
	k := split(len(heads))
	if i < k {
		return append(Proof(heads[:k], i), Root(heads[k:]))
	}
	return append(Proof(heads[k:], i-k), Root(heads[:k]))
}

// VerifyProof reports whether proof leads from head, the i-th of n, to root.
func VerifyProof(head Head, i, n int, proof []segment.Hash, root segment.Hash) bool {
	if i < 0 || i >= n {
		return false
	}
	got, ok := climb(leaf(head), i, n, proof)
	return ok && got == root
}

func climb(h segment.Hash, i, n int, proof []segment.Hash) (segment.Hash, bool) {
	if n == 1 {
		return h, len(proof) == 0
	}
	if len(proof) == 0 {
		return h, false
	}
	last, k := len(proof)-1, split(n)
	if i < k {
		l, ok := climb(h, i, k, proof[:last])
		return node(l, proof[last]), ok
	}
	r, ok := climb(h, i-k, n-k, proof[:last])
	return node(proof[last], r), ok
}
