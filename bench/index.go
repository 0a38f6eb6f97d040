package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/recorder/check"
	"skein/recorder/index"
	"skein/recorder/segment"
	"skein/recorder/store"
)

const (
	indexCameras = 1000
	indexDays    = 4
)

// benchIndex measures the segment index in a real Redis with more than ten million records. The garbage collector is
// left as it comes, as in a recorder.
func benchIndex(ctx context.Context, _ options, t *table) (err error) {
	addr, server, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	x, err := index.Open(index.Config{Redis: []string{"redis://" + addr + "/0"}}, index.Options{})
	if err != nil {
		return err
	}
	defer x.Close()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	empty, err := usedMemory(ctx, client)
	if err != nil {
		return err
	}
	report, err := check.Run(ctx, check.Options{Rebuild: true}, synthetic{}, x)
	if err != nil {
		return err
	}
	n, rate := report.Added, float64(report.Added)/report.Took.Seconds()
	what := fmt.Sprintf("index of %.1f million segments (%d cameras, %d days)", float64(n)/1e6, indexCameras, indexDays)
	t.add(what+": rebuild, listing to Redis", fmt.Sprintf("%.0f segments/s", rate), ">= 50000 segments/s", rate >= 50000)
	full, err := usedMemory(ctx, client)
	if err != nil {
		return err
	}
	bytes, err := memoryUsage(ctx, client)
	if err != nil {
		return err
	}
	per, all := float64(bytes)/float64(n), float64(full-empty)/float64(n)
	t.add(what+": MEMORY USAGE of all keys", fmt.Sprintf("%.1f bytes a segment", per), "<= 32 bytes", per <= 32)
	t.add(what+": used_memory, overhead of Redis included", fmt.Sprintf("%.1f bytes a segment", all), "", true)
	t.add("1,000 cameras x 90 days at 30 s (259 million), from that", fmt.Sprintf("%.1f GB", 259e6*all/1e9), "about 8 GB",
		259e6*all < 9e9)
	return queryIndex(ctx, x, client, t)
}

// startRedis runs a redis-server without persistence.
func startRedis(ctx context.Context) (addr string, c *child, err error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "skein-bench-redis-")
	if err != nil {
		return "", nil, err
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, err
	}
	c, err = start(ctx, nil, path, "--port", fmt.Sprint(ports[0]), "--bind", "127.0.0.1", "--save", "", "--appendonly",
		"no", "--dir", dir)
	if err != nil {
		return "", nil, err
	}
	addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	for range 100 {
		if err = client.Ping(ctx).Err(); err == nil {
			return addr, c, nil
		}
		if err := pause(ctx, 50*time.Millisecond, c); err != nil {
			return "", nil, err
		}
	}
	return "", nil, errors.Join(err, c.stop())
}

func usedMemory(ctx context.Context, c *redis.Client) (int64, error) {
	info, err := c.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	var n int64
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &n)
	return n, err
}

// memoryUsage adds up MEMORY USAGE of all keys.
func memoryUsage(ctx context.Context, c *redis.Client) (int64, error) {
	var total int64
	var cursor uint64
	for {
		keys, next, err := c.Scan(ctx, cursor, "*", 1000).Result()
		if err != nil {
			return 0, err
		}
		cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range keys {
				p.MemoryUsage(ctx, k, 0)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		for _, cmd := range cmds {
			if v, ok := cmd.(*redis.IntCmd); ok {
				total += v.Val()
			}
		}
		if cursor = next; cursor == 0 {
			return total, nil
		}
	}
}

// synthetic is an archive that exists only as its listing: every camera records all day, cut at the first key frame
// after 30 s, key frames every 1 to 2 s.
type synthetic struct{}

func syntheticBase() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

func syntheticID(i int) string { return fmt.Sprintf("baishazhou-%04d", i) }

// Cameras implements check.Store.
func (synthetic) Cameras(context.Context) ([]string, error) {
	ids := make([]string, indexCameras)
	for i := range ids {
		ids[i] = syntheticID(i)
	}
	return ids, nil
}

// List implements check.Store.
func (synthetic) List(_ context.Context, prefix string) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		camera := strings.Trim(strings.TrimPrefix(prefix, segment.KeyPrefix), "/")
		var i uint64
		_, _ = fmt.Sscanf(camera, "baishazhou-%d", &i) // our own id
		rnd := rand.New(rand.NewPCG(i, 7))
		at := syntheticBase().Add(time.Duration(rnd.IntN(30_000)) * time.Millisecond)
		for seq := uint64(1); at.Before(syntheticBase().AddDate(0, 0, indexDays)); seq++ {
			r := segment.Record{Start: at, Duration: 30*time.Second + time.Duration(rnd.IntN(2000))*time.Millisecond, Seq: seq}
			h := rnd.Uint64()
			r.Hash = [6]byte{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32), byte(h >> 40)}
			e := store.Entry{
				Shard: fmt.Sprintf("shard-%d", i%4), Key: r.Key(camera), Size: 15_000_000 + int64(h>>48), Modified: at,
			}
			if !yield(e, nil) {
				return
			}
			at = r.End()
		}
	}
}

// Manifest implements check.Store. The gaps of a synthetic archive have no cause.
func (synthetic) Manifest(context.Context, string, string) (segment.Manifest, error) {
	return segment.Manifest{}, nil
}

// Open implements check.Store.
func (synthetic) Open(context.Context, string, string) (store.Object, error) {
	return nil, store.ErrNotFound
}
