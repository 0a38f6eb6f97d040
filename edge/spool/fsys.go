package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is what the spool needs of an open segment file.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// fsys is the seam through which every change of the disk goes, so that tests can make it fail.
type fsys struct {
	create  func(path string) (file, error) // exclusive
	reopen  func(path string) (file, error) // for appending
	syncDir func(path string) error
	rename  func(from, to string) error
	remove  func(path string) error
	statfs  func(path string) (fsFill, error)
	clocks  clocks
}

// fsFill is how full a file system is.
type fsFill struct {
	size, free         int64 // bytes; free to unprivileged users
	inodes, inodesFree int64
}

func osFS() fsys {
	return fsys{
		create: func(path string) (file, error) {
			return openFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND)
		},
		reopen:  func(path string) (file, error) { return openFile(path, os.O_WRONLY|os.O_APPEND) },
		syncDir: syncDir,
		rename:  os.Rename,
		remove: func(path string) error {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
		statfs: statFS,
		clocks: osClocks(),
	}
}

// dataFile syncs with fdatasync: the modification time need not be durable.
type dataFile struct{ *os.File }

func (f dataFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			if err != nil {
				return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
			}
			return nil
		}
	}
}

func openFile(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return dataFile{f}, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("fsync folder %s: %w", path, err)
	}
	return nil
}

func statFS(path string) (fsFill, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fsFill{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	bs := st.Bsize
	return fsFill{
		size: int64(st.Blocks) * bs, free: int64(st.Bavail) * bs, // block counts fit
		inodes: int64(st.Files), inodesFree: int64(st.Ffree), // inode counts fit
	}, nil
}

// writeAtomic makes path hold data, durably but for the folder's entry: the caller syncs the folder.
func (f fsys) writeAtomic(path string, data []byte) (err error) {
	tmp := path + tmpSuffix
	if err := f.remove(tmp); err != nil {
		return err
	}
	w, err := f.create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.remove(tmp)
		}
	}()
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return f.rename(tmp, path)
}

// lockDir takes the spool's folder for this process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the spool's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("spool %s is used by another process: %w", dir, err)
	}
	return f, nil
}
