package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The secrets of one run's private MinIO and nodes.
const (
	benchKey     = "skein-bench"
	benchSecret  = "skein-bench-secret"
	benchNode    = "bench-node-token-of-this-run"
	benchGateway = "bench-gateway-token-of-this-run"
)

// site is edge, gateway and recorder as processes of their own, over a real MinIO and Redis.
type site struct {
	rig      // dir, sim, and the gateway's address
	children []*child
	edge     *child
	recorder *child
	metrics  string // address of the edge's
}

// newSite starts everything, recording all cameras, and waits until they are live.
func newSite(ctx context.Context, o options) (s *site, err error) {
	s = &site{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "skein-bench-site-"); err != nil {
		return s, err
	}
	ports, err := freePorts(8)
	if err != nil {
		return s, err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	redisAddr, c, err := startRedis(ctx)
	if err != nil {
		return s, err
	}
	s.children = append(s.children, c)
	if err := s.startMinio(ctx, at(0)); err != nil {
		return s, err
	}
	s.sim, err = start(ctx, nil, o.skein, "sim", "--listen", at(1), "--cameras", fmt.Sprint(o.cameras), "--bitrate",
		fmt.Sprint(o.bitrate))
	if err != nil {
		return s, err
	}
	s.children = append(s.children, s.sim)
	inventory := s.inventory(o, at(1))
	role := func(name, listen, more string) (*child, error) {
		file := filepath.Join(s.dir, name+".yaml")
		text := fmt.Sprintf("data_dir: %s\nlisten: %s\nlog: {level: warn}\n%s%s", filepath.Join(s.dir, name), listen, more,
			inventory)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		c, err := start(ctx, []string{"SKEIN_BENCH_TOKEN=" + benchToken}, o.skein, name, "--config", file)
		if err == nil {
			s.children = append(s.children, c)
		}
		return c, err
	}
	s.recorder, err = role("recorder", at(2), fmt.Sprintf(`access:
  nodes: [{id: node, kind: edge, token: %s}, {id: gateway, kind: gateway, token: %s}]
store: {shards: [{name: a, endpoint: %q, bucket: skein-a, access_key: %s, secret_key: %s}]}
index: {redis: ["redis://%s/0"]}
`, benchNode, benchGateway, at(0), benchKey, benchSecret, redisAddr))
	if err != nil {
		return s, err
	}
	s.http = at(3)
	s.skein, err = role("gateway", at(3), fmt.Sprintf(`webrtc: {udp: "%s"}
rtsp: {listen: "%s"}
access:
  tokens: [{name: bench, token: {env: SKEIN_BENCH_TOKEN}, role: admin, unit: yf}]
  nodes: [{id: node, kind: edge, token: %s}]
recorder: {urls: ["http://%s"], token: %s}
`, at(4), at(5), benchNode, at(2), benchGateway))
	if err != nil {
		return s, err
	}
	s.metrics = at(7)
	s.edge, err = role("edge", at(6), fmt.Sprintf(`link: {node: node, gateway: "http://%s", token: %s}
recorder: {urls: ["http://%s"], token: %s}
metrics: {listen: %q}
`, at(3), benchNode, at(2), benchNode, s.metrics))
	if err != nil {
		return s, err
	}
	return s, s.awaitLive(ctx, o.cameras)
}

func (s *site) startMinio(ctx context.Context, addr string) error {
	path, err := exec.LookPath("minio")
	if err != nil {
		home, herr := os.UserHomeDir()
		if herr != nil {
			return errors.Join(err, herr)
		}
		path = filepath.Join(home, ".cache", "skein", "bin", "minio")
	}
	c, err := start(ctx, []string{
		"MINIO_ROOT_USER=" + benchKey, "MINIO_ROOT_PASSWORD=" + benchSecret, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
	}, path, "server", filepath.Join(s.dir, "minio"), "--address", addr, "--quiet")
	if err != nil {
		return err
	}
	s.children = append(s.children, c)
	return pause(ctx, 3*time.Second, c)
}

func (s *site) inventory(o options, rtsp string) string {
	var b strings.Builder
	b.WriteString("units: [{id: yf, name: 雁峰区, tier: district}]\ncameras:\n")
	for i := range o.cameras {
		fmt.Fprintf(&b, "  - {id: cam%d, name: 路口 %d, unit: yf, edge: node, main: \"rtsp://%s/cam%d\", transport: tcp, "+
			"record: main}\n", i, i, rtsp, i)
	}
	return b.String()
}

func (s *site) close() error {
	var errs []error
	for _, c := range slices.Backward(s.children) {
		errs = append(errs, c.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// benchRecord measures recording with edge and recorder apart: ingest, spool and ship to a real MinIO, then clips out
// of it.
func benchRecord(ctx context.Context, o options, t *table) (err error) {
	s, err := newSite(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	began := time.Now()
	// Segments are 30 s and cut at staggered times: from here on they come and go evenly.
	if err := pause(ctx, 45*time.Second, s.edge); err != nil {
		return err
	}
	before, at := s.stored(), time.Now()
	disk, err := s.disk(ctx)
	if err != nil {
		return err
	}
	edge, recorder, err := s.watch(ctx, max(o.duration, time.Minute))
	if err != nil {
		return err
	}
	after, err := s.disk(ctx)
	if err != nil {
		return err
	}
	arrived := float64(s.stored()-before) * 8 / 1e6 / time.Since(at).Seconds()
	what := fmt.Sprintf("%d cameras at %.1f Mbit/s into MinIO: ", o.cameras, float64(o.bitrate)/1e6)
	t.add(what+"footage that arrived there", fmt.Sprintf("%.1f Mbit/s", arrived), "", true)
	t.add(what+"edge, CPU of one core", fmt.Sprintf("%.1f %%", edge.cpu), "<= 15 %", edge.cpu <= 15)
	t.add(what+"edge, most memory", fmt.Sprintf("%.0f MB", edge.rss), "<= 120 MB", edge.rss <= 120)
	took := time.Since(at).Seconds()
	t.add(what+"edge, to disk: fragments / fsyncs a second and camera, bytes",
		fmt.Sprintf("%.2f / %.2f, %.2f MB/s", (after.fragments-disk.fragments)/took/float64(o.cameras),
			(after.syncs-disk.syncs)/took/float64(o.cameras), (after.bytes-disk.bytes)/took/1e6), "", true)
	t.add(what+"recorder, CPU of one core", fmt.Sprintf("%.1f %%", recorder.cpu), "<= 8 %", recorder.cpu <= 8)
	t.add(what+"recorder, most memory", fmt.Sprintf("%.0f MB", recorder.rss), "<= 80 MB", recorder.rss <= 80)
	var first, whole []time.Duration
	for i := range 60 {
		from := began.Add(time.Duration(5+i%15) * time.Second)
		f, w, err := s.clip(ctx, fmt.Sprintf("cam%d", i%o.cameras), from, from.Add(20*time.Second))
		if err != nil {
			return err
		}
		first, whole = append(first, f), append(whole, w)
	}
	slices.Sort(first)
	slices.Sort(whole)
	t.add("20 s clip from MinIO through gateway and recorder, beside that load: first byte p50 / p95",
		fmt.Sprintf("%.1f / %.1f ms", millis(first, 0.5), millis(first, 0.95)), "p50 <= 25 ms", millis(first, 0.5) <= 25)
	t.add("20 s clip from MinIO: whole p50 / p95",
		fmt.Sprintf("%.1f / %.1f ms", millis(whole, 0.5), millis(whole, 0.95)), "", true)
	return nil
}

// diskWork is what the edge has done to its disk so far.
type diskWork struct{ fragments, syncs, bytes float64 }

// disk reads it from the edge's metrics and, bytes, from the system.
func (s *site) disk(ctx context.Context) (d diskWork, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	if err != nil {
		return d, err
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return d, err
	}
	system, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.edge.pid()))
	if err != nil {
		return d, err
	}
	for line := range strings.Lines(string(body) + string(system)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "skein_spool_fragments_total":
			d.fragments = v
		case "skein_spool_syncs_total":
			d.syncs = v
		case "write_bytes:":
			d.bytes = v
		}
	}
	return d, nil
}

// stored returns how many bytes MinIO keeps.
func (s *site) stored() (n int64) {
	_ = filepath.WalkDir(filepath.Join(s.dir, "minio"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // files come and go while MinIO works
		}
		if info, err := e.Info(); err == nil && e.Type().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// load is what a process used over a while.
type load struct {
	cpu float64 // percent of one core
	rss float64 // MB, the most of all samples
}

// watch samples edge and recorder for a while.
func (s *site) watch(ctx context.Context, d time.Duration) (edge, recorder load, err error) {
	pids := []int{s.edge.pid(), s.recorder.pid()}
	loads := make([]load, len(pids))
	begun := make([]usage, len(pids))
	for i, pid := range pids {
		if begun[i], err = usageOf(pid); err != nil {
			return edge, recorder, err
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := pause(ctx, 500*time.Millisecond, s.edge); err != nil {
			return edge, recorder, err
		}
		for i, pid := range pids {
			u, err := usageOf(pid)
			if err != nil {
				return edge, recorder, err
			}
			loads[i] = load{cpu: cores(begun[i], u) * 100, rss: max(loads[i].rss, float64(u.rss)/1e6)}
		}
	}
	return loads[0], loads[1], nil
}
