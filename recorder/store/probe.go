package store

import (
	"fmt"
	"strings"
	"time"
)

// Report is the outcome of the conformance test of every shard.
type Report struct {
	Shards []ShardReport `json:"shards"`
}

// ShardReport tells what one shard can do.
type ShardReport struct {
	Shard    string        `json:"shard"`
	Endpoint string        `json:"endpoint"`
	Created  bool          `json:"created"` // the bucket was missing and was made
	Steps    []Step        `json:"steps"`
	Took     time.Duration `json:"took_ns"`
}

// Step is one tested ability.
type Step struct {
	Name     string `json:"name"` // bucket, put, get range, list, conditional create, multipart, delete, lock
	Required bool   `json:"required"`
	OK       bool   `json:"ok"`
	Detail   string `json:"detail,omitempty"` // why not, or a remark
}

// OK reports whether the shard has everything that is required.
func (r ShardReport) OK() bool {
	for _, s := range r.Steps {
		if s.Required && !s.OK {
			return false
		}
	}
	return true
}

// Has reports whether the named step succeeded.
func (r ShardReport) Has(step string) bool {
	for _, s := range r.Steps {
		if s.Name == step {
			return s.OK
		}
	}
	return false
}

// String returns one line: what works, and what is lacking and why.
func (r ShardReport) String() string {
	var good, lack []string
	for _, s := range r.Steps {
		switch {
		case s.OK:
			good = append(good, s.Name)
		case s.Required:
			lack = append(lack, fmt.Sprintf("%s (required): %s", s.Name, s.Detail))
		default:
			lack = append(lack, fmt.Sprintf("%s (optional): %s", s.Name, s.Detail))
		}
	}
	t := fmt.Sprintf("shard %s at %s: has %s", r.Shard, r.Endpoint, strings.Join(good, ", "))
	if len(lack) > 0 {
		t += "; lacks " + strings.Join(lack, "; ")
	}
	return t
}
