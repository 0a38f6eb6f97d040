// Package spool keeps recorded footage safe on the edge's disk until the archive has it.
package spool

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/status"
	"skein/edge/stream"
	"skein/recorder/segment"
)

// Deps is what a Spool needs from outside. Shipper may be nil: nothing is shipped then.
type Deps struct {
	Shipper Shipper
	// GapCause tells why the camera's footage is missing up to now; it is asked when pictures are back. Nil: unknown.
	GapCause func(camera string) segment.Cause
	Log      *slog.Logger          // nil: discard
	Registry prometheus.Registerer // nil: not registered
}

// Spool is the recording side of an edge.
type Spool struct{}

// Open takes the folder, recovers what an earlier process left, and starts nothing.
func Open(cfg Config, deps Deps) (*Spool, error) { return &Spool{}, nil }

// Run commits, ships and sheds until ctx ends and every Record has returned.
func (s *Spool) Run(ctx context.Context) error { return nil }

// Close gives the folder back. Call it after Run and every Record returned.
func (s *Spool) Close() error { return nil }

// Record writes the camera's stream until ctx ends (nil) or the stream does (its error).
func (s *Spool) Record(ctx context.Context, camera string, st *stream.Stream) error { return nil }

// Recording tells how the camera's recording is right now.
func (s *Spool) Recording(camera string) status.Recording { return status.Recording{} }

// Snapshot tells how the spool is.
func (s *Spool) Snapshot() Snapshot { return Snapshot{} }

// Level tells how full a spool is, and so what the edge must give up.
type Level int

// The levels of fill.
const (
	LevelNormal    Level = iota
	LevelWarn            // from 80 %: tell somebody
	LevelShed            // from 90 %: sub-streams and snapshots are no longer kept
	LevelEmergency       // from 95 %: the oldest shipped, then the oldest unshipped footage is dropped
)

// Snapshot is the state of the spool, for people.
type Snapshot struct {
	Level         Level         `json:"level"`
	Bytes         int64         `json:"bytes"`
	MaxBytes      int64         `json:"max_bytes,omitempty"`
	Free          int64         `json:"free"` // of the file system
	Backlog       int           `json:"backlog"`
	BacklogBytes  int64         `json:"backlog_bytes"`
	OldestAge     time.Duration `json:"oldest_age_ns"`
	ETA           time.Duration `json:"eta_ns"` // until the backlog is shipped at the present rate, -1: never
	Dropped       uint64        `json:"dropped"`
	LastShipped   time.Time     `json:"last_shipped,omitzero"`
	LastShipError string        `json:"last_ship_error,omitempty"`
}
