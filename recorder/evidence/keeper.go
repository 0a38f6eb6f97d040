package evidence

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"skein/recorder/retain"
	"skein/recorder/segment"
)

// Index tells where the chains end.
type Index interface {
	Cameras(ctx context.Context) ([]string, error)
	Days(ctx context.Context, camera string) ([]time.Time, error)
	Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error)
}

// Manifests reads a segment's manifest.
type Manifests interface {
	Manifest(ctx context.Context, shard, key string) (segment.Manifest, error)
}

// Keeper writes checkpoints. Exactly one of an archive's recorders should run it.
type Keeper struct {
	Index     Index
	Manifests Manifests
	Docs      retain.Documents
	Key       ed25519.PrivateKey
	// Copy takes each checkpoint to a place that the recorder cannot change later. nil: not copied.
	Copy  func(ctx context.Context, name string, doc []byte) error
	Every time.Duration    // default 5 minutes
	Log   *slog.Logger     // nil: discard
	Now   func() time.Time // nil: time.Now

	last     *Checkpoint
	uncopied []string // names, oldest first
}

// Run writes checkpoints until ctx ends. One that fails is logged and tried again the next time.
func (k *Keeper) Run(ctx context.Context) error {
	every, log := k.Every, k.Log
	if every <= 0 {
		every = DefaultInterval
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if _, err := k.Write(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "checkpoint failed", "err", err)
		}
	}
}

// Write makes one checkpoint of the chains as they are now, stores it and copies it. It must not be called
// concurrently.
// A checkpoint that was stored but could not be copied is returned beside the error.
func (k *Keeper) Write(ctx context.Context) (Checkpoint, error) {
	if k.last == nil {
		last, err := newestCheckpoint(ctx, k.Docs)
		if err != nil {
			return Checkpoint{}, err
		}
		k.last = last
	}
	heads, err := k.heads(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	now := time.Now()
	if k.Now != nil {
		now = k.Now()
	}
	if now = now.Truncate(time.Millisecond); k.last != nil && !now.After(k.last.At) {
		now = k.last.At.Add(time.Millisecond) // names sort by time: a clock that stepped back must not reorder them
	}
	c, err := NewCheckpoint(k.last, now, heads, k.Key)
	if err != nil {
		return c, err
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	if err := k.Docs.CreateBlob(ctx, c.Name(), doc); err != nil {
		k.last = nil // another keeper may be at work: read again
		return c, fmt.Errorf("store checkpoint: %w", err)
	}
	k.last = &c
	return c, k.copy(ctx, c.Name())
}

// maxUncopied bounds the checkpoints that wait for a second place that is away: a month of them.
const maxUncopied = 9000

// copy takes a stored checkpoint to the second place, after those that could not be taken there before.
func (k *Keeper) copy(ctx context.Context, name string) error {
	if k.Copy == nil {
		return nil
	}
	if k.uncopied = append(k.uncopied, name); len(k.uncopied) > maxUncopied {
		k.uncopied = k.uncopied[1:]
	}
	for len(k.uncopied) > 0 {
		doc, err := k.Docs.GetBlob(ctx, k.uncopied[0])
		if err == nil {
			err = k.Copy(ctx, k.uncopied[0], doc)
		}
		if err != nil {
			return fmt.Errorf("copy checkpoint %s, %d wait: %w", k.uncopied[0], len(k.uncopied), err)
		}
		k.uncopied = k.uncopied[1:]
	}
	return nil
}

// heads finds the last segment of every camera.
func (k *Keeper) heads(ctx context.Context) ([]Head, error) {
	cameras, err := k.Index.Cameras(ctx)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var heads []Head
	for _, id := range cameras {
		h, err := k.head(ctx, id)
		if errors.Is(err, errNoHead) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint: camera %s: %w", id, err)
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// errNoHead means that the camera lost its last segment to retention meanwhile.
var errNoHead = errors.New("no segment")
