package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/recorder/store/miniotest"
)

// The fault test's sizes. SKEIN_SOAK=2h makes it last that long; SKEIN_FAULT_SEED repeats the choices of an earlier
// run.
const (
	faultCameras = 4
	faultLength  = 45 * time.Second // of the killing, without SKEIN_SOAK
	faultKills   = 30               // at least, of that length
	faultToken   = "node-token-of-the-fault-test"
	faultGateway = "gateway-token-of-the-fault-test"

	roomy = 1 << 30
	tight = 3 << 19 // bytes of spool that some seconds of footage fill
)

// faultRig is edge, recorder, MinIO and Redis as processes of their own, with faulty links between them.
type faultRig struct {
	t      testing.TB
	rnd    *rand.Rand
	began  time.Time
	cams   []string
	sim    *sim.Server
	ledger *ledger

	toCameras, toRecorder, toStore *faultProxy

	edge, recorder, minio, redis *daemon
	nodes                        map[string]*node
	metrics                      string // of the edge
	disk                         string // the spool's own small file system, "" if none could be made
	ctx                          context.Context
	stop                         context.CancelFunc
}

// TestNothingIsLostThroughFaults records numbered pictures through killed processes, cut links, a full spool and a
// store that answers 503, and then counts: what reached the edge is in the archive once, but for what a kill -9 of
// the edge took out of its memory and what a full spool gave up, and every such hole is typed.
func TestNothingIsLostThroughFaults(t *testing.T) {
	beside(t, 1, 85*time.Second)
	length := faultLength
	if testing.Short() {
		length = faultLength / 3
	}
	length = soakLength(t, length)
	r := newFaultRig(t)
	r.run()
	r.awaitPictures()
	kills := r.torment(length)
	r.overflow()
	r.fillDisk()
	r.settle()
	r.awaitOff()
	p := r.prove()
	t.Logf("%s; kills: %s", p, r.killed())
	if want := int(faultKills * length / faultLength); kills < want {
		t.Errorf("%d kills in %v, want %d", kills, length, want)
	}
	r.check()
	r.verify()
}

