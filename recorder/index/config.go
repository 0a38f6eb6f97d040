package index

import (
	"errors"
	"fmt"
	"net/url"

	"skein/config/secret"
)

// Config tells where the index is kept: inside the process, or in Redis. Exactly one of the two.
type Config struct {
	Embedded bool `yaml:"embedded,omitempty"`
	// Redis holds one URL (redis:// or rediss://) of a single server, or several of a cluster's or Sentinel's nodes.
	Redis    []string      `yaml:"redis,omitempty"`
	Username string        `yaml:"username,omitempty"` // overrides the URL's
	Password secret.String `yaml:"password,omitempty"` // overrides the URL's
	Cluster  bool          `yaml:"cluster,omitempty"`  // the one URL is a cluster's entry point
	Sentinel string        `yaml:"sentinel,omitempty"` // name of the master that the Sentinels at the URLs watch
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
