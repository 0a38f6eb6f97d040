package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/config/secret"
	"skein/recorder/store"
	"skein/recorder/store/miniotest"
	"skein/recorder/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shardConfig(name, endpoint, bucket string) store.ShardConfig {
	return store.ShardConfig{
		Name: name, Endpoint: endpoint, Bucket: bucket,
		AccessKey: miniotest.AccessKey, SecretKey: secret.New(miniotest.SecretKey), Timeout: 5 * time.Second,
	}
}

func open(t testing.TB, cfg store.Config) store.Archive {
	t.Helper()
	s, err := store.Open(cfg, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func bucketName(t testing.TB, i int) string {
	return fmt.Sprintf("t%d-%d", time.Now().UnixNano(), i)
}

func TestDir(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Archive {
		return open(t, store.Config{Dir: filepath.Join(t.TempDir(), "store")})
	})
}

func TestMinIO(t *testing.T) {
	t.Parallel()
	srv := miniotest.Start(t)
	for _, v := range []struct {
		name string
		n    int
		lock bool
	}{{"one bucket", 1, false}, {"three buckets", 3, false}, {"object lock", 2, true}} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Archive {
				var cfg store.Config
				for i := range v.n {
					c := shardConfig(fmt.Sprintf("s%d", i), srv.Endpoint, bucketName(t, i))
					c.Lock = v.lock
					cfg.Shards = append(cfg.Shards, c)
				}
				s := open(t, cfg)
				r, err := s.Probe(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !r.Shards[0].Created || r.Shards[0].Has("lock") != v.lock {
					t.Fatalf("probe: %s", r.Shards[0])
				}
				return s
			})
		})
	}
}

// On one machine nothing is copied twice: a sealed file on the store's file system is linked.
// What is stored while the last segment of its hour is deleted finds its folder gone, and makes it again.
func TestDirStoresWhileTheFolderGoes(t *testing.T) {
	t.Parallel()
	d, err := store.OpenDir(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	old, _ := storetest.Put(t, d, "cam", 1, 600)
	for seq := uint64(2); seq < 300; seq++ {
		gone := make(chan error)
		go func() { gone <- d.Delete(t.Context(), store.LocalShard, old.Key()) }()
		next, _ := storetest.Put(t, d, "cam", seq, 600)
		if err := <-gone; err != nil {
			t.Fatal(err)
		}
		old = next
	}
}

func TestDirLinksSealedFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, store.Config{Dir: filepath.Join(root, "store")})
	m, data := storetest.Segment("cam", 1, 5000)
	path := filepath.Join(root, "sealed")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), m, store.Source{Path: path}); err != nil {
		t.Fatal(err)
	}
	a, err1 := os.Stat(path)
	b, err2 := os.Stat(filepath.Join(root, "store", m.Key()))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) || a.Sys().(*syscall.Stat_t).Nlink != 2 {
		t.Fatal("the sealed file was copied")
	}
}

