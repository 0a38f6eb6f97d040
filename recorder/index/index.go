// Package index answers "what is there between these times" for the archive: one small record per segment, packed per
// camera and hour in Redis or in an in-process stand-in with the same code. It is an index and nothing more: the
// buckets are the truth, and everything here can be rebuilt from them.
//
// Keys, all of one camera in one slot of a Redis Cluster:
//
//	seg:{camera}          head: shard names and the days that have records
//	seg:{camera}:<hour>   records of one hour, counted from 1970
//	seg:cameras           set of camera ids ever added
//
// The server must not evict keys (maxmemory-policy noeviction). The package is the only importer of go-redis.
package index

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/recorder/segment"
)

const (
	keyPrefix  = "seg:"
	keyCameras = keyPrefix + "cameras"
	// spanHours is how many hours one command reads: a month.
	spanHours = 31 * 24
)

// Index is the segment index. Safe for concurrent use; every method is bounded by its ctx. While the server is away
// methods fail with ErrUnavailable; what it lost (FLUSHALL, restart without persistence) is simply not found.
type Index struct {
	c      redis.UniversalClient
	add    *redis.Script
	remove *redis.Script
	log    *slog.Logger
	close  func() error
}

func headKey(camera string) string { return keyPrefix + "{" + camera + "}" }

func hourKey(camera string, h int64) string { return headKey(camera) + ":" + strconv.FormatInt(h, 10) }

// checkCamera refuses ids that would break out of the hash tag.
func checkCamera(id string) error {
	if id == "" || len(id) > 64 {
		return fmt.Errorf("%w: camera id of %d characters", ErrRecord, len(id))
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '{' || c == '}' || c == '/' {
			return fmt.Errorf("%w: camera id %q", ErrRecord, id)
		}
	}
	return nil
}

// Add stores the record. It is idempotent and records may come in any order; adding a segment again replaces its shard,
// size and gap.
func (x *Index) Add(ctx context.Context, camera string, r segment.Record) error {
	return x.AddMany(ctx, camera, []segment.Record{r})
}

// batch is what one call of a script changes: records of one hour.
type batch struct {
	hour   int64
	packed []byte
	shards []string
}

// AddMany stores records of one camera in one round trip per few thousand. If it fails, some of them may be stored.
func (x *Index) AddMany(ctx context.Context, camera string, records []segment.Record) error {
	if err := checkCamera(camera); err != nil {
		return err
	}
	batches, err := pack(records)
	if err != nil {
		return fmt.Errorf("index camera %s: %w", camera, err)
	}
	const perTrip = 64
	for group := range slices.Chunk(batches, perTrip) {
		if err := x.addGroup(ctx, camera, group); err != nil {
			return fmt.Errorf("index camera %s: %w", camera, serverError(err))
		}
	}
	return nil
}

// pack groups records by hour, in order and without doubles; of doubles the last wins.
func pack(records []segment.Record) ([]batch, error) {
	hours := make(map[int64]*batch)
	for _, r := range records {
		h := hourOf(r.Start)
		b := hours[h]
		if b == nil {
			b = &batch{hour: h}
			hours[h] = b
		}
		var code byte
		if r.Shard != "" {
			i := slices.Index(b.shards, r.Shard)
			if i < 0 {
				if len(b.shards) == 255 || len(r.Shard) > 255 {
					return nil, fmt.Errorf("%w: too many shards, or a name too long", ErrRecord)
				}
				b.shards = append(b.shards, r.Shard)
				i = len(b.shards) - 1
			}
			code = byte(i + 1)
		}
		var err error
		if b.packed, err = appendRecord(b.packed, r, code); err != nil {
			return nil, err
		}
	}
	out := make([]batch, 0, len(hours))
	for _, b := range hours {
		b.packed = sortPacked(b.packed)
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b batch) int { return cmp.Compare(a.hour, b.hour) })
	return out, nil
}

func sortPacked(p []byte) []byte {
	list := slices.Collect(slices.Chunk(p, recordSize))
	id := func(a, b []byte) int { return bytes.Compare(a[:idSize], b[:idSize]) }
	slices.SortStableFunc(list, id)
	out := make([]byte, 0, len(p))
	for i, r := range list {
		if i+1 < len(list) && id(r, list[i+1]) == 0 {
			continue // a later one follows
		}
		out = append(out, r...)
	}
	return out
}

