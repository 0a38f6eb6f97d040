package recorder

import (
	"errors"
	"fmt"
	"time"
)

// The defaults of Config.
const (
	DefaultMaxSegment = 1 << 30
	DefaultParallel   = 64
)

// Config is the `archive` section of the configuration. The zero value of each field takes its default.
type Config struct {
	// MaxBytes bounds the archive: above it the oldest footage that is not locked is removed. 0: no bound.
	MaxBytes int64 `yaml:"max_bytes,omitempty"`
	// MinFree is the free space of the store's file system below which the oldest footage is removed. 0: not watched.
	MinFree int64 `yaml:"min_free,omitempty"`
	// MaxSegment is the largest segment accepted, in bytes.
	MaxSegment int64 `yaml:"max_segment,omitempty"`
	// Parallel bounds the segments received at the same time.
	Parallel int `yaml:"parallel,omitempty"`
	// PerNode bounds those of one node. Default: a quarter of Parallel.
	PerNode int `yaml:"per_node,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c Config) WithDefaults() Config {
	if c.MaxSegment == 0 {
		c.MaxSegment = DefaultMaxSegment
	}
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.PerNode == 0 {
		c.PerNode = max(1, c.Parallel/4)
	}
	return c
}

// Validate reports every mistake in the configuration, one line each, with the path of the key.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.MaxBytes >= 0, "archive.max_bytes: %d: want 0 (no limit) or more", c.MaxBytes)
	check(c.MinFree >= 0, "archive.min_free: %d: want 0 (not watched) or more", c.MinFree)
	check(c.MaxSegment >= 0, "archive.max_segment: %d: want 0 (the default) or more", c.MaxSegment)
	check(c.Parallel >= 0 && c.Parallel <= 4096, "archive.parallel: %d: want 1 to 4096", c.Parallel)
	check(c.PerNode >= 0 && c.PerNode <= 4096, "archive.per_node: %d: want 1 to archive.parallel", c.PerNode)
	return errors.Join(errs...)
}

const (
	evictInterval  = 2 * time.Second
	rescanInterval = time.Hour
	maxDuration    = time.Hour // of one segment
	readStall      = 30 * time.Second
)
