package store

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"skein/config/secret"
)

// Config names where the archive is kept: a directory, or shards. Exactly one of the two.
type Config struct {
	Dir    string        `yaml:"dir,omitempty"`
	Shards []ShardConfig `yaml:"shards,omitempty"`
}

// ShardConfig is one bucket of an S3 endpoint.
type ShardConfig struct {
	// Name is what index records call the shard. It must never change while the bucket holds footage.
	Name      string        `yaml:"name"`
	Endpoint  string        `yaml:"endpoint"` // host:port
	Bucket    string        `yaml:"bucket"`
	AccessKey string        `yaml:"access_key"`
	SecretKey secret.String `yaml:"secret_key"`
	TLS       bool          `yaml:"tls,omitempty"`
	Region    string        `yaml:"region,omitempty"`  // default us-east-1
	Weight    float64       `yaml:"weight,omitempty"`  // share of the cameras; default 1
	Drain     bool          `yaml:"drain,omitempty"`   // read, but take nothing new
	Lock      bool          `yaml:"lock,omitempty"`    // create the bucket with object lock
	Timeout   time.Duration `yaml:"timeout,omitempty"` // how long the endpoint may take to begin an answer; default 10s
}

// Validate reports the first mistake.
func (c Config) Validate() error {
	if (c.Dir == "") == (len(c.Shards) == 0) {
		return errors.New("store: set either dir or shards")
	}
	seen := make(map[string]bool)
	buckets := make(map[string]string)
	open := 0
	for i, s := range c.Shards {
		if err := s.validate(); err != nil {
			return fmt.Errorf("store: shards[%d]: %w", i, err)
		}
		if seen[s.Name] {
			return fmt.Errorf("store: shards[%d]: name %q is used twice", i, s.Name)
		}
		seen[s.Name] = true
		at := s.Endpoint + "/" + s.Bucket
		if other, ok := buckets[at]; ok {
			return fmt.Errorf("store: shards[%d]: bucket %s is already shard %q", i, at, other)
		}
		buckets[at] = s.Name
		if !s.Drain {
			open++
		}
	}
	if len(c.Shards) > 0 && open == 0 {
		return errors.New("store: every shard has drain set: at least one must take new segments")
	}
	if len(c.Shards) > 200 {
		return errors.New("store: at most 200 shards")
	}
	return nil
}

func (s ShardConfig) validate() error {
	name := regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
	switch {
	case !name.MatchString(s.Name):
		return fmt.Errorf("name %q: want 1 to 63 of a-z, 0-9, dot and dash", s.Name)
	case s.Endpoint == "":
		return errors.New("endpoint is missing: want host:port")
	case !name.MatchString(s.Bucket) || len(s.Bucket) < 3:
		return fmt.Errorf("bucket %q: want 3 to 63 of a-z, 0-9, dot and dash", s.Bucket)
	case s.AccessKey == "" || s.SecretKey.IsZero():
		return errors.New("access_key and secret_key are both needed")
	case s.Weight < 0 || s.Weight > 1e6:
		return fmt.Errorf("weight %v: want 0 (meaning 1) to 1000000", s.Weight)
	case s.Timeout < 0:
		return fmt.Errorf("timeout %v is negative", s.Timeout)
	}
	return nil
}

// withDefaults fills what was left out.
func (s ShardConfig) withDefaults() ShardConfig {
	if s.Region == "" {
		s.Region = "us-east-1"
	}
	if s.Weight == 0 {
		s.Weight = 1
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	return s
}
