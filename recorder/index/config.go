package index

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
)

// Config tells where the index is kept: inside the process, or in Redis. Exactly one of the two.
type Config struct {
	Embedded bool `yaml:"embedded"`
	// Redis holds one URL (redis:// or rediss://) of a single server, or several of a cluster's or Sentinel's nodes.
	Redis    []string `yaml:"redis"`
	Username string   `yaml:"username"` // overrides the URL's
	Password Secret   `yaml:"password"` // overrides the URL's
	Cluster  bool     `yaml:"cluster"`  // the one URL is a cluster's entry point
	Sentinel string   `yaml:"sentinel"` // name of the master that the Sentinels at the URLs watch
}

// Validate reports the first mistake. URLs are named without their password.
func (c Config) Validate() error {
	if c.Embedded == (len(c.Redis) > 0) {
		return errors.New("index: set either embedded or redis")
	}
	if c.Cluster && c.Sentinel != "" {
		return errors.New("index: cluster and sentinel exclude each other")
	}
	for i, raw := range c.Redis {
		u, err := url.Parse(raw)
		if err != nil {
			return fmt.Errorf("index: redis[%d]: not a URL", i) // the parser's error would quote the password
		}
		if (u.Scheme != "redis" && u.Scheme != "rediss") || u.Host == "" {
			return fmt.Errorf("index: redis[%d]: %s: want redis://host:port/db or rediss://…", i, u.Redacted())
		}
	}
	return nil
}

// Secret is a text that no log, error or dump shows. Reveal returns it.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
