package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"skein/recorder/segment"
)

// User metadata of objects, as S3 knows them without the x-amz-meta- prefix.
const (
	metaManifest = "Skein-Manifest" // segments: the manifest, see encodeManifest
	metaVersion  = "Skein-Version"  // documents: Unix nanoseconds of the write; the newest wins
)

// slowest is the rate below which a transfer counts as hung, bytes per second.
const slowest = 256 << 10

// shard is one bucket. Safe for concurrent use.
type shard struct {
	cfg       ShardConfig
	core      *minio.Core
	transport *http.Transport
	metrics   *shardMetrics
	now       func() time.Time

	versioned atomic.Int32 // 0 not known yet, 1 no, 2 yes

	mu    sync.Mutex // guards the fields below
	fails int        // consecutive failures
	until time.Time  // considered down until then
}

func newShard(c ShardConfig, m *metrics, now func() time.Time) (*shard, error) {
	tr := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       60 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: c.Timeout,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	core, err := minio.NewCore(c.Endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(c.AccessKey, c.SecretKey.Reveal(), ""),
		Secure:     c.TLS,
		Transport:  tr,
		Region:     c.Region,
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("store: shard %s: endpoint %s: %w", c.Name, c.Endpoint, err)
	}
	return &shard{cfg: c, core: core, transport: tr, metrics: m.shard(c.Name), now: now}, nil
}

// isDown reports whether the shard failed so recently that others should be tried first.
func (s *shard) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Before(s.until)
}

// result records how a request went and gives its error the shard's name and a sentinel.
func (s *shard) result(ctx context.Context, op string, err error) error {
	err = s3Error(err)
	s.metrics.count(op, err)
	away := errors.Is(err, ErrUnavailable) && ctx.Err() == nil
	s.mu.Lock()
	if away {
		s.fails++
		s.until = s.now().Add(min(30*time.Second, time.Second<<min(s.fails, 5)))
	} else if err == nil {
		s.fails, s.until = 0, time.Time{}
	}
	s.mu.Unlock()
	if err == nil {
		return nil
	}
	return &ShardError{Shard: s.cfg.Name, Op: op, Err: err}
}

// s3Error maps what the client reports to the errors of this package. Everything that another shard or a later
// attempt may do better is ErrUnavailable: a store that refuses (full, forbidden, misconfigured) must not lose footage.
func s3Error(err error) error {
	if err == nil || errors.Is(err, ErrHash) || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnsupported) ||
		errors.Is(err, ErrNotFound) || errors.Is(err, ErrLocked) || errors.Is(err, ErrExists) {
		return err
	}
	switch minio.ToErrorResponse(err).Code {
	case "NoSuchKey", "NoSuchVersion":
		return ErrNotFound
	case "XAmzContentSHA256Mismatch", "BadDigest", "IncompleteBody":
		return fmt.Errorf("%w: %w", ErrHash, err)
	case "ObjectLocked":
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case "PreconditionFailed", "ConditionalRequestConflict":
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// budget bounds one transfer of n bytes.
func (s *shard) budget(ctx context.Context, n int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.Timeout+time.Duration(n/slowest)*time.Second)
}

// put stores the segment unless it is there. The endpoint checks the content against the SHA-256 in the signature.
func (s *shard) put(ctx context.Context, m segment.Manifest, key string, in io.Reader) error {
	meta, err := encodeManifest(m)
	if err != nil {
		return err
	}
	ctx, cancel := s.budget(ctx, m.Bytes)
	defer cancel()
	body := &bodyReader{r: newCheckedReader(ctx, in, m)}
	opts := minio.PutObjectOptions{
		ContentType:          "video/mp4",
		UserMetadata:         map[string]string{metaManifest: meta},
		DisableContentSha256: true, // it is not disabled: ours is sent instead of one per chunk
	}
	opts.SetMatchETagExcept("*") // If-None-Match: create only (RFC 9110 section 13.1.2)
	_, err = s.core.PutObject(ctx, s.cfg.Bucket, key, body, m.Bytes, "", m.SHA256.String(), opts)
	if cause := body.detach(); cause != nil {
		err = cause
	}
	if mapped := s3Error(err); errors.Is(mapped, ErrExists) {
		err = s.same(ctx, m, key)
	}
	if err == nil {
		s.metrics.written.Add(float64(m.Bytes))
	}
	return s.result(ctx, "put", err)
}

// same compares a stored object with m.
func (s *shard) same(ctx context.Context, m segment.Manifest, key string) error {
	info, err := s.core.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return err
	}
	have, err := decodeManifest(key, []byte(info.UserMetadata[metaManifest]))
	if err != nil {
		return fmt.Errorf("%w: its metadata is damaged: %w", ErrConflict, err)
	}
	if have.SHA256 != m.SHA256 || info.Size != m.Bytes {
		return fmt.Errorf("%w: SHA-256 %s of %d bytes, asked to store %s", ErrConflict, have.SHA256, info.Size, m.SHA256)
	}
	return nil
}

func (s *shard) manifest(ctx context.Context, key string) (segment.Manifest, error) {
	ctx, cancel := s.budget(ctx, 0)
	defer cancel()
	info, err := s.core.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
	if err = s.result(ctx, "stat", err); err != nil {
		return segment.Manifest{}, err
	}
	return decodeManifest(key, []byte(info.UserMetadata[metaManifest]))
}

