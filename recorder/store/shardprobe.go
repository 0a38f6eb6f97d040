package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

// Probe implements Archive.
func (s *Shards) Probe(ctx context.Context) (Report, error) {
	var r Report
	var failed []error
	for _, sh := range s.all {
		sr := sh.probe(ctx)
		r.Shards = append(r.Shards, sr)
		if !sr.OK() {
			failed = append(failed, fmt.Errorf("%w: %s", ErrUnavailable, sr))
		}
	}
	return r, errors.Join(failed...)
}

// prober runs the steps of one shard's conformance test on a throw-away object.
type prober struct {
	s      *shard
	report *ShardReport
	key    string
	data   []byte
}

// probe tests the shard step by step; it goes on after a failed step unless the bucket itself is missing.
func (s *shard) probe(ctx context.Context) ShardReport {
	began := s.now()
	r := ShardReport{Shard: s.cfg.Name, Endpoint: s.cfg.Endpoint + "/" + s.cfg.Bucket}
	p := &prober{s: s, report: &r, key: "probe/" + rand.Text(), data: bytes.Repeat([]byte("0123456789abcdef"), 4096)}
	defer p.clean(ctx)
	if p.step(ctx, "bucket", true, p.bucket) {
		p.step(ctx, "put", true, p.put)
		p.step(ctx, "get range", true, p.getRange)
		p.step(ctx, "list", true, p.list)
		p.step(ctx, "conditional create", true, p.conditional)
		p.step(ctx, "delete", true, p.delete)
		p.step(ctx, "multipart", false, p.multipart)
		p.step(ctx, "lock", s.cfg.Lock, p.lock)
	}
	r.Took = s.now().Sub(began)
	return r
}

func (p *prober) step(ctx context.Context, name string, required bool, f func(context.Context) (string, error)) bool {
	ctx, cancel := p.s.budget(ctx, int64(len(p.data)))
	defer cancel()
	detail, err := f(ctx)
	if err != nil {
		detail = err.Error()
	}
	_ = p.s.result(ctx, "probe", nil2(err, required))
	p.report.Steps = append(p.report.Steps, Step{Name: name, Required: required, OK: err == nil, Detail: detail})
	return err == nil
}

// nil2 keeps a lacking optional ability from marking the shard as down.
func nil2(err error, required bool) error {
	if !required {
		return nil
	}
	return err
}

func (p *prober) bucket(ctx context.Context) (string, error) {
	c := p.s.core
	ok, err := c.BucketExists(ctx, p.s.cfg.Bucket)
	if err != nil {
		return "", fmt.Errorf("cannot reach it: %w", err)
	}
	if !ok {
		opts := minio.MakeBucketOptions{Region: p.s.cfg.Region, ObjectLocking: p.s.cfg.Lock}
		if err := c.MakeBucket(ctx, p.s.cfg.Bucket, opts); err != nil {
			return "", fmt.Errorf("bucket is missing and cannot be created: %w", err)
		}
		p.report.Created = true
	}
	p.s.versioned.Store(0)
	v, err := p.s.isVersioned(ctx)
	if err != nil {
		return "", err
	}
	if v {
		return "versioned: deleting removes every version", nil
	}
	return "", nil
}

func (p *prober) opts() minio.PutObjectOptions {
	return minio.PutObjectOptions{
		UserMetadata: map[string]string{metaManifest: `{"probe":"` + p.key + `"}`}, DisableContentSha256: true,
	}
}

func (p *prober) upload(ctx context.Context, sum string, opts minio.PutObjectOptions) error {
	_, err := p.s.core.PutObject(ctx, p.s.cfg.Bucket, p.key, bytes.NewReader(p.data), int64(len(p.data)), "", sum, opts)
	return err
}

