package index_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/recorder/index"
	"skein/recorder/index/indextest"
	"skein/recorder/index/redistest"
)

// client returns a plain client of the test's server.
func client(t testing.TB, s redistest.Server) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func flush(t testing.TB, s redistest.Server) {
	t.Helper()
	if err := client(t, s).FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
}

// The suite on a real cluster of three nodes: every command must stay within one slot.
func TestCluster(t *testing.T) {
	t.Parallel()
	var urls []string
	args := []string{"--cluster", "create"}
	for range 3 {
		s := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		urls = append(urls, s.URL)
		args = append(args, s.Addr)
	}
	out, err := exec.Command("redis-cli", append(args, "--cluster-yes")...).CombinedOutput() //nolint:noctx // short
	if err != nil {
		t.Fatalf("create cluster: %v\n%s", err, out)
	}
	x := open(t, index.Config{Redis: urls, Cluster: true})
	deadline := time.Now().Add(20 * time.Second)
	for ready := 0; ready < 50; {
		err := x.Add(t.Context(), fmt.Sprintf("probe%d", ready), indextest.Record(indextest.Base(), time.Second, 1))
		if err == nil {
			ready++
			continue
		}
		if time.Now().After(deadline) {
			t.Fatalf("cluster does not come up: %v", err)
		}
		wait := time.NewTimer(100 * time.Millisecond)
		<-wait.C
	}
	indextest.Run(t, func(t *testing.T) *index.Index { return open(t, index.Config{Redis: urls, Cluster: true}) })
}

// usage adds up MEMORY USAGE of every key of the index, with all samples.
func usage(t testing.TB, c *redis.Client) (bytes, keys int64) {
	t.Helper()
	ctx := context.Background()
	it := c.Scan(ctx, 0, "*", 1000).Iterator()
	for it.Next(ctx) {
		if !strings.HasPrefix(it.Val(), "seg:") {
			t.Errorf("unexpected key %q", it.Val())
		}
		n, err := c.MemoryUsage(ctx, it.Val(), 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		bytes += n
		keys++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return bytes, keys
}
