package main

import (
	"io/fs"
	"iter"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare of what the process may have is where the collector begins to work harder. The rest is for what it does
// not manage, such as the pages of files and sockets.
const memoryShare = 0.8

// limitMemory tells the collector how much memory there is, so that a process that is pressed for it collects more
// often instead of being killed. GOMEMLIMIT in the environment is obeyed instead.
func limitMemory(log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if n := memoryBound(os.DirFS("/")); n > 0 {
		limit := int64(float64(n) * memoryShare)
		debug.SetMemoryLimit(limit)
		log.Debug("memory limit", "bytes", limit)
	}
}

// memoryBound returns how much memory the process may have: the least of the machine's and that of each cgroup it is
// in; 0 if nothing tells. root is the file system's.
func memoryBound(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	take := func(text string, scale int64) {
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && n > 0 && n < math.MaxInt64/scale {
			least = min(least, n*scale)
		}
	}
	for line := range linesOf(root, "proc/self/cgroup") {
		line = strings.TrimSpace(line)
		id, group, _ := strings.Cut(line, ":")
		controllers, group, _ := strings.Cut(group, ":")
		folder, file := "sys/fs/cgroup", "memory.max"
		switch {
		case id == "0" && controllers == "": // version 2
		case strings.Contains(","+controllers+",", ",memory,"):
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for g := path.Clean("/" + group); ; g = path.Dir(g) {
			if b, err := fs.ReadFile(root, path.Join(folder, g, file)); err == nil {
				take(string(b), 1)
			}
			if g == "/" {
				break
			}
		}
	}
	for line := range linesOf(root, "proc/meminfo") {
		if total, ok := strings.CutPrefix(strings.TrimSpace(line), "MemTotal:"); ok {
			take(strings.TrimSuffix(total, "kB"), 1<<10)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// linesOf yields the lines of a file, none if it cannot be read.
func linesOf(root fs.FS, name string) iter.Seq[string] {
	b, _ := fs.ReadFile(root, name)
	return strings.Lines(string(b))
}
