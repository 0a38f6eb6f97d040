package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fileObject is an open object of the directory store.
type fileObject struct {
	ctx  context.Context //nolint:containedctx // the Object's contract: Open's ctx bounds its reads
	f    *os.File
	size int64
}

func (o *fileObject) Size() int64  { return o.size }
func (o *fileObject) Close() error { return o.f.Close() }

func (o *fileObject) ReadAt(p []byte, off int64) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.f.ReadAt(p, off)
}

func (o *fileObject) Stream(off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off+n > o.size {
		return nil, fmt.Errorf("range %d+%d of %d bytes: %w", off, n, o.size, io.ErrUnexpectedEOF)
	}
	return io.NopCloser(io.NewSectionReader(o, off, n)), nil
}

// sameDevice reports whether the open file lies on the file system of root, so that it can be linked there.
func sameDevice(f *os.File, root string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(root)
	if err1 != nil || err2 != nil || !a.Mode().IsRegular() {
		return false
	}
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Dev == y.Dev
}

// makeDir makes dir and what is missing above it, and syncs each new name.
func (d *Dir) makeDir(dir string) error {
	if len(dir) <= len(d.root) {
		return nil
	}
	err := os.Mkdir(dir, 0o750)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o750)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// inFolder makes dir, lets write put files into it, and syncs it. A deletion that takes an empty folder with it may
// take this one in between: then it is made again.
func (d *Dir) inFolder(dir string, write func() error) error {
	const tries = 10
	for try := 1; ; try++ {
		err := d.makeDir(dir)
		if err == nil {
			err = write()
		}
		if err == nil {
			err = syncDir(dir)
		}
		if try == tries || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// writeFile writes data under a temporary name, syncs it and gives it its name. With replace it replaces a file of that
// name, otherwise it fails with fs.ErrExist. The caller syncs the directory.
func (d *Dir) writeFile(name string, data []byte, replace bool) error {
	tmp := d.temp()
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		if replace {
			err = os.Rename(tmp, name)
		} else {
			err = os.Link(tmp, name)
		}
	}
	if err != nil || !replace {
		_ = os.Remove(tmp)
	}
	return err
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// diskError maps what the file system says to the errors of this package.
func diskError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO),
		errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
