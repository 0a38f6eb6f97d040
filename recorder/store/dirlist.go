package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skein/recorder/segment"
)

// List implements Store. It holds the names of one directory per level in memory.
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return d.ListAfter(ctx, prefix, "")
}

// ListAfter implements Archive.
func (d *Dir) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if !strings.HasPrefix(prefix, segment.KeyPrefix) {
			if !strings.HasPrefix(segment.KeyPrefix, prefix) {
				return
			}
			prefix = segment.KeyPrefix
		}
		w := dirWalk{ctx: ctx, root: d.root, prefix: prefix, after: after, suffix: ".mp4"}
		w.walk(segment.KeyPrefix, func(key string, e fs.DirEntry) bool {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return true // deleted since
			}
			if err != nil {
				return yield(Entry{}, fmt.Errorf("list %s: %w", key, err))
			}
			return yield(Entry{Shard: LocalShard, Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
		})
		if w.err != nil {
			yield(Entry{}, fmt.Errorf("list %s: %w", prefix, w.err))
		}
	}
}

// dirWalk visits files below root in ascending order of their slash-separated names.
type dirWalk struct {
	ctx    context.Context //nolint:containedctx // lives for one listing
	root   string
	prefix string // only names that begin so
	after  string // only names greater than this
	suffix string // only names that end so
	err    error
}

// walk visits the directory named dir (ending in a slash) and reports whether to go on.
func (w *dirWalk) walk(dir string, visit func(string, fs.DirEntry) bool) bool {
	if w.err = w.ctx.Err(); w.err != nil {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		w.err = err
		return false
	}
	order := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/" // as it appears in longer names
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(order(a), order(b)) })
	for _, e := range entries {
		name := dir + order(e)
		if e.IsDir() {
			inPrefix := strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)
			passed := name < w.after && !strings.HasPrefix(w.after, name)
			if inPrefix && !passed && !w.walk(name, visit) {
				return false
			}
			continue
		}
		if strings.HasPrefix(name, w.prefix) && strings.HasSuffix(name, w.suffix) && name > w.after &&
			e.Type().IsRegular() && !visit(name, e) {
			return false
		}
	}
	return true
}

func (d *Dir) blobPath(name string) (string, error) {
	if err := checkKey(name); err != nil {
		return "", err
	}
	return filepath.Join(d.root, blobDir, filepath.FromSlash(name)), nil
}

// PutBlob implements Blobs.
func (d *Dir) PutBlob(ctx context.Context, name string, data []byte) error {
	return d.writeBlob(ctx, name, data, true)
}

// CreateBlob implements Blobs.
func (d *Dir) CreateBlob(ctx context.Context, name string, data []byte) error {
	return d.writeBlob(ctx, name, data, false)
}

func (d *Dir) writeBlob(ctx context.Context, name string, data []byte, replace bool) error {
	path, err := d.blobPath(name)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	if len(data) > MaxBlob {
		return fmt.Errorf("put document %s: %d bytes, at most %d", name, len(data), MaxBlob)
	}
	err = d.inFolder(filepath.Dir(path), func() error { return d.writeFile(path, data, replace) })
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create document %s: %w", name, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("put document %s: %w", name, diskError(err))
	}
	return nil
}

// GetBlob implements Blobs.
func (d *Dir) GetBlob(_ context.Context, name string) ([]byte, error) {
	path, err := d.blobPath(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("get document %s: %w", name, diskError(err))
	}
	return data, nil
}

// DeleteBlob implements Blobs.
func (d *Dir) DeleteBlob(_ context.Context, name string) error {
	path, err := d.blobPath(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete document %s: %w", name, err)
	}
	return nil
}

// ListBlobs implements Blobs.
func (d *Dir) ListBlobs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := dirWalk{ctx: ctx, root: filepath.Join(d.root, blobDir), prefix: prefix}
		w.walk("", func(name string, _ fs.DirEntry) bool { return yield(name, nil) })
		if w.err != nil {
			yield("", fmt.Errorf("list documents %s: %w", prefix, w.err))
		}
	}
}
