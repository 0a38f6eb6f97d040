package spool

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"skein/recorder/segment"
)

// Shipper hands a sealed segment to the archive. Ship returns only when the archive has stored and indexed it; it is
// idempotent and may be called from many goroutines. path is the sealed file: Ship may link or rename it, but not
// change it.
type Shipper interface {
	Ship(ctx context.Context, m segment.Manifest, path string) (segment.Receipt, error)
}

// PacedShipper is a Shipper that can spread one segment over time: it calls wait before it sends n more bytes.
type PacedShipper interface {
	Shipper
	ShipPaced(ctx context.Context, m segment.Manifest, path string, wait func(ctx context.Context, n int) error) (
		segment.Receipt, error)
}

// RefusedError tells that the archive is up, but does not take this segment.
type RefusedError struct {
	Status int // HTTP status, 0 if there is none
	Detail string
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Status == 0 {
		return "archive refuses the segment: " + e.Detail
	}
	return fmt.Sprintf("archive refuses the segment: %d: %s", e.Status, e.Detail)
}

// ErrReceipt: the receipt is not for what was shipped, so nothing is deleted.
var ErrReceipt = errors.New("receipt does not match the segment")

// pace is the largest step in which the backlog lane is paced, in bytes.
const pace = 128 << 10

// lane is one of the two ways to the archive.
type lane struct {
	s      *Spool
	name   string
	slots  chan struct{}
	wg     sync.WaitGroup
	result func(outcome string, bytes int64)
}

// freshLane ships what was just sealed, newest needs first.
func (s *Spool) freshLane(ctx context.Context) {
	l := s.newLane("fresh")
	defer l.wg.Wait()
	for l.acquire(ctx) {
		e, ok := s.queue.takeFresh(time.Now(), s.cfg.Ship.Fresh)
		if !ok {
			l.release()
			select {
			case <-ctx.Done():
				return
			case <-s.queue.wakeFresh:
			}
			continue
		}
		l.start(ctx, e, nil)
	}
}

// backlogLane ships the rest, oldest footage first, under the bandwidth cap.
func (s *Spool) backlogLane(ctx context.Context) {
	l := s.newLane("backlog")
	defer l.wg.Wait()
	limiter := rate.NewLimiter(rate.Inf, pace)
	for l.acquire(ctx) {
		e, ok, wait := s.queue.takeBacklog(time.Now())
		if !ok {
			l.release()
			if !sleepOrWake(ctx, wait, s.queue.wakeBacklog) {
				return
			}
			continue
		}
		limit := rate.Inf
		if v := s.cfg.Ship.rate(time.Now()); v > 0 {
			limit = rate.Limit(v)
		}
		limiter.SetLimit(limit)
		l.start(ctx, e, limiter)
	}
}

// sleepOrWake waits for ch, or at most d if that is not 0. It is false if ctx ended.
func sleepOrWake(ctx context.Context, d time.Duration, ch <-chan struct{}) bool {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-ch:
	case <-timeout:
	}
	return true
}

func (s *Spool) newLane(name string) *lane {
	return &lane{s: s, name: name, slots: make(chan struct{}, s.cfg.Ship.Parallel), result: s.m.lane(name)}
}

// acquire waits for a free slot and for the gate.
func (l *lane) acquire(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case l.slots <- struct{}{}:
	}
	return l.s.gate.waitOpen(ctx) == nil
}

func (l *lane) release() { <-l.slots }

func (l *lane) start(ctx context.Context, e entry, limiter *rate.Limiter) {
	l.wg.Go(func() {
		defer l.release()
		if l.s.gate.pass(ctx) != nil {
			e.after = time.Time{}
			l.s.queue.again(e)
			return
		}
		began := time.Now()
		r, m, err := l.s.shipOne(ctx, e, limiter)
		down := err != nil && !isRefused(err) && !errors.Is(err, errLocal)
		if ctx.Err() != nil && err != nil {
			down = true
		}
		if l.s.gate.report(down) {
			wake(l.s.gapsWake) // what was given up meanwhile is told at once: it is a part of the chain
		}
		if err != nil {
			l.failed(ctx, e, m, err)
			return
		}
		l.result("stored", m.Bytes)
		l.s.m.shipSeconds.Observe(time.Since(began).Seconds())
		l.s.acknowledge(e, m, r)
	})
}

func isRefused(err error) bool {
	var r *RefusedError
	return errors.As(err, &r)
}

// isForbidden reports whether the archive takes nothing of the camera from this node.
func isForbidden(err error) bool {
	var r *RefusedError
	return errors.As(err, &r) && r.Status == http.StatusForbidden
}

// errLocal: the segment cannot be read here; the archive has nothing to do with it.
var errLocal = errors.New("segment in the spool")

