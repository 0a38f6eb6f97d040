package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"skein/recorder/segment"
)

const (
	sidecarSuffix = ".json" // manifest beside an object
	holdSuffix    = ".hold" // legal hold marker beside an object
	tempDir       = ".tmp"  // below the root: unfinished files, never listed
	blobDir       = "meta"  // below the root: documents
)

// Dir is the directory store: objects are plain files named by their key below a root, each with its manifest in a
// file of the same name plus ".json". A file with an object's name is always whole: it is written elsewhere, synced,
// and linked into place. Dir is the one shard LocalShard.
type Dir struct {
	root string
	seq  atomic.Uint64 // makes temporary names unique
	// hashed counts content checks; tests read it.
	hashed atomic.Int64
}

// OpenDir opens or creates the store below root. Unfinished files older than an hour are removed.
func OpenDir(root string) (*Dir, error) {
	d := &Dir{root: filepath.Clean(root)}
	if err := os.MkdirAll(filepath.Join(d.root, tempDir), 0o750); err != nil {
		return nil, fmt.Errorf("open store %s: %w", root, err)
	}
	old, err := os.ReadDir(filepath.Join(d.root, tempDir))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", root, err)
	}
	for _, e := range old {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(d.root, tempDir, e.Name()))
		}
	}
	return d, nil
}

// Close implements Archive.
func (d *Dir) Close() error { return nil }

func (d *Dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *Dir) temp() string {
	return filepath.Join(d.root, tempDir, fmt.Sprintf("%d-%d-%d", os.Getpid(), time.Now().UnixNano(), d.seq.Add(1)))
}

// Put implements Store. Order on disk: manifest, then object, then both names are synced.
func (d *Dir) Put(ctx context.Context, m segment.Manifest, src Source) (string, error) {
	key, err := checkManifest(m)
	if err != nil {
		return "", err
	}
	if err := d.put(ctx, m, key, src); err != nil {
		return "", fmt.Errorf("put segment %s into %s: %w", key, d.root, diskError(err))
	}
	return LocalShard, nil
}

func (d *Dir) put(ctx context.Context, m segment.Manifest, key string, src Source) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done, err := d.stored(m, key)
	if err != nil || done {
		return err
	}
	side, err := encodeManifest(m)
	if err != nil {
		return err
	}
	from, made, err := d.bring(ctx, m, src)
	if err != nil {
		return err
	}
	if made {
		defer os.Remove(from)
	}
	final := d.path(key)
	return d.inFolder(filepath.Dir(final), func() error {
		if err := d.writeFile(final+sidecarSuffix, []byte(side), true); err != nil {
			return err
		}
		return d.place(from, final, made)
	})
}

// stored reports whether the object of m is already there and whole. A file that is not what its own manifest says is
// moved out of the way of a better one.
func (d *Dir) stored(m segment.Manifest, key string) (bool, error) {
	final := d.path(key)
	info, err := os.Stat(final)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	have, merr := d.manifest(key)
	if merr == nil && have.SHA256 != m.SHA256 {
		return false, fmt.Errorf("%w: SHA-256 %s, asked to store %s", ErrConflict, have.SHA256, m.SHA256)
	}
	if merr == nil && info.Size() == m.Bytes {
		return true, syncDir(filepath.Dir(final))
	}
	return false, os.Rename(final, d.temp())
}

// bring returns a synced file on this file system with the checked content of src, and whether it is a copy made here.
func (d *Dir) bring(ctx context.Context, m segment.Manifest, src Source) (path string, made bool, err error) {
	in := src.Reader
	if src.Path != "" {
		f, err := os.Open(src.Path)
		if err != nil {
			return "", false, err
		}
		defer f.Close()
		if sameDevice(f, d.root) {
			d.hashed.Add(1)
			if _, err := io.Copy(io.Discard, newCheckedReader(ctx, f, m)); err != nil {
				return "", false, err
			}
			return src.Path, false, f.Sync()
		}
		in = f
	} else if src.Size != m.Bytes {
		return "", false, fmt.Errorf("%w: source of %d bytes, manifest says %d", ErrHash, src.Size, m.Bytes)
	}
	d.hashed.Add(1)
	path = d.temp()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", false, err
	}
	_, err = io.Copy(f, newCheckedReader(ctx, in, m))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return "", false, err
	}
	return path, true, nil
}

// place gives the file its final name. A file system without links gets the copy by rename.
func (d *Dir) place(from, final string, made bool) error {
	err := os.Link(from, final)
	switch {
	case err == nil, errors.Is(err, fs.ErrExist): // the same segment was stored by another call meanwhile
		return nil
	case made:
		return os.Rename(from, final)
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	tmp := d.temp()
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, final)
}

// Open implements Store.
func (d *Dir) Open(ctx context.Context, _, key string) (Object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", key, diskError(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open segment %s: %w", key, err)
	}
	return &fileObject{ctx: ctx, f: f, size: info.Size()}, nil
}

// Delete implements Store: the object first, then its manifest, so that an object never lacks one.
func (d *Dir) Delete(ctx context.Context, shard, key string) error {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return err
	}
	if shard != LocalShard && shard != "" {
		return nil // an object of a shard that is not here
	}
	final := d.path(key)
	if _, err := os.Stat(final + holdSuffix); err == nil {
		return fmt.Errorf("delete segment %s: %w", key, ErrLocked)
	}
	for _, name := range []string{final, final + sidecarSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete segment %s: %w", key, err)
		}
	}
	for dir := filepath.Dir(final); len(dir) > len(d.root); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // not empty
			break
		}
	}
	return nil
}

// Manifest implements Store.
func (d *Dir) Manifest(_ context.Context, _, key string) (segment.Manifest, error) {
	if err := checkKey(key); err != nil {
		return segment.Manifest{}, err
	}
	m, err := d.manifest(key)
	if err != nil {
		return m, fmt.Errorf("read %w", diskError(err))
	}
	return m, nil
}

func (d *Dir) manifest(key string) (segment.Manifest, error) {
	raw, err := os.ReadFile(d.path(key) + sidecarSuffix)
	if err != nil {
		return segment.Manifest{}, err
	}
	return decodeManifest(key, raw)
}

// Hold implements Archive with a marker file: it guards against this program, not against the file system's owner.
func (d *Dir) Hold(_ context.Context, _, key string, on bool) error {
	if err := checkKey(key); err != nil {
		return err
	}
	final := d.path(key)
	if !on {
		if err := os.Remove(final + holdSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("release segment %s: %w", key, err)
		}
		return nil
	}
	if _, err := os.Stat(final); err != nil {
		return fmt.Errorf("hold segment %s: %w", key, diskError(err))
	}
	if err := d.writeFile(final+holdSuffix, nil, true); err != nil {
		return fmt.Errorf("hold segment %s: %w", key, err)
	}
	return syncDir(filepath.Dir(final))
}

// Cameras implements Archive.
func (d *Dir) Cameras(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path(strings.TrimSuffix(segment.KeyPrefix, "/")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list cameras: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
