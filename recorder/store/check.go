package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"skein/recorder/segment"
)

// checkedReader passes on a segment's content and compares its length and SHA-256 with the manifest. The last bytes
// are only handed out once the whole content proved right, so whoever counts bytes never completes a wrong object.
type checkedReader struct {
	ctx  context.Context //nolint:containedctx // lives for one Put
	r    io.Reader
	sum  hash.Hash
	left int64
	want segment.Hash
	done bool
}

func newCheckedReader(ctx context.Context, r io.Reader, m segment.Manifest) *checkedReader {
	return &checkedReader{ctx: ctx, r: r, sum: sha256.New(), left: m.Bytes, want: m.SHA256}
}

func (c *checkedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.done {
		return 0, io.EOF
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.left -= int64(n)
	if c.left == 0 {
		if err := c.finish(); err != nil {
			return 0, err
		}
		return n, nil
	}
	if err == io.EOF {
		return 0, fmt.Errorf("%w: %d bytes are missing", ErrHash, c.left)
	}
	if err != nil {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	return n, nil
}

// finish makes sure that nothing follows and that the hash is right.
func (c *checkedReader) finish() error {
	var one [1]byte
	if n, _ := io.ReadFull(c.r, one[:]); n != 0 {
		return fmt.Errorf("%w: more bytes than it says", ErrHash)
	}
	var got segment.Hash
	c.sum.Sum(got[:0])
	if got != c.want {
		return fmt.Errorf("%w: SHA-256 is %s, manifest says %s", ErrHash, got, c.want)
	}
	c.done = true
	return nil
}
