package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

// readAhead is what a short read fetches at least: enough for the boxes at either end of a segment, so that finding a
// fragment costs one or two requests.
const readAhead = 16 << 10

// s3Object is an open object of a shard. It keeps the first and the latest short window it fetched.
type s3Object struct {
	ctx   context.Context //nolint:containedctx // the Object's contract: Open's ctx bounds its reads
	shard *shard
	key   string
	size  int64
	head  []byte // the first bytes of the object, fetched by open

	mu     sync.Mutex // guards the fields below
	window []byte
	at     int64
}

// open fetches the beginning of the object, which tells its size too.
func (s *shard) open(ctx context.Context, key string) (*s3Object, error) {
	rctx, cancel := s.budget(ctx, readAhead)
	defer cancel()
	o := &s3Object{ctx: ctx, shard: s, key: key}
	body, total, err := s.get(rctx, key, 0, readAhead)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	o.size = total
	o.head = make([]byte, min(total, readAhead))
	if _, err := io.ReadFull(body, o.head); err != nil {
		return nil, s.result(ctx, "get", err)
	}
	s.metrics.read.Add(float64(len(o.head)))
	return o, nil
}

// get asks for n bytes from off and returns the body and the object's whole size.
func (s *shard) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(off, off+n-1); err != nil {
		return nil, 0, fmt.Errorf("range %d+%d: %w", off, n, err)
	}
	body, info, header, err := s.core.GetObject(ctx, s.cfg.Bucket, key, opts)
	if err = s.result(ctx, "get", err); err != nil {
		return nil, 0, err
	}
	cr := header.Get("Content-Range") // bytes 0-99/12345 (RFC 9110 section 14.4)
	if cr == "" {
		if off == 0 {
			return body, info.Size, nil // the whole object: the endpoint does not know ranges
		}
		_ = body.Close()
		return nil, 0, s.result(ctx, "get", errors.New("the endpoint ignores ranges"))
	}
	_, after, _ := strings.Cut(cr, "/")
	total, err := strconv.ParseInt(after, 10, 64)
	if err != nil || total < off {
		_ = body.Close()
		return nil, 0, s.result(ctx, "get", fmt.Errorf("answer with Content-Range %q", cr))
	}
	return body, total, nil
}

func (o *s3Object) Size() int64  { return o.size }
func (o *s3Object) Close() error { return nil }

// ReadAt implements io.ReaderAt.
func (o *s3Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: negative offset", o.key, off)
	}
	if off >= o.size {
		return 0, io.EOF
	}
	want := p
	if int64(len(want)) > o.size-off {
		want = want[:o.size-off]
	}
	if err := o.fill(want, off); err != nil {
		return 0, fmt.Errorf("read %s: %w", o.key, err)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

func (o *s3Object) fill(p []byte, off int64) error {
	if copied(p, off, o.head, 0) {
		return nil
	}
	if len(p) > readAhead/2 {
		return o.fetch(p, off)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if copied(p, off, o.window, o.at) {
		return nil
	}
	at := max(0, min(off, o.size-readAhead))
	w := make([]byte, min(readAhead, o.size-at))
	if err := o.fetch(w, at); err != nil {
		return err
	}
	o.window, o.at = w, at
	copied(p, off, w, at)
	return nil
}

// copied fills p from the window if that holds all of it.
func copied(p []byte, off int64, window []byte, at int64) bool {
	if off < at || off+int64(len(p)) > at+int64(len(window)) {
		return false
	}
	copy(p, window[off-at:])
	return true
}

func (o *s3Object) fetch(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	ctx, cancel := o.shard.budget(o.ctx, int64(len(p)))
	defer cancel()
	body, _, err := o.shard.get(ctx, o.key, off, int64(len(p)))
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	o.shard.metrics.read.Add(float64(n))
	if err != nil {
		return o.shard.result(ctx, "get", err)
	}
	return nil
}

// Stream implements Object: one request, delivered as it comes. Open's ctx bounds it.
func (o *s3Object) Stream(off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off+n > o.size {
		return nil, fmt.Errorf("range %d+%d of %d bytes: %w", off, n, o.size, io.ErrUnexpectedEOF)
	}
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	body, _, err := o.shard.get(o.ctx, o.key, off, n)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.key, err)
	}
	return &exactReader{body: body, left: n, shard: o.shard, ctx: o.ctx}, nil
}

// exactReader delivers exactly left bytes or an error: a connection that ends early must not look like the end.
type exactReader struct {
	ctx   context.Context //nolint:containedctx // lives for one stream
	body  io.ReadCloser
	left  int64
	shard *shard
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.body.Read(p)
	e.left -= int64(n)
	e.shard.metrics.read.Add(float64(n))
	if errors.Is(err, io.EOF) {
		err = nil
		if e.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		err = e.shard.result(e.ctx, "get", err)
	}
	return n, err
}

func (e *exactReader) Close() error { return e.body.Close() }

func sum256(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
