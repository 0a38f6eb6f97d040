// Package check proves the archive's invariants and repairs what can be repaired:
//
//	(a) an index record implies an object of that size and hash
//	(b) the object is written before its record and outlives it: an object without a record is unfinished work
//	(c) the buckets are the truth: the index can be rebuilt from keys and metadata alone
//	(d) locked footage is deleted by nothing
//
// It streams both sides camera by camera, merged by day, so memory does not grow with the archive, and it may
// run beside
// live recording: a difference counts only if it is still there when looked at again, and is older than the grace time.
package check

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// Store is what check needs of the object store.
type Store interface {
	List(ctx context.Context, prefix string) iter.Seq2[store.Entry, error]
	Cameras(ctx context.Context) ([]string, error)
	Manifest(ctx context.Context, shard, key string) (segment.Manifest, error)
	Open(ctx context.Context, shard, key string) (store.Object, error)
}

// Index is what check needs of the segment index.
type Index interface {
	Cameras(ctx context.Context) ([]string, error)
	Days(ctx context.Context, camera string) ([]time.Time, error)
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
	AddMany(ctx context.Context, camera string, records []segment.Record) error
	Remove(ctx context.Context, camera string, r segment.Record) error
}

// Guarded is a stretch of locked footage and when it was locked.
type Guarded struct {
	Camera  string
	Range   segment.Range
	Created time.Time
}

// Deleted is a segment that retention removed, as its tombstone tells.
type Deleted struct {
	Range   segment.Range
	Key     string
	Deleted time.Time
}

// Evidence gives what invariant (d) is proved from. A nil Evidence leaves (d) unproved.
type Evidence interface {
	Locks(ctx context.Context) ([]Guarded, error)
	Tombstones(ctx context.Context, camera string, within segment.Range) ([]Deleted, error)
}

// Options say what to do. The zero value checks everything and changes nothing.
type Options struct {
	Cameras []string // nil: all that either side knows
	Repair  bool     // index objects without a record, drop records without an object
	Rebuild bool     // fill the index from the buckets, without comparing first
	Deep    bool     // read every object and compare its SHA-256
	Grace   time.Duration
	Workers int // cameras at a time, default 4
	// Progress is called about once a second and at the end, never concurrently. nil: not called.
	Progress func(Progress)
	Evidence Evidence
	// Marked reports whether the index is marked as whole. nil: not asked.
	Marked func(context.Context) (bool, error)
	Limit  int              // findings kept in the report, default 1000; all are counted
	Now    func() time.Time // nil: time.Now
}

// DefaultGrace is how young an object may be to lack a record: the recorder is about to write it.
const DefaultGrace = 2 * time.Minute

// Progress is how far a check has come.
type Progress struct {
	Camera   string        `json:"camera"` // the last one begun
	Cameras  int           `json:"cameras"`
	Done     int           `json:"done"`
	Segments int64         `json:"segments"`
	Bytes    int64         `json:"bytes"`
	Findings int64         `json:"findings"`
	Took     time.Duration `json:"took_ns"`
}

// Kind is what is wrong.
type Kind string

// The kinds of findings.
const (
	MissingObject Kind = "missing_object" // (a) a record whose object is gone
	WrongSize     Kind = "wrong_size"     // (a) object and record differ in size
	WrongHash     Kind = "wrong_hash"     // (a) content or manifest do not have the key's hash
	Unindexed     Kind = "unindexed"      // (b) an object without a record
	BadKey        Kind = "bad_key"        // (c) an object that is not named as a segment
	BadManifest   Kind = "bad_manifest"   // (c) metadata missing or damaged
	Duplicate     Kind = "duplicate"      // the same segment on two shards; harmless
	LockedGone    Kind = "locked_gone"    // (d) deleted although locked
	Unreadable    Kind = "unreadable"     // the store or index did not answer for it
	Emptied       Kind = "index_emptied"  // (c) the index has lost what it held
)

// Invariant returns the invariant that a finding of this kind breaks, or "".
func (k Kind) Invariant() string {
	switch k {
	case MissingObject, WrongSize, WrongHash:
		return "a"
	case Unindexed:
		return "b"
	case BadKey, BadManifest, Emptied:
		return "c"
	case LockedGone:
		return "d"
	}
	return ""
}

