package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"skein/config"
	"skein/edge/spool"
)

// demoLeast is the smallest cap under which the demonstration is worth starting: some minutes of its 77 cameras.
const demoLeast = 500_000_000

// noRoom is the error about a disk on which the demonstration would not find the room that it may use, nil if it does.
// What an earlier start has written into its folder is its own room.
func (c demoCommand) noRoom() error {
	free, size, err := roomOn(c.Data)
	if err != nil {
		return err
	}
	reserve := spool.Reserve(size)
	have := free - reserve + contents(c.Data)
	if have >= c.MaxBytes {
		return nil
	}
	what := fmt.Sprintf("%s has %s free, and footage is dropped when less than %s is left, "+
		"but the demonstration may use %s", c.Data, megabytes(free), megabytes(reserve), megabytes(c.MaxBytes))
	if fits := have / 10_000_000 * 10_000_000; fits >= demoLeast {
		args := fmt.Sprintf("--max-bytes %d", fits)
		return fmt.Errorf("%s: free some room, or start with: skein demo %s   (make demo DEMO_ARGS=%q)", what, args, args)
	}
	return fmt.Errorf("%s: free some room, or name a folder on a larger disk with --data", what)
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", max(0, n)/1_000_000) }

// roomOn returns the free and the whole space of the file system on which the folder is, or will be.
func roomOn(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	for err = unix.Statfs(dir, &st); err == unix.ENOENT && dir != filepath.Dir(dir); err = unix.Statfs(dir, &st) {
		dir = filepath.Dir(dir)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// contents returns how many bytes of files a folder holds, as far as it can be read.
func contents(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// sayRoom tells of each folder that will be written to whose disk is so full that footage cannot be kept. Whoever
// starts a recorder wants live pictures all the same.
func sayRoom(log *slog.Logger, cfg *config.Config) {
	dirs := []string{cfg.DataDir, cfg.Spool.Dir, cfg.Store.Dir}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if dir == "" {
			continue
		}
		free, size, err := roomOn(dir)
		if err != nil {
			log.Warn("free space is not known", "dir", dir, "error", err)
			continue
		}
		if need := spool.Reserve(size); free < need {
			log.Error("the disk is full: footage is not kept until there is room", "dir", dir, "free", megabytes(free),
				"needed", megabytes(need))
		}
	}
}
