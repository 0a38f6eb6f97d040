package retain

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"skein/recorder/segment"
)

// Lock keeps footage from being deleted until it ends. It needs a reason, an owner and an end: keeping footage for ever
// without a purpose is not lawful.
type Lock struct {
	ID      string        `json:"id"`
	Cameras []string      `json:"cameras"`
	Range   segment.Range `json:"range"`
	Reason  string        `json:"reason"`
	Case    string        `json:"case,omitempty"` // number of the case or legal document
	Owner   string        `json:"owner"`
	Created time.Time     `json:"created"`
	Until   time.Time     `json:"until"`
}

// Active reports whether the lock holds at t.
func (l Lock) Active(t time.Time) bool { return t.Before(l.Until) }

// ErrLock: the lock lacks something, or its end has passed.
var ErrLock = errors.New("lock")

// HoldError tells that the register was changed, but the store did not hold or release some object itself.
type HoldError struct {
	ID  string
	Err error
}

// Error implements error.
func (e *HoldError) Error() string { return fmt.Sprintf("lock %s: %v", e.ID, e.Err) }

// Unwrap returns the cause.
func (e *HoldError) Unwrap() error { return e.Err }

// Documents is where locks are kept.
type Documents interface {
	CreateBlob(ctx context.Context, name string, data []byte) error
	GetBlob(ctx context.Context, name string) ([]byte, error)
	DeleteBlob(ctx context.Context, name string) error
	ListBlobs(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Holder sets legal holds on objects, where the store has them.
type Holder interface {
	Hold(ctx context.Context, shard, key string, on bool) error
}

// Finder finds the segments that a lock concerns.
type Finder interface {
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
}

const lockPrefix = "locks/"

// Locks is the register of locks, kept as documents beside the footage. It is the Guard of a Keeper. Safe for
// concurrent use; nothing is cached, so a lock holds from the moment Add returns, for every recorder.
type Locks struct {
	Docs   Documents
	Finder Finder // with Holder: objects of locked footage are also held
	Holder Holder
	// Unsupported recognises the Holder's error for a store without holds, which is not a failure.
	Unsupported func(error) bool
	Now         func() time.Time // nil: time.Now
}

func (l *Locks) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// Add registers the lock and holds its objects. ID and Created are set here. The returned lock is in force even if err
// is a *HoldError, which tells that some object could not be held. What is wrong with the lock itself is ErrLock.
func (l *Locks) Add(ctx context.Context, lock Lock) (Lock, error) {
	if err := l.check(lock); err != nil {
		return lock, err
	}
	lock.ID, lock.Created = strings.ToLower(rand.Text()), l.now().UTC()
	doc, err := json.Marshal(lock)
	if err != nil {
		return lock, fmt.Errorf("lock: %w", err)
	}
	if err := l.Docs.CreateBlob(ctx, lockPrefix+lock.ID+".json", doc); err != nil {
		return lock, fmt.Errorf("lock: %w", err)
	}
	return lock, l.hold(ctx, lock, true, nil)
}

// The limits of one lock.
const (
	maxLockCameras = 500
	maxLockText    = 8 << 10                  // bytes, of reason and case
	maxLockTime    = 3 * 366 * 24 * time.Hour // what is to be kept longer is locked again
)

// check returns ErrLock with what is wrong with a lock that is to be set.
func (l *Locks) check(lock Lock) error {
	now := l.now().UTC()
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrLock, why) }
	switch {
	case len(lock.Cameras) == 0 || !lock.Range.From.Before(lock.Range.To):
		return bad("cameras and a range are needed")
	case len(lock.Cameras) > maxLockCameras:
		return bad(fmt.Sprintf("%d cameras: want at most %d", len(lock.Cameras), maxLockCameras))
	case strings.TrimSpace(lock.Reason) == "" || strings.TrimSpace(lock.Owner) == "":
		return bad("a reason and an owner are needed")
	case len(lock.Reason) > maxLockText || len(lock.Case) > maxLockText:
		return bad("reason or case is too long")
	case !lock.Until.After(now):
		return bad("the end must lie in the future")
	case lock.Until.Sub(now) > maxLockTime+time.Hour: // the clocks of gateway and recorder differ
		return bad("the end must lie within three years; a lock can be set again")
	}
	for _, c := range lock.Cameras {
		if !segment.ValidCamera(c) {
			return bad(fmt.Sprintf("camera %.70q: want an id of 1-64 of a-z, 0-9 and -", c))
		}
	}
	return nil
}