// Finding is one thing that is wrong.
type Finding struct {
	Kind      Kind      `json:"kind"`
	Invariant string    `json:"invariant,omitempty"`
	Camera    string    `json:"camera"`
	Start     time.Time `json:"start,omitzero"`
	Shard     string    `json:"shard,omitempty"`
	Key       string    `json:"key,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Repaired  bool      `json:"repaired"`
}

// Report is the outcome of a check.
type Report struct {
	Cameras    int            `json:"cameras"`
	Objects    int64          `json:"objects"`
	Records    int64          `json:"records"`
	Bytes      int64          `json:"bytes"`
	InFlight   int64          `json:"in_flight"` // objects too young to judge
	Added      int64          `json:"added"`     // records written by repair or rebuild
	Dropped    int64          `json:"dropped"`   // records removed by repair
	Counts     map[Kind]int64 `json:"counts"`
	Unrepaired int64          `json:"unrepaired"` // findings other than duplicates that remain
	Findings   []Finding      `json:"findings"`
	ProvedD    bool           `json:"proved_d"` // locks and tombstones were compared
	Took       time.Duration  `json:"took_ns"`
}

// The exit codes of `skein check`.
const (
	ExitClean  = 0 // nothing is wrong, or everything wrong was repaired
	ExitFound  = 1 // something is wrong
	ExitFailed = 2 // the check could not be completed
)

// ExitCode returns the code for scripts; err is what Run returned beside the report.
func (r Report) ExitCode(err error) int {
	switch {
	case err != nil:
		return ExitFailed
	case r.Unrepaired > 0:
		return ExitFound
	}
	return ExitClean
}

// run is one check under way.
type run struct {
	o     Options
	store Store
	index Index
	began time.Time

	mu       sync.Mutex // guards the fields below
	report   Report
	progress Progress
	told     time.Time
}

// Run checks the archive. The error tells that the check could not be completed; the report then covers what was seen.
func Run(ctx context.Context, o Options, s Store, x Index) (Report, error) {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &run{o: o, store: s, index: x, began: time.Now()}
	c.report.Counts = make(map[Kind]int64)
	err := c.marked(ctx)
	var cameras []string
	if err == nil {
		cameras, err = c.cameras(ctx)
	}
	if err == nil {
		c.report.Cameras, c.progress.Cameras = len(cameras), len(cameras)
		err = c.all(ctx, cameras)
	}
	if err == nil && o.Evidence != nil && !o.Rebuild {
		err = c.locks(ctx)
	}
	c.report.Took = time.Since(c.began)
	c.tell(true)
	return c.report, err
}

// marked finds out whether the index has lost what it held. A recorder that runs is about to mend that; nothing that
// lacks its record can be called young then.
func (c *run) marked(ctx context.Context) error {
	if c.o.Marked == nil {
		return nil
	}
	whole, err := c.o.Marked(ctx)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if !whole {
		c.found(Finding{Kind: Emptied, Detail: "the index server was emptied, or was never filled from this archive: " +
			"start a recorder, or run check --rebuild"})
	}
	return nil
}

// cameras returns the ids to check.
func (c *run) cameras(ctx context.Context) ([]string, error) {
	if c.o.Cameras != nil {
		return c.o.Cameras, nil
	}
	stored, err := c.store.Cameras(ctx)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if c.o.Rebuild {
		return stored, nil
	}
	indexed, err := c.index.Cameras(ctx)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return union(stored, indexed), nil
}

// all works through the cameras, several at a time. The first failure ends it.
func (c *run) all(ctx context.Context, cameras []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan string)
	var wg sync.WaitGroup
	for range min(c.o.Workers, len(cameras)) {
		wg.Go(func() {
			for id := range todo {
				c.update(func() { c.progress.Camera = id })
				one := c.compare
				if c.o.Rebuild {
					one = c.rebuild
				}
				if err := one(ctx, id); err != nil {
					cancel(fmt.Errorf("check camera %s: %w", id, err))
					return
				}
				c.update(func() { c.progress.Done++ })
			}
		})
	}
feed:
	for _, id := range cameras {
		select {
		case todo <- id:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// update changes the counters and reports progress when it is time.
func (c *run) update(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	c.tell(false)
}

func (c *run) tell(last bool) {
	if c.o.Progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !last && time.Since(c.told) < time.Second {
		return
	}
	c.told = time.Now()
	p := c.progress
	p.Segments, p.Bytes, p.Took = c.report.Objects, c.report.Bytes, time.Since(c.began)
	for _, n := range c.report.Counts {
		p.Findings += n
	}
	c.o.Progress(p)
}

// found files a finding.
func (c *run) found(f Finding) {
	f.Invariant = f.Kind.Invariant()
	c.update(func() {
		c.report.Counts[f.Kind]++
		if !f.Repaired && f.Kind != Duplicate {
			c.report.Unrepaired++
		}
		if len(c.report.Findings) < c.o.Limit {
			c.report.Findings = append(c.report.Findings, f)
		}
	})
}

// union merges two ascending lists.
func union(a, b []string) []string {
	var out []string
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || (len(a) > 0 && a[0] < b[0]):
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// errShard marks a listing that lacks a shard: what it would have shown must not count as missing.
var errShard = errors.New("a shard does not answer, so nothing can be said about what it holds")
