package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"skein/recorder/segment"
)

// listRetries is how often a listing of one shard is resumed after a failure without any progress between.
const listRetries = 3

// list yields the shard's objects below prefix behind after, in order of key. It resumes after a failed page.
func (s *shard) list(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		noOwner := false
		for tries := 0; ; tries++ {
			var failed error
			opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: after, FetchOwner: &noOwner}
			for o := range s.core.ListObjectsIter(ctx, s.cfg.Bucket, opts) {
				if o.Err != nil {
					failed = o.Err
					break
				}
				tries, after = 0, o.Key
				if !yield(Entry{Shard: s.cfg.Name, Key: o.Key, Size: o.Size, Modified: o.LastModified}, nil) {
					return
				}
			}
			if ctx.Err() != nil {
				failed = ctx.Err() // the client ends a canceled listing without a word
			}
			err := s.result(ctx, "list", failed)
			if err == nil {
				return
			}
			if ctx.Err() != nil || tries+1 >= listRetries {
				yield(Entry{}, err)
				return
			}
			wait(ctx, time.Duration(tries+1)*200*time.Millisecond)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// cursor is the head of one shard's listing.
type cursor struct {
	next  func() (Entry, error, bool)
	entry Entry
}

// merge yields the listings of all shards in order of key, then shard. A shard that fails is reported and left out.
func (s *Shards) merge(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var heads []*cursor
		advance := func(c *cursor) (alive, goOn bool) {
			e, err, ok := c.next()
			if !ok {
				return false, true
			}
			if err != nil {
				return false, yield(Entry{}, err)
			}
			c.entry = e
			return true, true
		}
		for _, sh := range s.all {
			next, stop := iter.Pull2(sh.list(ctx, prefix, after))
			defer stop()
			c := &cursor{next: next}
			alive, goOn := advance(c)
			if !goOn {
				return
			}
			if alive {
				heads = append(heads, c)
			}
		}
		for len(heads) > 0 {
			first := 0
			for i, c := range heads {
				if c.entry.Key < heads[first].entry.Key {
					first = i
				}
			}
			if !yield(heads[first].entry, nil) {
				return
			}
			alive, goOn := advance(heads[first])
			if !goOn {
				return
			}
			if !alive {
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
}

// List implements Store.
func (s *Shards) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return s.ListAfter(ctx, prefix, "")
}

// ListAfter implements Archive.
func (s *Shards) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	if !strings.HasPrefix(prefix, segment.KeyPrefix) {
		if !strings.HasPrefix(segment.KeyPrefix, prefix) {
			return func(func(Entry, error) bool) {}
		}
		prefix = segment.KeyPrefix
	}
	return s.merge(ctx, prefix, after)
}

// Cameras implements Archive. A shard that does not answer makes it fail: a list with holes would mislead.
func (s *Shards) Cameras(ctx context.Context) ([]string, error) {
	seen := make(map[string]bool)
	for _, sh := range s.all {
		opts := minio.ListObjectsOptions{Prefix: segment.KeyPrefix}
		var failed error
		for o := range sh.core.ListObjectsIter(ctx, sh.cfg.Bucket, opts) {
			if failed = o.Err; failed != nil {
				break
			}
			if id, ok := strings.CutSuffix(strings.TrimPrefix(o.Key, segment.KeyPrefix), "/"); ok {
				seen[id] = true
			}
		}
		if err := sh.result(ctx, "list", errors.Join(failed, ctx.Err())); err != nil {
			return nil, fmt.Errorf("list cameras: %w", err)
		}
	}
	ids := make([]string, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// copies is on how many shards a document is kept, if there are as many.
const copies = 2

// PutBlob implements Blobs.
func (s *Shards) PutBlob(ctx context.Context, name string, data []byte) error {
	return s.putBlob(ctx, name, data, false)
}

// CreateBlob implements Blobs. While shards are down, two creators may each reach another shard; the newer wins.
func (s *Shards) CreateBlob(ctx context.Context, name string, data []byte) error {
	if _, err := s.GetBlob(ctx, name); err == nil {
		return fmt.Errorf("create document %s: %w", name, ErrExists)
	}
	return s.putBlob(ctx, name, data, true)
}

func (s *Shards) putBlob(ctx context.Context, name string, data []byte, create bool) error {
	if err := checkKey(name); err != nil {
		return err
	}
	if len(data) > MaxBlob {
		return fmt.Errorf("put document %s: %d bytes, at most %d", name, len(data), MaxBlob)
	}
	version := s.now().UnixNano()
	done := 0
	var failed []error
	for _, sh := range s.writable(name) {
		err := sh.putBlob(ctx, blobDir+"/"+name, data, version, create && done == 0)
		if errors.Is(err, ErrExists) {
			return fmt.Errorf("create document %s: %w", name, err)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if done++; done == copies {
			break
		}
	}
	if done == 0 {
		return fmt.Errorf("put document %s: %w", name, errors.Join(failed...))
	}
	return nil
}

// GetBlob implements Blobs: all shards are asked at once, the newest version wins.
func (s *Shards) GetBlob(ctx context.Context, name string) ([]byte, error) {
	if err := checkKey(name); err != nil {
		return nil, err
	}
	type answer struct {
		data    []byte
		version int64
		err     error
	}
	answers := make([]answer, len(s.all))
	var wg sync.WaitGroup
	for i, sh := range s.all {
		wg.Go(func() {
			data, version, err := sh.getBlob(ctx, blobDir+"/"+name)
			answers[i] = answer{data, version, err}
		})
	}
	wg.Wait()
	best := answer{version: -1 << 63}
	var failed []error
	for _, a := range answers {
		switch {
		case a.err == nil && a.version >= best.version:
			best = a
		case a.err != nil && !errors.Is(a.err, ErrNotFound):
			failed = append(failed, a.err)
		}
	}
	switch {
	case best.data != nil:
		return best.data, nil
	case len(failed) > 0:
		return nil, fmt.Errorf("get document %s: %w", name, errors.Join(failed...))
	}
	return nil, fmt.Errorf("get document %s: %w", name, ErrNotFound)
}

// DeleteBlob implements Blobs. It fails if any shard cannot be reached: an old copy there would come back.
func (s *Shards) DeleteBlob(ctx context.Context, name string) error {
	if err := checkKey(name); err != nil {
		return err
	}
	var failed []error
	for _, sh := range s.all {
		if err := sh.delete(ctx, blobDir+"/"+name); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("delete document %s: %w", name, errors.Join(failed...))
	}
	return nil
}

// ListBlobs implements Blobs.
func (s *Shards) ListBlobs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		last := ""
		for e, err := range s.merge(ctx, blobDir+"/"+prefix, "") {
			name := strings.TrimPrefix(e.Key, blobDir+"/")
			if err == nil && name == last {
				continue
			}
			last = name
			if !yield(name, err) {
				return
			}
		}
	}
}
