package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/config"
	"skein/edge/media"
	"skein/edge/status"
	"skein/recorder/index/redistest"
	"skein/recorder/store"
	"skein/recorder/store/miniotest"
)

// site is a Skein of three processes with real engines.
type site struct {
	edge, gateway, recorder *node
	minio                   *miniotest.Server
	redis                   redistest.Server
	sim                     *sim.Server
}

const (
	edgeToken    = "token-of-the-edge-node"
	gatewayToken = "token-of-the-gateway-node"
)

// startSite starts edge, gateway and recorder over MinIO and Redis, and waits until both cameras are live.
func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		minio: miniotest.Start(t), redis: redistest.Start(t),
		edge: newNode(t, "edge"), gateway: newNode(t, "gateway"), recorder: newNode(t, "recorder"),
		sim: startSim(t, sim.Config{Cameras: []sim.Camera{
			{ID: "one", Video: small(media.H264), Audio: media.AAC}, {ID: "two", Video: small(media.H264), Audio: media.G711A},
		}}),
	}
	inventory := oneUnit + "cameras:\n"
	for _, id := range []string{"one", "two"} {
		inventory += fmt.Sprintf("  - {id: %s, name: A, unit: yf, edge: edge-1, main: %q, transport: tcp, record: main}\n",
			id, s.sim.URL(id, media.Main))
	}
	s.recorder.configure(t, inventory+fmt.Sprintf(`
access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: gateway-1, kind: gateway, token: %s}]}
store: {shards: [{name: a, endpoint: %q, bucket: skein-a, access_key: %s, secret_key: %s, timeout: 5s}]}
index: {redis: [%q]}
`, edgeToken, gatewayToken, s.minio.Endpoint, miniotest.AccessKey, miniotest.SecretKey, s.redis.URL))
	s.gateway.configure(t, inventory+fmt.Sprintf(`
access:
  tokens: [{name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}]
  nodes: [{id: edge-1, kind: edge, token: %s}]
recorder: {urls: ["http://%s"], token: %s}
`, edgeToken, s.recorder.http, gatewayToken))
	s.edge.configure(t, inventory+fmt.Sprintf(`
spool: {segment: 4s, ship: {retry_min: 200ms, retry_max: 2s}}
link: {node: edge-1, gateway: "http://%s", token: %s}
recorder: {urls: ["http://%s"], token: %s}
`, s.gateway.http, edgeToken, s.recorder.http, edgeToken))
	s.recorder.start(t)
	s.gateway.start(t)
	s.edge.start(t)
	s.gateway.awaitState(t, status.Live, 30*time.Second, "one", "two")
	return s
}

// TestSplit runs edge, gateway and recorder as processes of their own and takes the recorder, MinIO and Redis away.
func TestSplit(t *testing.T) {
	beside(t, 1, 70*time.Second)
	tool(t, "ffprobe")
	s := startSite(t)
	began := time.Now()
	left := s.liveOnDemand(t)

	s.recorder.kill()
	await(t, time.Now().Add(3*time.Second)) // segments come to a recorder that is not there
	s.recorder.start(t)
	s.gateway.awaitArchive(t, began, time.Now(), 40*time.Second, "one", "two")

	outage := 20 * time.Second
	if os.Getenv("SKEIN_LONG") == "1" {
		outage = time.Minute
	}
	s.minio.Stop()
	down := time.Now()
	s.lingerEnds(t, left)
	await(t, down.Add(outage))
	s.minio.Restart()
	end := time.Now().Add(5 * time.Second)
	s.gateway.awaitArchive(t, began, end, 90*time.Second, "one", "two")
	for _, id := range []string{"one", "two"} { // the newest may come first
		poll(t, "whole footage of "+id, 60*time.Second, func() error {
			spans, gaps, err := s.gateway.coverage(id, began, end)
			if err == nil && len(spans) != 1 {
				err = fmt.Errorf("spans %v, gaps %v", spans, gaps)
			}
			return err
		})
	}
	t.Logf("MinIO was away for %v; the archive was whole %v after it came back", outage,
		time.Since(down.Add(outage)).Round(time.Second))

	for _, id := range []string{"one", "two"} {
		s.everyFrameOnce(t, id, began, end)
	}
	s.gateway.exactClips(t, "two", began, end)
	s.gatewayRestarts(t)
	s.rebuild(t, began, end)
	s.check(t, "--deep")
}

// liveOnDemand proves that a stream crosses the link once while two look, and not before. It returns when they left.
func (s *site) liveOnDemand(t *testing.T) time.Time {
	t.Helper()
	if n := s.publications("publishing to the gateway"); n != 0 {
		t.Errorf("%d publications before anybody looks", n)
	}
	a := s.gateway.watch(t, "one")
	b := s.gateway.watch(t, "one")
	n := len(a.await(t, 100, 30*time.Second)) + len(b.await(t, 75, 30*time.Second))
	t.Logf("WHEP over the link: %d frames without a hole", n)
	if n := s.publications("publishing to the gateway"); n != 1 {
		t.Errorf("%d publications while two look at one camera, want one", n)
	}
	if n := s.sim.Camera("one").Readers(); n != 1 {
		t.Errorf("the camera is pulled %d times, want once", n)
	}
	a.leave(t, s.gateway)
	b.leave(t, s.gateway)
	return time.Now()
}