// isVersioned asks the bucket once whether deleting leaves versions behind.
func (s *shard) isVersioned(ctx context.Context) (bool, error) {
	if v := s.versioned.Load(); v != 0 {
		return v == 2, nil
	}
	c, err := s.core.GetBucketVersioning(ctx, s.cfg.Bucket)
	if err != nil {
		if minio.ToErrorResponse(err).Code == "NotImplemented" {
			s.versioned.Store(1)
			return false, nil
		}
		return false, err
	}
	if c.Enabled() || c.Suspended() {
		s.versioned.Store(2)
		return true, nil
	}
	s.versioned.Store(1)
	return false, nil
}

// delete removes the object, and in a versioned bucket every version of it: a delete marker would keep the footage.
func (s *shard) delete(ctx context.Context, key string) error {
	ctx, cancel := s.budget(ctx, 0)
	defer cancel()
	versioned, err := s.isVersioned(ctx)
	if err != nil {
		return s.result(ctx, "delete", err)
	}
	if !versioned {
		return s.result(ctx, "delete", s.core.RemoveObject(ctx, s.cfg.Bucket, key, minio.RemoveObjectOptions{}))
	}
	held := false
	var versions []string
	for o := range s.core.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: key, WithVersions: true}) {
		if o.Err != nil {
			return s.result(ctx, "delete", o.Err)
		}
		if o.Key != key {
			continue
		}
		versions = append(versions, o.VersionID)
		if !o.IsDeleteMarker {
			held = held || s.held(ctx, key, o.VersionID)
		}
	}
	if held {
		return s.result(ctx, "delete", ErrLocked)
	}
	for _, v := range versions {
		if err := s.core.RemoveObject(ctx, s.cfg.Bucket, key, minio.RemoveObjectOptions{VersionID: v}); err != nil {
			if minio.ToErrorResponse(err).StatusCode == http.StatusForbidden {
				err = fmt.Errorf("%w: %w", ErrLocked, err)
			}
			return s.result(ctx, "delete", err)
		}
	}
	return s.result(ctx, "delete", ctx.Err())
}

// held reports whether a version is under legal hold. It asks first because not every store refuses the deletion.
func (s *shard) held(ctx context.Context, key, version string) bool {
	st, err := s.core.GetObjectLegalHold(ctx, s.cfg.Bucket, key, minio.GetObjectLegalHoldOptions{VersionID: version})
	return err == nil && st != nil && *st == minio.LegalHoldEnabled
}

func (s *shard) hold(ctx context.Context, key string, on bool) error {
	ctx, cancel := s.budget(ctx, 0)
	defer cancel()
	status := minio.LegalHoldDisabled
	if on {
		status = minio.LegalHoldEnabled
	}
	err := s.core.PutObjectLegalHold(ctx, s.cfg.Bucket, key, minio.PutObjectLegalHoldOptions{Status: &status})
	switch minio.ToErrorResponse(err).Code {
	case "InvalidRequest", "NotImplemented", "InvalidBucketState", "ObjectLockConfigurationNotFoundError":
		err = fmt.Errorf("%w: the bucket was not created with object lock", ErrUnsupported)
	}
	return s.result(ctx, "hold", err)
}

// bodyReader lends a reader to an HTTP request and takes it back: the transport may still be reading when the
// request has already failed.
type bodyReader struct {
	mu    sync.Mutex // guards the fields below; held during a read
	r     io.Reader
	cause error // what the reader itself reported
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, io.ErrClosedPipe
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF && b.cause == nil {
		b.cause = err
	}
	return n, err
}

// detach ends the loan and returns the reader's own error if it is about the content.
func (b *bodyReader) detach() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
	if errors.Is(b.cause, context.Canceled) || errors.Is(b.cause, context.DeadlineExceeded) {
		return nil
	}
	return b.cause
}

// putBlob stores a document; create makes it fail with ErrExists if the name is taken on this shard.
func (s *shard) putBlob(ctx context.Context, key string, data []byte, version int64, create bool) error {
	ctx, cancel := s.budget(ctx, int64(len(data)))
	defer cancel()
	opts := minio.PutObjectOptions{
		UserMetadata: map[string]string{metaVersion: strconv.FormatInt(version, 10)}, DisableContentSha256: true,
	}
	if create {
		opts.SetMatchETagExcept("*")
	}
	_, err := s.core.PutObject(ctx, s.cfg.Bucket, key, bytes.NewReader(data), int64(len(data)), "", sum256(data), opts)
	return s.result(ctx, "put", err)
}

// getBlob returns a document and its version.
func (s *shard) getBlob(ctx context.Context, key string) ([]byte, int64, error) {
	ctx, cancel := s.budget(ctx, MaxBlob)
	defer cancel()
	body, info, _, err := s.core.GetObject(ctx, s.cfg.Bucket, key, minio.GetObjectOptions{})
	if err = s.result(ctx, "get", err); err != nil {
		return nil, 0, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, MaxBlob+1))
	if err = s.result(ctx, "get", err); err != nil {
		return nil, 0, err
	}
	version, err := strconv.ParseInt(strings.TrimSpace(info.UserMetadata[metaVersion]), 10, 64)
	if err != nil {
		version = info.LastModified.UnixNano()
	}
	return data, version, nil
}
