package edge

import (
	"errors"
	"fmt"
	"time"
)

// Config is the `pull` section of the configuration: how cameras are pulled. The zero value of each field takes its
// default.
type Config struct {
	// Dials bounds the connection attempts under way at once, DialsPerHost those to one host: many cameras behind one
	// recorder must not be stormed.
	Dials        int `yaml:"dials,omitempty"`
	DialsPerHost int `yaml:"dials_per_host,omitempty"`
	// ConnectTimeout bounds everything up to the answer to PLAY.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// BytesTimeout, RTPTimeout and KeyTimeout are the three liveness clocks: how long there may be no byte, no RTP of our
	// session, no decodable picture. The first key frame of a session may take nine times KeyTimeout while pictures come.
	BytesTimeout time.Duration `yaml:"bytes_timeout,omitempty"`
	RTPTimeout   time.Duration `yaml:"rtp_timeout,omitempty"`
	KeyTimeout   time.Duration `yaml:"key_timeout,omitempty"`
	// RetryMin and RetryMax bound the exponential back-off between attempts; each pause is jittered.
	RetryMin time.Duration `yaml:"retry_min,omitempty"`
	RetryMax time.Duration `yaml:"retry_max,omitempty"`
	// Linger is how long an on-demand profile is still pulled after the last viewer left.
	Linger time.Duration `yaml:"linger,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c Config) WithDefaults() Config {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Dials == 0 {
		c.Dials = 64
	}
	if c.DialsPerHost == 0 {
		c.DialsPerHost = 16
	}
	def(&c.ConnectTimeout, 10*time.Second)
	def(&c.BytesTimeout, 5*time.Second)
	def(&c.RTPTimeout, 8*time.Second)
	def(&c.KeyTimeout, 20*time.Second)
	def(&c.RetryMin, time.Second)
	def(&c.RetryMax, 30*time.Second)
	def(&c.Linger, 20*time.Second)
	return c
}

// Validate reports every mistake in a configuration with defaults, one line each, with the path of the key.
func (c Config) Validate() error {
	var errs []error
	if c.Dials < 1 || c.DialsPerHost < 1 {
		errs = append(errs, fmt.Errorf("pull.dials, pull.dials_per_host: want at least 1"))
	}
	for _, d := range []struct {
		key string
		v   time.Duration
	}{
		{"connect_timeout", c.ConnectTimeout},
		{"bytes_timeout", c.BytesTimeout},
		{"rtp_timeout", c.RTPTimeout},
		{"key_timeout", c.KeyTimeout},
		{"retry_min", c.RetryMin},
	} {
		if d.v < 100*time.Millisecond || d.v > time.Hour {
			errs = append(errs, fmt.Errorf("pull.%s: %v: want 100ms to 1h", d.key, d.v))
		}
	}
	if c.RetryMax < c.RetryMin {
		errs = append(errs, fmt.Errorf("pull.retry_max: %v is less than retry_min %v", c.RetryMax, c.RetryMin))
	}
	if c.Linger < 0 {
		errs = append(errs, fmt.Errorf("pull.linger: %v: want 0 or more", c.Linger))
	}
	return errors.Join(errs...)
}
