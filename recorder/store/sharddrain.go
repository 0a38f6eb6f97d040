package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"skein/recorder/segment"
)

// Draining returns nil if the shard is configured and takes nothing new, so that it can be emptied.
func (s *Shards) Draining(shardName string) error {
	sh, ok := s.byName[shardName]
	switch {
	case !ok:
		return fmt.Errorf("shard %q is not configured", shardName)
	case !sh.cfg.Drain:
		return fmt.Errorf("shard %q still takes new segments: set drain: true for it in every recorder first", shardName)
	}
	return nil
}

// ListShard yields the segments of one shard in order of key. An error ends it.
func (s *Shards) ListShard(ctx context.Context, shardName, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		sh, ok := s.byName[shardName]
		if !ok {
			yield(Entry{}, fmt.Errorf("list shard %q: it is not configured", shardName))
			return
		}
		if !strings.HasPrefix(prefix, segment.KeyPrefix) {
			prefix = segment.KeyPrefix
		}
		sh.list(ctx, prefix, "")(yield)
	}
}

// DrainBlobs gives every document of a draining shard to shards that stay, as many as keep documents, and then removes
// it from the shard. It returns how many it moved; what it could not move stays where it is.
func (s *Shards) DrainBlobs(ctx context.Context, shardName string) (int, error) {
	if err := s.Draining(shardName); err != nil {
		return 0, err
	}
	from := s.byName[shardName]
	moved := 0
	var failed []error
	for e, err := range from.list(ctx, blobDir+"/", "") {
		if err == nil {
			err = s.moveBlob(ctx, from, e.Key)
		}
		if err != nil {
			failed = append(failed, err)
			if ctx.Err() != nil || len(failed) > 20 {
				break
			}
			continue
		}
		moved++
	}
	return moved, errors.Join(failed...)
}

// moveBlob copies one document, version and all. Never is a newer version replaced by an older one.
func (s *Shards) moveBlob(ctx context.Context, from *shard, key string) error {
	data, version, err := from.getBlob(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return fmt.Errorf("move document %s: %w", key, err)
	}
	done := 0
	var failed []error
	stay := slices.DeleteFunc(s.writable(strings.TrimPrefix(key, blobDir+"/")), func(sh *shard) bool { return sh == from })
	for _, sh := range stay {
		if _, have, err := sh.getBlob(ctx, key); err == nil && have >= version {
			done++
			continue
		} else if err != nil && !errors.Is(err, ErrNotFound) {
			failed = append(failed, err)
			continue
		}
		if done >= copies {
			continue
		}
		if err := sh.putBlob(ctx, key, data, version, false); err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	if done < min(copies, len(stay)) {
		return fmt.Errorf("move document %s: on %d shards only: %w", key, done, errors.Join(failed...))
	}
	if err := from.delete(ctx, key); err != nil {
		return fmt.Errorf("move document %s: %w", key, err)
	}
	return nil
}