func (x *Index) addGroup(ctx context.Context, camera string, group []batch) error {
	send := func(run func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) error {
		_, err := x.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.SAdd(ctx, keyCameras, camera)
			for _, b := range group {
				args := []any{b.hour / 24, b.packed}
				for _, s := range b.shards {
					args = append(args, s)
				}
				run(ctx, p, []string{headKey(camera), hourKey(camera, b.hour)}, args...)
			}
			return nil
		})
		return err
	}
	err := send(x.add.EvalSha)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = send(x.add.Eval)
	}
	return err
}

// Remove deletes the record. A record that is not there, or that now names another shard, is left alone: no error.
func (x *Index) Remove(ctx context.Context, camera string, r segment.Record) error {
	_, err := x.RemoveMany(ctx, camera, []segment.Record{r})
	return err
}

// RemoveMany deletes records of one camera and returns how many were there.
func (x *Index) RemoveMany(ctx context.Context, camera string, records []segment.Record) (int, error) {
	if err := checkCamera(camera); err != nil {
		return 0, err
	}
	hours := make(map[int64][]any)
	for _, r := range records {
		p, err := appendRecord(nil, r, 0)
		if err != nil {
			return 0, err
		}
		h := hourOf(r.Start)
		hours[h] = append(hours[h], p[:idSize], r.Shard)
	}
	total := 0
	for h, pairs := range hours {
		day := h / 24
		keys := []string{headKey(camera), hourKey(camera, h)}
		for i := range int64(24) {
			keys = append(keys, hourKey(camera, day*24+i))
		}
		n, err := x.remove.Run(ctx, x.c, keys, append([]any{day}, pairs...)...).Int()
		if err != nil {
			return total, fmt.Errorf("index camera %s: %w", camera, serverError(err))
		}
		total += n
	}
	return total, nil
}

// Cameras returns the cameras that have records, ascending.
func (x *Index) Cameras(ctx context.Context) ([]string, error) {
	ids, err := x.c.SMembers(ctx, keyCameras).Result()
	if err != nil {
		return nil, fmt.Errorf("list indexed cameras: %w", serverError(err))
	}
	var out []string
	for group := range slices.Chunk(ids, 1000) {
		exists := make([]*redis.IntCmd, len(group))
		_, err := x.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range group {
				exists[i] = p.Exists(ctx, headKey(id))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list indexed cameras: %w", serverError(err))
		}
		for i, id := range group {
			if exists[i].Val() > 0 {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// Days returns the UTC days on which segments of the camera start, ascending.
func (x *Index) Days(ctx context.Context, camera string) ([]time.Time, error) {
	c, err := x.head(ctx, camera)
	if err != nil {
		return nil, err
	}
	out := make([]time.Time, len(c.days))
	for i, d := range c.days {
		out[i] = hourStart(int64(d) * 24)
	}
	return out, nil
}

func (x *Index) head(ctx context.Context, id string) (camera, error) {
	if err := checkCamera(id); err != nil {
		return camera{}, err
	}
	raw, err := x.c.Get(ctx, headKey(id)).Bytes()
	if err != nil && err != redis.Nil { //nolint:errorlint // redis.Nil is never wrapped
		return camera{}, fmt.Errorf("index camera %s: %w", id, serverError(err))
	}
	c, err := decodeHead(raw)
	if err != nil {
		return c, fmt.Errorf("%s: %w: run check --rebuild", headKey(id), err)
	}
	return c, nil
}

// Reset drops every record of every camera. Records added meanwhile may be dropped too: their objects are found again
// by the rebuild that follows.
func (x *Index) Reset(ctx context.Context) error {
	drop := func(ctx context.Context, c redis.Cmdable) error {
		it := c.Scan(ctx, 0, keyPrefix+"*", 1000).Iterator()
		var keys []string
		flush := func() error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, k := range keys { // one key each: those of a cluster node lie in many slots
					p.Del(ctx, k)
				}
				return nil
			})
			keys = keys[:0]
			return err
		}
		for it.Next(ctx) {
			if keys = append(keys, it.Val()); len(keys) == 1000 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := it.Err(); err != nil || len(keys) == 0 {
			return err
		}
		return flush()
	}
	var err error
	if cl, ok := x.c.(*redis.ClusterClient); ok {
		err = cl.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return drop(ctx, c) })
	} else {
		err = drop(ctx, x.c)
	}
	if err != nil {
		return fmt.Errorf("reset index: %w", serverError(err))
	}
	return nil
}

// Close ends all connections, and the embedded server if there is one.
func (x *Index) Close() error { return x.close() }