// shipOne ships one segment and checks the receipt.
func (s *Spool) shipOne(ctx context.Context, e entry, limiter *rate.Limiter) (
	r segment.Receipt, m segment.Manifest, err error,
) {
	if m, err = readManifest(e.cam.id, e.cam.path(e.seq, manifestSuffix)); err != nil {
		return r, m, fmt.Errorf("%w: %w", errLocal, err)
	}
	path := e.cam.path(e.seq, mediaSuffix)
	wait := func(ctx context.Context, n int) error {
		for n > 0 {
			k := min(n, pace)
			if err := limiter.WaitN(ctx, k); err != nil {
				return err
			}
			n -= k
		}
		return nil
	}
	paced, canPace := s.deps.Shipper.(PacedShipper)
	switch {
	case limiter == nil || limiter.Limit() == rate.Inf:
		r, err = s.deps.Shipper.Ship(ctx, m, path)
	case canPace:
		r, err = paced.ShipPaced(ctx, m, path, wait)
	default:
		if err = wait(ctx, int(m.Bytes)); err == nil {
			r, err = s.deps.Shipper.Ship(ctx, m, path)
		}
	}
	if err != nil {
		return r, m, err
	}
	if r.Camera != m.Camera || r.Seq != m.Seq || r.Bytes != m.Bytes || r.SHA256 != m.SHA256 {
		return r, m, fmt.Errorf("%w: camera %s seq %d: got camera %s seq %d, %d bytes, %s", ErrReceipt,
			m.Camera, m.Seq, r.Camera, r.Seq, r.Bytes, r.SHA256)
	}
	return r, m, nil
}

// failed keeps a segment for another attempt, or sets it aside if it is broken on this disk.
func (l *lane) failed(ctx context.Context, e entry, m segment.Manifest, err error) {
	s := l.s
	if ctx.Err() != nil {
		s.queue.again(e)
		return
	}
	outcome, limit := "unavailable", s.cfg.Ship.RetryMax
	if isRefused(err) || errors.Is(err, ErrReceipt) {
		outcome, limit = "refused", refusedRetryMax
	}
	if errors.Is(err, errLocal) {
		outcome = "local"
		s.setAsideSegment(e, err)
	} else if outcome == "refused" {
		if bad := checkLocal(e.cam.path(e.seq, mediaSuffix), m); bad != nil {
			outcome = "local"
			s.setAsideSegment(e, bad)
		}
	}
	l.result(outcome, 0)
	s.noteShipError(err)
	if outcome == "local" {
		return
	}
	if outcome == "refused" || e.tries == 0 {
		s.log.Warn("segment was not stored; it stays in the spool", "camera", e.cam.id, "seq", e.seq,
			"lane", l.name, "try", e.tries+1, "err", err)
	}
	e.after = time.Now().Add(min(limit, s.cfg.Ship.RetryMin<<min(e.tries, 20)))
	e.tries++
	s.queue.again(e)
}

// checkLocal reports whether the file still is what its manifest says.
func checkLocal(path string, m segment.Manifest) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if n != m.Bytes || segment.Hash(h.Sum(nil)) != m.SHA256 {
		return fmt.Errorf("%s: content does not match its manifest (%d of %d bytes)", path, n, m.Bytes)
	}
	return nil
}

// acknowledge lets go of a segment that the archive has.
func (s *Spool) acknowledge(e entry, m segment.Manifest, r segment.Receipt) {
	s.noteShipped(m)
	e.cam.arrived(m.Seq)
	if s.cfg.Keep > 0 {
		if data, err := json.Marshal(r); err == nil {
			if err := s.fs.writeAtomic(e.cam.path(e.seq, receiptSuffix), data); err == nil {
				s.queue.done(e)
				s.kept.add(keptSegment{cam: e.cam, seq: e.seq, bytes: m.Bytes, at: time.Now()})
				return
			}
		}
	}
	s.release(e.cam, e.seq, m.Bytes)
	s.queue.done(e)
}

// release removes a segment that is not needed here any more. The manifest of a camera's newest segment stays: it is
// the head of the chain.
func (s *Spool) release(c *camera, seq uint64, bytes int64) {
	if err := s.fs.remove(c.path(seq, mediaSuffix)); err != nil {
		s.log.Error("segment could not be removed from the spool", "camera", c.id, "seq", seq, "err", err)
		return
	}
	s.used.Add(-bytes)
	c.mu.Lock()
	head := c.head == seq
	if head {
		c.headDone = true
	}
	c.mu.Unlock()
	for _, suffix := range []string{receiptSuffix, manifestSuffix} {
		if suffix == manifestSuffix && head {
			continue
		}
		if suffix == receiptSuffix && s.cfg.Keep == 0 {
			continue
		}
		if err := s.fs.remove(c.path(seq, suffix)); err != nil {
			s.log.Warn("file could not be removed from the spool", "camera", c.id, "seq", seq, "err", err)
		}
	}
}