// Release ends a lock before its time and lifts the holds that no other lock needs.
func (l *Locks) Release(ctx context.Context, id string) error {
	lock, err := l.get(ctx, lockPrefix+id+".json")
	if err != nil {
		return err
	}
	if err := l.Docs.DeleteBlob(ctx, lockPrefix+id+".json"); err != nil {
		return fmt.Errorf("release lock %s: %w", id, err)
	}
	rest, err := l.List(ctx)
	if err != nil {
		return err
	}
	return l.hold(ctx, lock, false, rest)
}

// Expire releases every lock whose end has passed and returns how many those were.
func (l *Locks) Expire(ctx context.Context) (int, error) {
	list, err := l.List(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, lock := range list {
		if lock.Active(l.now()) {
			continue
		}
		var held *HoldError
		if err := l.Release(ctx, lock.ID); err != nil && !errors.As(err, &held) {
			return n, err
		}
		n++
	}
	return n, nil
}

// ExpireEvery is how often Run looks for locks that have ended.
const ExpireEvery = 10 * time.Minute

// Run releases ended locks until ctx ends, so that what the store holds for them can age. Failures are logged.
func (l *Locks) Run(ctx context.Context, log *slog.Logger) error {
	t := time.NewTicker(ExpireEvery)
	defer t.Stop()
	for {
		n, err := l.Expire(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.WarnContext(ctx, "ended locks not released", "err", err)
		case n > 0:
			log.InfoContext(ctx, "ended locks released", "locks", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// hold sets or lifts the hold of the lock's objects, leaving those that other active locks cover.
func (l *Locks) hold(ctx context.Context, lock Lock, on bool, others []Lock) error {
	if l.Finder == nil || l.Holder == nil {
		return nil
	}
	var failed []error
	for _, camera := range lock.Cameras {
		records, err := l.Finder.Range(ctx, camera, lock.Range)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		kept := rangesOf(others, camera, l.now())
		for _, r := range records {
			if !on && covers(kept, r.Range()) {
				continue
			}
			err := l.Holder.Hold(ctx, r.Shard, r.Key(camera), on)
			if err != nil && (l.Unsupported == nil || !l.Unsupported(err)) {
				failed = append(failed, err)
			}
		}
	}
	if len(failed) > 0 {
		return &HoldError{ID: lock.ID, Err: errors.Join(failed...)}
	}
	return nil
}

// List returns all locks, also those whose end has passed.
func (l *Locks) List(ctx context.Context) ([]Lock, error) {
	var out []Lock
	for name, err := range l.Docs.ListBlobs(ctx, lockPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list locks: %w", err)
		}
		lock, err := l.get(ctx, name)
		if err != nil {
			return nil, err
		}
		out = append(out, lock)
	}
	return out, nil
}

func (l *Locks) get(ctx context.Context, name string) (Lock, error) {
	doc, err := l.Docs.GetBlob(ctx, name)
	if err != nil {
		return Lock{}, fmt.Errorf("read lock: %w", err)
	}
	var lock Lock
	if err := json.Unmarshal(doc, &lock); err != nil {
		return Lock{}, fmt.Errorf("lock %s is damaged: %w", name, err)
	}
	return lock, nil
}

// Locked implements Guard. A register that cannot be read in full is an error: then nothing may be deleted.
func (l *Locks) Locked(ctx context.Context, camera string) ([]segment.Range, error) {
	list, err := l.List(ctx)
	if err != nil {
		return nil, err
	}
	return rangesOf(list, camera, l.now()), nil
}

func rangesOf(list []Lock, camera string, now time.Time) []segment.Range {
	var out []segment.Range
	for _, lock := range list {
		if !lock.Active(now) {
			continue
		}
		for _, c := range lock.Cameras {
			if c == camera {
				out = append(out, lock.Range)
			}
		}
	}
	return out
}
