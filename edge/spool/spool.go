// Package spool keeps recorded footage safe on the edge's disk until the archive has it.
//
// Each recorded camera has one goroutine (Record) that appends fragments to a segment file; it never waits for the disk
// to become durable. One group commit for all cameras (Run) syncs what was written, seals finished files with their
// manifest, and drops footage, in a fixed order and never silently, when there is no room. Two lanes (Run) ship sealed
// segments; only a receipt that matches lets a segment go. FORMAT.md describes the files and the rules of recovery.
//
// The package never transcodes, never renames or deletes a segment it cannot account for, and holds at most the units
// of each camera in memory that are not durable yet.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/recorder/fmp4"
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

// Spool is the recording side of an edge. Open makes one; its methods may be called from any goroutine.
type Spool struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	fs    fsys
	m     *metrics
	lock  *os.File
	queue *queue
	gate  *gate
	kept  keptList

	kicked   chan struct{} // capacity 1: commit and make room now
	gapsWake chan struct{} // capacity 1: there are gaps to tell the archive of

	used atomic.Int64 // bytes of the spool's files
	bad  atomic.Int64 // files set aside
	full atomic.Int64 // Level
	free atomic.Int64 // bytes of the file system
	left atomic.Int64 // time.Duration until footage must be dropped, -1: it does not come to that

	inodes atomic.Int64 // of the file system, in use, per mille

	opened    time.Time
	aliveThen time.Time // when an earlier process was last known to run, zero: never

	mu      sync.Mutex // guards the fields below
	cameras map[string]*camera
	closed  bool
	records int           // running Record calls
	ended   chan struct{} // closed and replaced when one returns

	shipped progress
}

// Open takes the folder, which no other process may use, recovers what an earlier process left, and starts nothing.
func Open(cfg Config, deps Deps) (*Spool, error) { return open(cfg, deps, osFS()) }

func open(cfg Config, deps Deps, disk fsys) (s *Spool, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, camerasDir), 0o750); err != nil {
		return nil, fmt.Errorf("make the spool's folder: %w", err)
	}
	s = &Spool{
		cfg: cfg, deps: deps, log: deps.Log, fs: disk, queue: newQueue(), kicked: make(chan struct{}, 1),
		gapsWake: make(chan struct{}, 1),
		gate:     newGate(cfg.Ship.RetryMin, cfg.Ship.RetryMax), opened: time.Now(), cameras: map[string]*camera{},
		ended: make(chan struct{}),
	}
	if s.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if st, err := s.lock.Stat(); err == nil && st.Size() > 0 {
		s.aliveThen = st.ModTime()
	}
	s.m = newMetrics(s, deps.Registry)
	if err := s.recover(); err != nil {
		s.m.unregister(deps.Registry)
		return nil, err
	}
	s.alive()
	return s, nil
}

// Run commits, ships and sheds until ctx ends and every Record has returned: end those at the same time.
func (s *Spool) Run(ctx context.Context) error {
	var lanes, commits sync.WaitGroup
	commitCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	commits.Go(func() { s.commitLoop(commitCtx) })
	if s.deps.Shipper != nil {
		lanes.Go(func() { s.freshLane(ctx) })
		lanes.Go(func() { s.backlogLane(ctx) })
		if shipper, ok := s.deps.Shipper.(GapShipper); ok {
			lanes.Go(func() { s.gapLane(ctx, shipper) })
		}
	}
	<-ctx.Done()
	s.awaitRecords()
	stop()
	lanes.Wait()
	commits.Wait()
	s.commit()
	return nil
}

// recordBegins and recordEnds count the running Record calls.
func (s *Spool) recordBegins() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records++
}

func (s *Spool) recordEnds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records--
	close(s.ended)
	s.ended = make(chan struct{})
}

func (s *Spool) awaitRecords() {
	for {
		s.mu.Lock()
		n, ended := s.records, s.ended
		s.mu.Unlock()
		if n == 0 {
			return
		}
		<-ended
	}
}

// Close gives the folder back. Call it after Run and every Record returned. It may be called twice.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.alive()
	s.m.unregister(s.deps.Registry)
	return s.lock.Close()
}

// kick asks for a commit and for room at once.
func (s *Spool) kick() { wake(s.kicked) }

// alive leaves a sign of life on disk, so that the next process knows how long none ran.
func (s *Spool) alive() {
	now := s.now()
	if !s.sane(now) {
		return // what is known stays known
	}
	_, err := s.lock.WriteAt([]byte(now.UTC().Format(time.RFC3339Nano)+"\n"), 0)
	if err == nil {
		err = os.Chtimes(s.lock.Name(), now, now)
	}
	if err != nil {
		s.log.Warn("sign of life could not be written", "err", err)
	}
}

// cutOff is how much of the end of a camera's footage a killed process may have taken with it: a fragment, and what was
// on its way into one.
const cutOff = 2*fmp4.FragmentLength + aliveEvery

// backSoon is how long after a start the pictures may take to come for the gap still to be due to the edge alone.
const backSoon = 15 * time.Second

// causedByDown reports whether the gap from the end of a camera's footage until now is due to no process running:
// either footage came until the process ended, and again soon after the next began, or none ran for most of the time.
// It is only asked for the first footage of a process.
func (s *Spool) causedByDown(end, now time.Time) bool {
	if end.IsZero() || s.aliveThen.IsZero() {
		return false
	}
	opened := now.Add(-time.Since(s.opened)) // the clock may have been set since
	if s.aliveThen.Sub(end) <= cutOff && now.Sub(opened) <= backSoon {
		return true
	}
	from := s.aliveThen
	if from.Before(end) {
		from = end
	}
	return 2*opened.Sub(from) >= now.Sub(end)
}