func (p *prober) put(ctx context.Context) (string, error) {
	if err := p.upload(ctx, sum256([]byte("other")), p.opts()); err == nil {
		return "", errors.New("content that does not match its SHA-256 was accepted")
	}
	if err := p.upload(ctx, sum256(p.data), p.opts()); err != nil {
		return "", err
	}
	info, err := p.s.core.StatObject(ctx, p.s.cfg.Bucket, p.key, minio.StatObjectOptions{})
	if err != nil {
		return "", err
	}
	if want := p.opts().UserMetadata[metaManifest]; info.UserMetadata[metaManifest] != want {
		return "", fmt.Errorf("user metadata came back as %q instead of %q", info.UserMetadata[metaManifest], want)
	}
	return "", nil
}

func (p *prober) getRange(ctx context.Context) (string, error) {
	body, total, err := p.s.get(ctx, p.key, 1001, 333)
	if err != nil {
		return "", err
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	if total != int64(len(p.data)) || !bytes.Equal(got, p.data[1001:1334]) {
		return "", fmt.Errorf("asked for 333 bytes at 1001, got %d bytes of %d", len(got), total)
	}
	return "", nil
}

func (p *prober) list(ctx context.Context) (string, error) {
	n := 0
	for e, err := range p.s.list(ctx, p.key, "") {
		if err != nil {
			return "", err
		}
		if e.Key == p.key && e.Size == int64(len(p.data)) {
			n++
		}
	}
	if n != 1 {
		return "", fmt.Errorf("the object was listed %d times", n)
	}
	return "", nil
}

func (p *prober) conditional(ctx context.Context) (string, error) {
	opts := p.opts()
	opts.SetMatchETagExcept("*")
	err := p.upload(ctx, sum256(p.data), opts)
	if err == nil {
		return "", errors.New("If-None-Match: * was ignored, an object was overwritten")
	}
	if !errors.Is(s3Error(err), ErrExists) {
		return "", err
	}
	return "", nil
}

func (p *prober) delete(ctx context.Context) (string, error) {
	if err := p.s.delete(ctx, p.key); err != nil {
		return "", err
	}
	if _, err := p.s.core.StatObject(ctx, p.s.cfg.Bucket, p.key, minio.StatObjectOptions{}); err == nil {
		return "", errors.New("the object is still there")
	}
	return "", nil
}

func (p *prober) multipart(ctx context.Context) (string, error) {
	c, b := p.s.core, p.s.cfg.Bucket
	id, err := c.NewMultipartUpload(ctx, b, p.key, minio.PutObjectOptions{})
	if err != nil {
		return "", err
	}
	part, err := c.PutObjectPart(ctx, b, p.key, id, 1, bytes.NewReader(p.data), int64(len(p.data)),
		minio.PutObjectPartOptions{})
	if err == nil {
		_, err = c.CompleteMultipartUpload(ctx, b, p.key, id,
			[]minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}, minio.PutObjectOptions{})
	}
	if err != nil {
		return "", errors.Join(err, c.AbortMultipartUpload(ctx, b, p.key, id))
	}
	return "", p.s.delete(ctx, p.key)
}

// lock tests that an object under legal hold really survives a deletion: stores were seen that accept the hold and
// delete all the same.
func (p *prober) lock(ctx context.Context) (string, error) {
	if err := p.upload(ctx, sum256(p.data), p.opts()); err != nil {
		return "", err
	}
	if err := p.s.hold(ctx, p.key, true); err != nil {
		return "", err
	}
	info, err := p.s.core.StatObject(ctx, p.s.cfg.Bucket, p.key, minio.StatObjectOptions{})
	if err != nil {
		return "", err
	}
	err = p.s.core.RemoveObject(ctx, p.s.cfg.Bucket, p.key, minio.RemoveObjectOptions{VersionID: info.VersionID})
	if err == nil {
		return "", errors.New("an object under legal hold was deleted")
	}
	return "", p.s.hold(ctx, p.key, false)
}

// clean removes what a failed step left.
func (p *prober) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if len(p.report.Steps) > 1 {
		_ = p.s.hold(ctx, p.key, false)
		_ = p.s.delete(ctx, p.key)
	}
}
