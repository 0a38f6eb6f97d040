package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Hash is a SHA-256 digest, in JSON 64 hexadecimal digits.
type Hash [sha256.Size]byte

// String returns the digest in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return errors.New("hash: want 64 hexadecimal digits")
	}
	if _, err := hex.Decode(h[:], b); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	return nil
}

// Entry is one line of a ledger.
type Entry struct {
	Seq  uint64          `json:"seq"` // from 1, without holes
	Time time.Time       `json:"time"`
	Prev Hash            `json:"prev"`
	Body json.RawMessage `json:"body"`
	Hash Hash            `json:"hash"`
}

// sum returns the hash of the entry: over Prev (32 bytes), Seq (8 bytes, big endian), the length of the time's text
// (1 byte), that text (RFC 3339, UTC, with nanoseconds as needed) and Body.
func (e Entry) sum() Hash {
	h := sha256.New()
	h.Write(e.Prev[:])
	h.Write(binary.BigEndian.AppendUint64(nil, e.Seq))
	t := e.Time.UTC().Format(time.RFC3339Nano)
	h.Write([]byte{byte(len(t))})
	h.Write([]byte(t))
	h.Write(e.Body)
	return Hash(h.Sum(nil))
}

// seal makes the entry that follows head, and its line.
func seal(head Head, now time.Time, body any) (Entry, []byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("ledger: %w", err)
	}
	e := Entry{Seq: head.Seq + 1, Time: now.UTC().Truncate(time.Millisecond), Prev: head.Hash, Body: b}
	e.Hash = e.sum()
	line, err := json.Marshal(e)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("ledger: %w", err)
	}
	line = append(line, '\n')
	if len(line) > MaxLine {
		return Entry{}, nil, fmt.Errorf("ledger: entry of %d bytes is too long: the limit is %d", len(line), MaxLine)
	}
	return e, line, nil
}

// parseLine reads one line without its line break and checks its own hash. Anything but the exact bytes that seal would
// write is refused, so that nothing can hide beside the hashed fields.
func parseLine(line []byte) (Entry, error) {
	var e Entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("is no ledger entry: %w", err)
	}
	canonical, err := json.Marshal(e)
	if err != nil || !bytes.Equal(canonical, line) {
		return Entry{}, errors.New("is not in the form it was written in")
	}
	if e.sum() != e.Hash {
		return Entry{}, errors.New("was changed: its hash does not match")
	}
	return e, nil
}
