package spool

import (
	"errors"
	"fmt"
	"time"
)

// The defaults of Config.
const (
	DefaultSegment   = 30 * time.Second
	DefaultSync      = time.Second
	DefaultSilence   = 10 * time.Second
	DefaultParallel  = 4
	DefaultWarnLeft  = 24 * time.Hour
	DefaultFresh     = 5 * time.Minute
	DefaultRetryMin  = time.Second
	DefaultRetryMax  = 30 * time.Second
	minSegment       = 4 * time.Second
	maxSegment       = 60 * time.Second
	minSync          = 50 * time.Millisecond
	refusedRetryMax  = 10 * time.Minute
	housekeepingTick = 2 * time.Second
)

// Config is the `spool` section of the configuration. The zero value of each field takes its default.
type Config struct {
	// Dir is the spool's folder. One process owns it at a time.
	Dir string `yaml:"dir"`
	// MaxBytes bounds the spool. 0: only the fill of the file system counts.
	MaxBytes int64 `yaml:"max_bytes,omitempty"`
	// Segment is the length after which the next key frame begins a new segment, 4-60 s.
	Segment time.Duration `yaml:"segment,omitempty"`
	// Sync is the longest interval of the group commit; a disk that bears it commits up to four times a second. A power
	// cut costs what was not yet committed, a kill of the process only what was not yet written (about half a second).
	Sync time.Duration `yaml:"sync,omitempty"`
	// Silence is how long nothing may arrive before the open segment is sealed.
	Silence time.Duration `yaml:"silence,omitempty"`
	// Keep holds shipped segments on disk for so long, if there is room. 0: they go with their receipt.
	Keep time.Duration `yaml:"keep,omitempty"`
	// WarnLeft is the time until the spool is full, at the rate at which the backlog grows, below which the spool warns,
	// however empty it still is.
	WarnLeft time.Duration `yaml:"warn_left,omitempty"`
	// Ship tells how segments go to the recorder.
	Ship ShipConfig `yaml:"ship,omitempty"`
}

// ShipConfig tells how segments go to the recorder.
type ShipConfig struct {
	// Parallel bounds the segments under way in each of the two lanes.
	Parallel int `yaml:"parallel,omitempty"`
	// BacklogRate caps the backlog lane, in bytes per second. 0: no cap.
	BacklogRate int64 `yaml:"backlog_rate,omitempty"`
	// NightRate replaces BacklogRate in the hours from NightFrom to NightTo, local time, if NightFrom differs from
	// NightTo. 0: no cap in those hours.
	NightRate int64 `yaml:"night_rate,omitempty"`
	NightFrom int   `yaml:"night_from,omitempty"` // hour, 0-23
	NightTo   int   `yaml:"night_to,omitempty"`   // hour, 0-23
	// Fresh is the age after which an unshipped segment belongs to the backlog.
	Fresh time.Duration `yaml:"fresh,omitempty"`
	// RetryMin and RetryMax bound the exponential back-off while no recorder takes segments.
	RetryMin time.Duration `yaml:"retry_min,omitempty"`
	RetryMax time.Duration `yaml:"retry_max,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c Config) WithDefaults() Config {
	fill(&c.Segment, DefaultSegment)
	fill(&c.Sync, DefaultSync)
	fill(&c.Silence, DefaultSilence)
	fill(&c.WarnLeft, DefaultWarnLeft)
	fill(&c.Ship.Parallel, DefaultParallel)
	fill(&c.Ship.Fresh, DefaultFresh)
	fill(&c.Ship.RetryMin, DefaultRetryMin)
	fill(&c.Ship.RetryMax, max(DefaultRetryMax, c.Ship.RetryMin))
	return c
}

func fill[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate reports every mistake in a configuration with defaults, one line each, with the path of the key.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	within := func(key string, v, low, high time.Duration) {
		check(v >= low && v <= high, "spool.%s: %v: want %v to %v", key, v, low, high)
	}
	check(c.Dir != "", "spool.dir: is missing")
	check(c.MaxBytes >= 0, "spool.max_bytes: %d: want 0 (no limit) or more", c.MaxBytes)
	within("segment", c.Segment, minSegment, maxSegment)
	within("sync", c.Sync, minSync, 10*time.Second)
	within("silence", c.Silence, time.Second, 10*time.Minute)
	check(c.Keep >= 0, "spool.keep: %v: want 0 or more", c.Keep)
	check(c.WarnLeft > 0, "spool.warn_left: %v: want more than 0", c.WarnLeft)
	s := c.Ship
	check(s.Parallel >= 1 && s.Parallel <= 64, "spool.ship.parallel: %d: want 1 to 64", s.Parallel)
	check(s.BacklogRate >= 0, "spool.ship.backlog_rate: %d: want 0 (no cap) or bytes per second", s.BacklogRate)
	check(s.NightRate >= 0, "spool.ship.night_rate: %d: want 0 (no cap) or bytes per second", s.NightRate)
	check(s.NightFrom >= 0 && s.NightFrom <= 23, "spool.ship.night_from: %d: want an hour, 0 to 23", s.NightFrom)
	check(s.NightTo >= 0 && s.NightTo <= 23, "spool.ship.night_to: %d: want an hour, 0 to 23", s.NightTo)
	check(s.Fresh > 0, "spool.ship.fresh: %v: want more than 0", s.Fresh)
	within("ship.retry_min", s.RetryMin, time.Millisecond, time.Hour)
	within("ship.retry_max", s.RetryMax, s.RetryMin, time.Hour)
	return errors.Join(errs...)
}

// rate returns the cap of the backlog lane at t in bytes per second, 0 for none.
func (c ShipConfig) rate(t time.Time) int64 {
	if c.NightFrom == c.NightTo {
		return c.BacklogRate
	}
	h := t.Hour()
	night := h >= c.NightFrom && h < c.NightTo
	if c.NightFrom > c.NightTo {
		night = h >= c.NightFrom || h < c.NightTo
	}
	if night {
		return c.NightRate
	}
	return c.BacklogRate
}