// lingerEnds proves that the edge ends its publication a linger time after the last viewer left.
func (s *site) lingerEnds(t *testing.T, left time.Time) {
	t.Helper()
	poll(t, "end of the publication", 30*time.Second, func() error {
		if n := s.publications("publication ended"); n != 1 {
			return fmt.Errorf("%d have ended", n)
		}
		return nil
	})
	line := regexp.MustCompile(`time=(\S+) .*msg="publication ended"`).FindStringSubmatch(s.edge.out.String())
	ended, err := time.Parse(time.RFC3339Nano, line[1])
	if linger := ended.Sub(left); err != nil || linger < 9*time.Second || linger > 15*time.Second {
		t.Errorf("the publication ended %v after the last viewer left (%v), want 10 s", linger, err)
	}
}

func (s *site) publications(what string) int { return strings.Count(s.edge.out.String(), what) }

// gatewayRestarts proves that the edge finds a restarted gateway again, and that the live picture comes back.
func (s *site) gatewayRestarts(t *testing.T) {
	t.Helper()
	s.gateway.stop()
	s.gateway.start(t)
	s.gateway.awaitState(t, status.Live, 40*time.Second, "one", "two")
	v := s.gateway.watch(t, "two")
	v.await(t, 50, 30*time.Second)
	v.leave(t, s.gateway)
}

// everyFrameOnce proves that MinIO holds every frame from before began until after end exactly once, and that a clip of
// all of it is whole.
func (s *site) everyFrameOnce(t *testing.T, id string, began, end time.Time) {
	t.Helper()
	var first, last sim.Mark
	count := map[uint64]int{}
	for _, f := range s.archived(t, id) {
		count[f.Frame]++
		if first.Frame == 0 || f.Frame < first.Frame {
			first = f.Mark
		}
		if f.Frame > last.Frame {
			last = f.Mark
		}
	}
	if first.Wall.After(began) || last.Wall.Before(end.Add(-2*frameTime)) {
		t.Errorf("%s: archive from %v to %v, want from %v to %v", id, first.Wall, last.Wall, began, end)
	}
	for n := first.Frame; n <= last.Frame; n++ {
		if count[n] != 1 {
			t.Errorf("%s: frame %d is in MinIO %d times", id, n, count[n])
		}
	}
	c := s.gateway.fetch(t, id, began, end)
	if h := holes(numbers(c.frames)); len(h) > 0 || (c.duration-end.Sub(began)).Abs() > frameTime {
		t.Errorf("%s: clip of %v, want %v; holes %v", id, c.duration, end.Sub(began), h)
	}
	probe(t, c.file)
	t.Logf("%s: %d frames, each once", id, len(count))
}

// archived returns the frames of all objects of a camera.
func (s *site) archived(t *testing.T, id string) []frame {
	t.Helper()
	cfg, err := config.Load(s.recorder.file)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(cfg.Store, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all []frame
	for e, err := range st.List(ctx, "v1/"+id+"/") {
		if err != nil {
			t.Fatal(err)
		}
		o, err := st.Open(ctx, e.Shard, e.Key)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
		if err != nil {
			t.Fatal(err)
		}
		_ = o.Close()
		m, err := parseMP4(data)
		if err != nil {
			t.Fatalf("%s: %v", e.Key, err)
		}
		all = append(all, m.frames...)
	}
	return all
}

// rebuild empties Redis and proves that the recorder notices by itself and brings every clip back, and that the check
// command does so as well.
func (s *site) rebuild(t *testing.T, began, end time.Time) {
	t.Helper()
	before := map[string][]uint64{}
	for _, id := range []string{"one", "two"} {
		before[id] = numbers(s.gateway.fetch(t, id, began, end).shown())
	}
	s.flush(t)
	told := false // nothing is called a gap meanwhile
	poll(t, "the index is rebuilt", 20*time.Second, func() error {
		spans, gaps, err := s.gateway.coverage("one", began, end)
		if err != nil {
			told = told || strings.Contains(err.Error(), "index is being rebuilt")
			return err
		}
		if len(spans) != 1 || len(gaps) != 0 {
			t.Fatalf("after FLUSHALL: spans %v, gaps %v", spans, gaps)
		}
		return nil
	})
	if !told {
		t.Log("the rebuild was quicker than the first question")
	}
	for id, want := range before {
		if got := numbers(s.gateway.fetch(t, id, began, end).shown()); !slices.Equal(got, want) {
			t.Errorf("%s: %d frames after the rebuild, want %d", id, len(got), len(want))
		}
	}
}

// flush empties Redis.
func (s *site) flush(t *testing.T) {
	t.Helper()
	c, err := net.Dial("tcp", s.redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "FLUSHALL\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("FLUSHALL: %q, %v", line, err)
	}
}

// check runs skein check beside live recording; it must find nothing wrong.
func (s *site) check(t *testing.T, flags ...string) {
	t.Helper()
	args := append([]string{"check", "--config", s.recorder.file}, flags...)
	out, errs, err := command(t, skeinBinary(t), args...)
	if err != nil {
		t.Errorf("skein %v: exit %d\n%s%s", args, exited(err), out, errs)
	}
	t.Logf("skein check %v: %s", flags, lastLine(out))
}
