package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Probe implements Archive: it writes, reads, lists, creates conditionally and removes a document, and tells whether
// the file system has hard links.
func (d *Dir) Probe(ctx context.Context) (Report, error) {
	began := time.Now()
	r := ShardReport{Shard: LocalShard, Endpoint: d.root}
	step := func(name string, required bool, err error) {
		s := Step{Name: name, Required: required, OK: err == nil}
		if err != nil {
			s.Detail = err.Error()
		}
		r.Steps = append(r.Steps, s)
	}
	name := fmt.Sprintf("probe/%d-%d", os.Getpid(), began.UnixNano())
	data := []byte("0123456789")
	step("put", true, d.PutBlob(ctx, name, data))
	got, err := d.GetBlob(ctx, name)
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("wrote %q, read %q", data, got)
	}
	step("get range", true, err)
	n := 0
	for found, lerr := range d.ListBlobs(ctx, name) {
		if err = lerr; err == nil && found == name {
			n++
		}
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("the document was listed %d times", n)
	}
	step("list", true, err)
	if err = d.CreateBlob(ctx, name, data); errors.Is(err, ErrExists) {
		err = nil
	} else if err == nil {
		err = errors.New("a document was overwritten")
	}
	step("conditional create", true, err)
	step("hard links", false, d.probeLinks())
	step("delete", true, d.DeleteBlob(ctx, name))
	r.Took = time.Since(began)
	if !r.OK() {
		return Report{Shards: []ShardReport{r}}, fmt.Errorf("%w: %s", ErrUnavailable, r)
	}
	return Report{Shards: []ShardReport{r}}, nil
}

// probeLinks reports why files cannot be linked; segments are then copied.
func (d *Dir) probeLinks() error {
	a, b := d.temp(), d.temp()
	defer os.Remove(a)
	defer os.Remove(b)
	if err := os.WriteFile(a, nil, 0o600); err != nil {
		return err
	}
	if err := os.Link(a, b); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: segments will be copied: %w", filepath.Base(d.root), err)
	}
	return nil
}
