package index

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// The marks below are what a rebuild leaves when it has ended: as long as they are there the index holds all that it
// ever held. A server that was emptied, or one that lost what it had, has lost them, too. In a cluster there are many
// of them, so that each of its nodes has some.
const (
	markPrefix   = keyPrefix + "whole:"
	clusterMarks = 256
	claimKey     = keyPrefix + "rebuilder"
)

func (x *Index) marks() []string {
	n := 1
	if _, ok := x.c.(*redis.ClusterClient); ok {
		n = clusterMarks
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = markPrefix + strconv.Itoa(i)
	}
	return keys
}

// Marked reports whether the index is marked as whole. If not, the server is new, has lost what it had, or a rebuild
// has not ended.
func (x *Index) Marked(ctx context.Context) (bool, error) {
	keys := x.marks()
	found := make([]*redis.IntCmd, len(keys))
	_, err := x.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			found[i] = p.Exists(ctx, k)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("mark of the index: %w", serverError(err))
	}
	for _, f := range found {
		if f.Val() == 0 {
			return false, nil
		}
	}
	return true, nil
}

// Mark marks the index as whole: all that the buckets hold is in it.
func (x *Index) Mark(ctx context.Context) error {
	_, err := x.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range x.marks() {
			p.Set(ctx, k, 1, 0)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark the index: %w", serverError(err))
	}
	return nil
}

// claim is the right to rebuild an index that several recorders use. It runs out by itself.
type claim struct {
	x   *Index
	who string
}

func (x *Index) newClaim() *claim { return &claim{x: x, who: rand.Text()} }

// hold takes the right, or keeps it, for the given time. It returns false while somebody else has it.
func (c *claim) hold(ctx context.Context, d time.Duration) (bool, error) {
	err := c.x.c.SetArgs(ctx, claimKey, c.who, redis.SetArgs{Mode: "NX", TTL: d}).Err()
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("claim the rebuild of the index: %w", serverError(err))
	}
	who, err := c.x.c.Get(ctx, claimKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("claim the rebuild of the index: %w", serverError(err))
	}
	if who != c.who {
		return false, nil
	}
	if err := c.x.c.PExpire(ctx, claimKey, d).Err(); err != nil {
		return false, fmt.Errorf("claim the rebuild of the index: %w", serverError(err))
	}
	return true, nil
}

// release gives the right back. Should that fail it runs out.
func (c *claim) release(ctx context.Context) {
	if who, err := c.x.c.Get(ctx, claimKey).Result(); err == nil && who == c.who {
		_ = c.x.c.Del(ctx, claimKey).Err() // it runs out by itself
	}
}
