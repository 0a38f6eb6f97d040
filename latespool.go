package main

import (
	"context"
	"sync"
	"time"

	"skein/edge/media"
	"skein/edge/spool"
	"skein/edge/status"
	"skein/edge/stream"
)

// reopen is the pause between attempts to open a spool.
const reopen = 5 * time.Second

// lateSpool is a spool that Run opens, trying again until that succeeds: what is live does not depend on it. Until then
// nothing is recorded, and every camera's state says why.
type lateSpool struct {
	cfg    spool.Config
	deps   spool.Deps
	opened chan struct{} // closed when there is a spool

	mu    sync.Mutex // guards the fields below
	spool *spool.Spool
	why   string // why there is none
}

func newLateSpool(cfg spool.Config, deps spool.Deps) *lateSpool {
	return &lateSpool{cfg: cfg, deps: deps, opened: make(chan struct{}), why: "the spool is being opened"}
}

// refuse sets why there is no spool. It reports whether that is new.
func (l *lateSpool) refuse(why string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := why != l.why
	l.why = why
	return news
}

// Run opens the spool and runs it until ctx ends; the recordings must end at the same time.
func (l *lateSpool) Run(ctx context.Context) error {
	for {
		err := l.open()
		if err == nil {
			break
		}
		if why := "not recorded: " + err.Error(); l.refuse(why) {
			l.deps.Log.Error("spool cannot be opened: nothing of what is published is recorded", "retry_in", reopen,
				"error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reopen):
		}
	}
	s, _ := l.get()
	return s.Run(ctx)
}

func (l *lateSpool) open() error {
	s, err := spool.Open(l.cfg, l.deps)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spool = s
	close(l.opened)
	return nil
}

// get returns the spool, or why there is none.
func (l *lateSpool) get() (*spool.Spool, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spool, l.why
}

// close gives the spool's folder back. Run and every Record must have returned.
func (l *lateSpool) close() {
	s, _ := l.get()
	if s == nil {
		return
	}
	if err := s.Close(); err != nil {
		l.deps.Log.Error("close the spool", "error", err)
	}
}

// Record implements edge.Spool.
func (l *lateSpool) Record(ctx context.Context, camera string, s *stream.Stream) error {
	return l.RecordProfile(ctx, camera, media.Main, s)
}

// RecordProfile records as soon as there is a spool.
func (l *lateSpool) RecordProfile(ctx context.Context, camera string, p media.Profile, s *stream.Stream) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.opened:
	}
	sp, _ := l.get()
	return sp.RecordProfile(ctx, camera, p, s)
}

// Recording implements edge.Spool.
func (l *lateSpool) Recording(camera string) status.Recording {
	s, why := l.get()
	if s == nil {
		return status.Recording{Detail: why}
	}
	return s.Recording(camera)
}

// Hurry brings a camera's footage up to until into the archive now; without a spool there is none.
func (l *lateSpool) Hurry(ctx context.Context, camera string, until time.Time) error {
	s, _ := l.get()
	if s == nil {
		return nil
	}
	return s.Hurry(ctx, camera, until)
}
