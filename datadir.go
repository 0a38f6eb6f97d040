package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// claimData keeps others out of a data folder, which is created if missing, until the file returned is closed or the
// process ends. A process that does everything wants it for itself alone; the single roles may share it with each
// other.
func claimData(dir string, alone bool) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("data folder %s is in use%s: stop that process first, or use another folder",
			dir, holder(f.Name())), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("data folder: lock %s: %w", f.Name(), err), f.Close())
	}
	if alone { // for the message above; sharers have no single name
		err = errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("process %d\n", os.Getpid())))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("data folder: %w", err), f.Close())
		}
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder names who has the lock, as far as that is known.
func holder(file string) string {
	if b, err := os.ReadFile(file); err == nil && len(b) > 0 {
		return " by " + strings.TrimSpace(string(b))
	}
	return ""
}