func newFaultRig(t *testing.T) *faultRig {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SKEIN_FAULT_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("SKEIN_FAULT_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed: SKEIN_FAULT_SEED=%d", seed)
	r := &faultRig{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), ledger: newLedger(), nodes: map[string]*node{}}
	cfg := sim.Config{}
	for i := range faultCameras {
		r.cams = append(r.cams, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{
			ID: r.cams[i], Video: sim.Video{Width: 640, Height: 352, GOP: 25, Bitrate: 300_000},
		})
	}
	minio, redis := freePort(t), freePort(t)
	r.minio = newDaemon("minio", miniotest.Binary(t), "server", t.TempDir(), "--address", minio, "--quiet")
	r.minio.env = []string{
		"MINIO_ROOT_USER=" + miniotest.AccessKey, "MINIO_ROOT_PASSWORD=" + miniotest.SecretKey, "MINIO_BROWSER=off",
		"MINIO_UPDATE=off", "GOMAXPROCS=2",
	}
	_, port, _ := strings.Cut(redis, ":")
	r.redis = newDaemon("redis", tool(t, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--save", "", "--appendonly", "yes")
	r.sim = startSim(t, cfg)
	r.toCameras = newFaultProxy(t, r.sim.Addr().String(), r.ledger.tap)
	r.toStore = newFaultProxy(t, minio, nil)
	for _, role := range []string{"recorder", "edge"} {
		r.nodes[role] = newNode(t, role)
	}
	r.toRecorder = newFaultProxy(t, r.nodes["recorder"].http, nil)
	r.metrics = freePort(t)
	archive := func(endpoint string) string {
		return oneUnit + fmt.Sprintf(`access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: gw-1, kind: gateway, token: %s}]}
store: {shards: [{name: a, endpoint: %q, bucket: skein-a, access_key: %s, secret_key: %s, timeout: 2s}]}
index: {redis: ["redis://%s/0"]}
`, faultToken, faultGateway, endpoint, miniotest.AccessKey, miniotest.SecretKey, redis)
	}
	r.nodes["recorder"].configure(t, archive(r.toStore.addr()))
	r.nodes["direct"] = newNode(t, "check")
	r.nodes["direct"].configure(t, archive(minio))
	r.configureEdge(roomy)
	r.disk = smallDisk(t, filepath.Join(r.nodes["edge"].dir, "data", "spool"))
	r.recorder = newDaemon("recorder", skeinBinary(t), "recorder", "--config", r.nodes["recorder"].file)
	r.edge = newDaemon("edge", skeinBinary(t), "edge", "--config", r.nodes["edge"].file)
	return r
}

// configureEdge writes the edge's configuration; it holds from its next start on.
func (r *faultRig) configureEdge(maxBytes int64) {
	var b strings.Builder
	fmt.Fprintf(&b, `%slink: {node: edge-1, gateway: "http://127.0.0.1:9", token: %s}
recorder: {urls: ["http://%s"], token: %s}
metrics: {listen: %q}
pull: {retry_min: 100ms, retry_max: 500ms}
spool:
  segment: 4s
  silence: 2s
  keep: 2m
  max_bytes: %d
  ship: {fresh: 5s, backlog_rate: 20000000, retry_min: 100ms, retry_max: 1s}
cameras:
`, oneUnit, faultToken, r.toRecorder.addr(), faultToken, r.metrics, maxBytes)
	for _, id := range r.cams {
		fmt.Fprintf(&b, "  - {id: %s, name: %s, unit: yf, main: \"rtsp://%s/%s\", transport: tcp, record: main}\n", id, id,
			r.toCameras.addr(), id)
	}
	r.nodes["edge"].configure(r.t, b.String())
}

// run starts everything, to be ended with the test.
func (r *faultRig) run() {
	r.began = time.Now()
	r.ctx, r.stop = context.WithCancel(context.Background())
	all := r.daemons()
	for _, d := range all {
		go d.keep(r.ctx, r.t)
	}
	r.t.Cleanup(func() {
		r.stop()
		for _, d := range all {
			<-d.idle
			if dir := os.Getenv("SKEIN_FAULT_LOGS"); dir != "" {
				_ = os.WriteFile(filepath.Join(dir, d.name+".log"), []byte(d.out.String()), 0o600)
			} else if r.t.Failed() && d != r.minio && d != r.redis {
				r.t.Logf("---- %s said:\n%s", d.name, d.out.tail())
			}
		}
	})
}

func (r *faultRig) daemons() []*daemon { return []*daemon{r.edge, r.recorder, r.minio, r.redis} }

// awaitPictures waits until every camera delivers and something is in the archive.
func (r *faultRig) awaitPictures() {
	poll(r.t, "first pictures", 60*time.Second, func() error {
		for _, id := range r.cams {
			if len(r.ledger.of(id)) == 0 {
				return fmt.Errorf("nothing of %s", id)
			}
		}
		return nil
	})
	poll(r.t, "first receipt", 60*time.Second, func() error {
		if n, err := r.metric("skein_spool_shipped_bytes_total"); err != nil || n == 0 {
			return fmt.Errorf("%v bytes shipped, %w", n, err)
		}
		return nil
	})
}

// torment kills processes and breaks links at random.
func (r *faultRig) torment(length time.Duration) (kills int) {
	var wg sync.WaitGroup
	end := time.Now().Add(length)
	links := rand.New(rand.NewPCG(r.rnd.Uint64(), 2))
	wg.Go(func() { r.disturb(links, end) })
	for time.Now().Before(end) {
		time.Sleep(between(r.rnd, 500*time.Millisecond, 1500*time.Millisecond))
		d := r.daemons()[r.rnd.IntN(4)]
		ran, pause := 1500*time.Millisecond, between(r.rnd, 0, time.Second)
		if d == r.edge {
			ran = 3 * time.Second
		}
		for range 4 { // who is not up long enough is spared; somebody is killed each time
			if d.kill(ran, pause) {
				kills++
				break
			}
			d = r.daemons()[r.rnd.IntN(4)]
		}
	}
	wg.Wait()
	return kills
}

// disturb cuts the link to the recorder and makes the store answer 503 or nothing, one after the other.
func (r *faultRig) disturb(rnd *rand.Rand, end time.Time) {
	kinds := []struct {
		p    *faultProxy
		mode faultMode
	}{{r.toRecorder, cut}, {r.toStore, busy}, {r.toStore, hang}, {r.toRecorder, hang}, {r.toStore, cut}}
	for i := 0; time.Now().Before(end); i++ {
		time.Sleep(between(rnd, time.Second, 4*time.Second))
		k := kinds[i%len(kinds)]
		k.p.set(k.mode)
		time.Sleep(between(rnd, time.Second, 5*time.Second))
		k.p.set(pass)
	}
}

// between returns a random time of the range.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// quiet ends all faults and waits until everything runs and nothing is left in the spool.
func (r *faultRig) quiet() {
	for _, p := range []*faultProxy{r.toCameras, r.toRecorder, r.toStore} {
		p.set(pass)
	}
	poll(r.t, "the backlog to clear", 90*time.Second, func() error {
		age, err := r.metric("skein_spool_backlog_age_seconds")
		if err != nil || age > 8 {
			return fmt.Errorf("%v s old, %w", age, err)
		}
		return nil
	})
}

// settle lets the cameras fall silent and waits until the archive has all there is.
func (r *faultRig) settle() {
	r.quiet()
	for _, id := range r.cams {
		r.sim.Camera(id).Stop()
	}
	spool := filepath.Join(r.nodes["edge"].dir, "data", "spool", "cameras")
	poll(r.t, "the spool to be shipped", 90*time.Second, func() error {
		open, err := filepath.Glob(filepath.Join(spool, "*", "*.part"))
		if err != nil || len(open) > 0 {
			return fmt.Errorf("%d segments are open, %w", len(open), err)
		}
		for _, name := range []string{"skein_spool_backlog_segments", "skein_spool_gaps_waiting"} {
			if n, err := r.metric(name); err != nil || n > 0 {
				return fmt.Errorf("%s: %v, %w", name, n, err)
			}
		}
		return nil
	})
	if bad, _ := filepath.Glob(filepath.Join(spool, "*", "*.bad")); len(bad) > 0 {
		r.t.Errorf("set aside: %v", bad)
	}
}

// metric returns the sum of a metric of the edge over its labels.
func (r *faultRig) metric(name string) (float64, error) {
	resp, err := http.Get("http://" + r.metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(body, -1)
	if len(found) == 0 {
		return 0, fmt.Errorf("no metric %s", name)
	}
	sum := 0.0
	for _, f := range found {
		v, err := strconv.ParseFloat(string(f[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

func (r *faultRig) killed() string {
	var list []string
	for _, d := range r.daemons() {
		kills, exits, last := d.report()
		list = append(list, fmt.Sprintf("%s %d", d.name, len(kills)))
		if exits > 0 {
			list = append(list, fmt.Sprintf("(%s ended %d times by itself, last: %v)", d.name, exits, last))
		}
	}
	return strings.Join(list, ", ")
}

// check runs `skein check` with all its proofs: it must find nothing, and nothing may be too young to judge.
//
// One thing may remain, and is mended first: a recorder that was killed between storing an object and indexing it left
// an object without a record, and the edge, whose disk was full, shed the segment before it could ship it again.
func (r *faultRig) check() {
	report, text, err := r.checked("--deep")
	if err == nil && report.InFlight > 0 {
		r.t.Logf("%d stored segments without a record, their receipts lost and the segments shed: rebuilding", report.InFlight)
		if _, text, err = r.checked("--rebuild"); err == nil {
			report, text, err = r.checked("--deep")
		}
	}
	if err != nil || report.Objects == 0 || report.InFlight > 0 || len(report.Findings) > 0 {
		r.t.Errorf("skein check: %v: %s", err, text)
	}
}

type faultReport struct {
	Objects, Unrepaired int64
	InFlight            int64 `json:"in_flight"`
	Findings            []json.RawMessage
}

func (r *faultRig) checked(how string) (report faultReport, text string, err error) {
	out, errs, err := command(r.t, skeinBinary(r.t), "check", how, "--json", "--config", r.nodes["direct"].file)
	if jerr := json.Unmarshal([]byte(out), &report); jerr != nil {
		r.t.Fatalf("skein check %s: %v, %v: %s%s", how, err, jerr, out, errs)
	}
	return report, out + errs, err
}