// An object that was damaged on disk is replaced by the next put of the segment.
func TestDirReplacesDamagedObject(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, store.Config{Dir: root})
	m, _ := storetest.Put(t, s, "cam", 1, 5000)
	for _, damage := range []func() error{
		func() error { return os.Truncate(filepath.Join(root, m.Key()), 100) },
		func() error { return os.Remove(filepath.Join(root, m.Key()) + ".json") },
		func() error { return os.WriteFile(filepath.Join(root, m.Key())+".json", []byte("{"), 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		storetest.Put(t, s, "cam", 1, 5000)
		o, err := s.Open(t.Context(), "", m.Key())
		if err != nil || o.Size() != 5000 {
			t.Fatal(err)
		}
		_ = o.Close()
		if _, err := s.Manifest(t.Context(), "", m.Key()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := shardConfig("a", "h:1", "bucket")
	with := func(f func(*store.ShardConfig)) store.Config {
		c := good
		f(&c)
		return store.Config{Shards: []store.ShardConfig{c}}
	}
	for want, cfg := range map[string]store.Config{
		"set either dir or shards": {},
		"either dir":               {Dir: "x", Shards: []store.ShardConfig{good}},
		"used twice":               {Shards: []store.ShardConfig{good, good}},
		"already shard \"a\"": {Shards: []store.ShardConfig{good, func() store.ShardConfig {
			c := good
			c.Name = "b"
			return c
		}()}},
		"drain":      with(func(c *store.ShardConfig) { c.Drain = true }),
		"name":       with(func(c *store.ShardConfig) { c.Name = "A" }),
		"endpoint":   with(func(c *store.ShardConfig) { c.Endpoint = "" }),
		"bucket":     with(func(c *store.ShardConfig) { c.Bucket = "x" }),
		"access_key": with(func(c *store.ShardConfig) { c.SecretKey = secret.String{} }),
		"weight":     with(func(c *store.ShardConfig) { c.Weight = -1 }),
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	text, err := json.Marshal(good)
	all := string(text) + fmt.Sprintf("%v %+v %#v", good, good, good)
	if err != nil || strings.Contains(all, miniotest.SecretKey) || good.SecretKey.Reveal() != miniotest.SecretKey {
		t.Fatalf("secret: %s %v", all, err)
	}
}

// Cameras are spread by weight, and only those that must move do so when a shard is added or drained.
func TestRendezvous(t *testing.T) {
	t.Parallel()
	build := func(n int, drain int) *store.Shards {
		var list []store.ShardConfig
		for i := range n {
			c := shardConfig(fmt.Sprintf("s%d", i), "h:1", fmt.Sprintf("bucket%d", i))
			c.Weight, c.Drain = float64(i+1), i == drain
			list = append(list, c)
		}
		s, err := store.OpenShards(list, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const cameras = 20_000
	three, four, drained := build(3, -1), build(4, -1), build(3, 1)
	count := map[string]int{}
	moved := 0
	for i := range cameras {
		id := fmt.Sprintf("cam%d", i)
		a, b, d := three.Order(id), four.Order(id), drained.Order(id)
		count[a[0]]++
		if a[0] != b[0] {
			if moved++; b[0] != "s3" {
				t.Fatalf("%s moved from %s to %s", id, a[0], b[0])
			}
		}
		if d[2] != "s1" || (a[0] != "s1" && d[0] != a[0]) {
			t.Fatalf("%s with s1 drained: %v, before %v", id, d, a)
		}
	}
	for i := range 3 {
		share := float64(count[fmt.Sprintf("s%d", i)]) / cameras
		if want := float64(i+1) / 6; math.Abs(share-want) > 0.02 {
			t.Errorf("shard s%d has %.3f of the cameras, want %.3f", i, share, want)
		}
	}
	if share := float64(moved) / cameras; math.Abs(share-0.4) > 0.02 {
		t.Errorf("a fourth shard of weight 4 took %.3f, want 0.4", share)
	}
}

// A shard that is down spills to the next and comes back; what spilled is read from where it went.
func TestSpillAndReturn(t *testing.T) {
	t.Parallel()
	srv := miniotest.Start(t)
	gate := newGate(t, srv.Endpoint)
	now := time.Now()
	cfg := []store.ShardConfig{shardConfig("a", gate.addr, "bucket-a"), shardConfig("b", srv.Endpoint, "bucket-b")}
	s, err := store.OpenShards(cfg, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	camera := ""
	for i := 0; camera == ""; i++ {
		if id := fmt.Sprintf("cam%d", i); s.Order(id)[0] == "a" {
			camera = id
		}
	}
	put := func(seq uint64, want string) {
		t.Helper()
		m, shard := storetest.Put(t, s, camera, seq, 3000)
		if shard != want {
			t.Fatalf("segment %d went to %s, want %s", seq, shard, want)
		}
		o, err := s.Open(t.Context(), shard, m.Key())
		if err != nil || o.Size() != 3000 {
			t.Fatal(err)
		}
	}
	put(1, "a")
	gate.close()
	put(2, "b")
	if down := s.Down(); !slices.Equal(down, []string{"a"}) {
		t.Fatalf("down: %v", down)
	}
	m, data := storetest.Segment(camera, 3, 3000) // a reader that cannot rewind goes straight to the shard that is up
	src := store.Source{Reader: struct{ *bytes.Buffer }{bytes.NewBuffer(data)}, Size: m.Bytes}
	if shard, err := s.Put(t.Context(), m, src); err != nil || shard != "b" {
		t.Fatalf("shard %s, %v", shard, err)
	}
	var failures, found int
	for _, err := range s.List(t.Context(), "v1/") {
		var se *store.ShardError
		switch {
		case errors.As(err, &se) && se.Shard == "a":
			failures++
		case err != nil:
			t.Fatal(err)
		default:
			found++
		}
	}
	if failures != 1 || found != 2 {
		t.Fatalf("listing with a shard down: %d failures, %d entries", failures, found)
	}
	m1, _ := storetest.Segment(camera, 1, 3000)
	if _, err := s.Open(t.Context(), "a", m1.Key()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("open on a shard that is down: %v", err)
	}
	gate.open()
	now = now.Add(time.Minute)
	put(4, "a")
	for seq := range uint64(4) {
		m, _ := storetest.Segment(camera, seq+1, 3000)
		if err := s.Delete(t.Context(), "", m.Key()); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range s.List(t.Context(), "") {
		t.Fatalf("left: %v, %v", e, err)
	}
}

// A document is written to two shards and read in its newest version.
func TestDocumentsSurviveAShard(t *testing.T) {
	t.Parallel()
	srv := miniotest.Start(t)
	ctx := t.Context()
	gates := []*gate{newGate(t, srv.Endpoint), newGate(t, srv.Endpoint), newGate(t, srv.Endpoint)}
	var cfg []store.ShardConfig
	for i, g := range gates {
		cfg = append(cfg, shardConfig(fmt.Sprintf("s%d", i), g.addr, fmt.Sprintf("bucket-%d", i)))
	}
	now := time.Now()
	s, err := store.OpenShards(cfg, store.Options{Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for i, g := range gates {
			g.close()
			text := fmt.Sprintf("%d/%d", round, i)
			if err := s.PutBlob(ctx, "doc", []byte(text)); err != nil {
				t.Fatal(err)
			}
			g.open()
			if got, err := s.GetBlob(ctx, "doc"); err != nil || string(got) != text {
				t.Fatalf("got %q, %v, want %q", got, err, text)
			}
		}
	}
	gates[0].close()
	if _, err := s.GetBlob(ctx, "absent"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("absent, but a shard is down: %v", err)
	}
	if err := s.DeleteBlob(ctx, "doc"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("delete with a shard down: %v", err)
	}
}

// An endpoint that accepts connections and never answers costs its timeout, not for ever.
func TestSilentEndpoint(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := shardConfig("a", l.Addr().String(), "bucket")
	c.Timeout = 200 * time.Millisecond
	s := open(t, store.Config{Shards: []store.ShardConfig{c}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, data := storetest.Segment("cam", 1, 3000)
	src := store.Source{Reader: bytes.NewReader(data), Size: m.Bytes}
	if _, err := s.Put(ctx, m, src); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Open(ctx, "a", m.Key()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("open: %v", err)
	}
	_, err = s.Probe(ctx)
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), miniotest.SecretKey) {
		t.Errorf("probe: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("it took longer than its timeouts")
	}
}
