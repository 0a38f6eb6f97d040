package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// DefaultInterval is the time between checkpoints.
const DefaultInterval = 5 * time.Minute

// Config is the `evidence` section of the configuration.
type Config struct {
	// Interval is the time between checkpoints. Default 5m.
	Interval time.Duration `yaml:"interval,omitempty"`
	// CopyTo is a folder to which each checkpoint is copied. It should lie where the recorder's owner cannot change it
	// later: another machine's share, a write-once medium. Empty: not copied.
	CopyTo string `yaml:"copy_to,omitempty"`
	// Off leaves checkpoints to another recorder of the same archive: exactly one should write them.
	Off bool `yaml:"off,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c Config) WithDefaults() Config {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	return c
}

// Validate reports every mistake, each beginning with the path of its key.
func (c Config) Validate() error {
	var errs []error
	if c.Interval != 0 && (c.Interval < time.Second || c.Interval > 24*time.Hour) {
		errs = append(errs, fmt.Errorf("evidence.interval: %v: want 1s to 24h", c.Interval))
	}
	if c.CopyTo != "" && !filepath.IsAbs(c.CopyTo) {
		errs = append(errs, fmt.Errorf("evidence.copy_to: %q: want an absolute path", c.CopyTo))
	}
	return errors.Join(errs...)
}

// CopyTo returns a Keeper.Copy that writes each document as a file below dir, which is made if it is missing. It never
// replaces one.
func CopyTo(dir string) func(ctx context.Context, name string, doc []byte) error {
	return func(_ context.Context, name string, doc []byte) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err := writeNew(path, doc, 0o644)
		if errors.Is(err, fs.ErrExist) {
			if have, rerr := os.ReadFile(path); rerr == nil && bytes.Equal(have, doc) {
				return nil // an earlier attempt got this far
			}
			return fmt.Errorf("%s is there already: two archives must not share a folder", path)
		}
		return err
	}
}
