package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/status"
)

// The tests of this package run the real binary as its users do: SKEIN_BIN, or one that is built at first use.

// testToken is the bearer token of every gateway under test.
const testToken = "end-to-end-token-of-the-tests"

// built is where the one binary of all tests is built; TestMain removes it.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	if err := manyAtOnce(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// skeinBinary returns the binary under test.
func skeinBinary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv("SKEIN_BIN"); built.path != "" {
			built.path, built.err = filepath.Abs(built.path)
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "skein-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "skein")
		cmd := exec.Command("go", "build", "-o", built.path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// tool finds a program; a missing one skips the test, or fails it if SKEIN_REQUIRE_TOOLS is 1.
func tool(t testing.TB, name string, check ...string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err == nil && len(check) > 0 {
		err = exec.Command(p, check...).Run()
	}
	if err == nil {
		return p
	}
	if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is missing: %v", name, err)
	}
	t.Skipf("%s is missing: %v", name, err)
	return ""
}

// poll looks every 50 ms until done returns nil, and fails the test with its last error after the limit.
func poll(t testing.TB, what string, limit time.Duration, done func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(limit)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		<-tick.C
	}
}

// await blocks until the wall clock shows at.
func await(t testing.TB, at time.Time) {
	t.Helper()
	if d := time.Until(at); d > 0 {
		<-time.After(d)
	}
}

// ports hands out ports below the ephemeral range that are free for TCP and UDP, each once.
var ports = struct {
	mu   sync.Mutex
	used map[int]bool
}{used: map[int]bool{}}

func freePort(t testing.TB) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 200 {
		p := 10000 + rand.IntN(9900)
		addr := fmt.Sprintf("127.0.0.1:%d", p)
		if ports.used[p] || !free(addr) {
			continue
		}
		ports.used[p] = true
		return addr
	}
	t.Fatal("no free port")
	return ""
}

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// output collects what a process says. It is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) tail() string {
	s := o.String()
	return s[max(0, len(s)-6000):]
}

// proc is a running program.
type proc struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  output // of both standard output and standard error
	done chan struct{}
	err  error // of the program's end; read it after done is closed
	over bool  // stop or kill was called
}

// launch starts a program that is ended by SIGTERM at the test's end, and must then exit with 0.
func launch(t testing.TB, name, path string, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), "SKEIN_TEST_TOKEN="+testToken)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		if !p.over {
			p.stop()
		}
		if t.Failed() {
			t.Logf("---- %s said:\n%s", p.name, p.out.tail())
		}
	})
	return p
}

// ended reports whether the program is no longer running.
func (p *proc) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the program by SIGTERM and asserts exit code 0.
func (p *proc) stop() {
	p.t.Helper()
	p.over = true
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an ended program is found below
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Errorf("%s does not end within 30 s of SIGTERM", p.name)
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the goroutines' stacks go to the log
		<-p.done
		return
	}
	if p.err != nil {
		p.t.Errorf("%s: SIGTERM: %v, want exit 0", p.name, p.err)
	}
}

// kill ends the program by SIGKILL.
func (p *proc) kill() {
	p.t.Helper()
	p.over = true
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatalf("%s: kill: %v", p.name, err)
	}
	<-p.done
}

// node is a Skein process with its configuration.
type node struct {
	*proc
	role string
	dir  string // of its configuration and data
	file string // its configuration
	http string // host:port
	rtsp string // host:port
}

// newNode prepares a node; nothing runs yet.
func newNode(t testing.TB, role string) *node {
	t.Helper()
	n := &node{role: role, dir: t.TempDir(), http: freePort(t), rtsp: freePort(t)}
	n.file = filepath.Join(n.dir, "skein.yaml")
	return n
}

// configure writes the configuration: what every node needs, and more.
func (n *node) configure(t testing.TB, more string) {
	t.Helper()
	text := fmt.Sprintf("data_dir: %q\nlisten: %q\nwebrtc: {udp: %q}\nrtsp: {listen: %q}\n%s",
		filepath.Join(n.dir, "data"), n.http, freePort(t), n.rtsp, more)
	if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the node and waits until it is ready.
func (n *node) start(t testing.TB) {
	t.Helper()
	n.proc = launch(t, n.role, skeinBinary(t), n.role, "--config", n.file)
	poll(t, n.role+" ready", 60*time.Second, func() error {
		if n.ended() {
			t.Fatalf("%s ended: %v", n.role, n.err)
		}
		resp, err := http.Get("http://" + n.http + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

const (
	oneUnit = "units: [{id: yf, name: 雁峰区, tier: district}]\n"
	access  = "access: {tokens: [{name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}]}\n"
)

// get asks the node with the test's token and returns status and whole body.
func (n *node) get(path string) (*http.Response, []byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+n.http+path, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp, body, fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return resp, body, nil
}

// cameraState is what /v1/cameras says of one camera.
type cameraState struct {
	ID       string                    `json:"id"`
	State    status.State              `json:"state"`
	Reason   status.Reason             `json:"reason"`
	Detail   string                    `json:"detail"`
	Profiles map[string]status.Profile `json:"profiles"`
}

// cameras returns the states of all cameras by id.
func (n *node) cameras() (map[string]cameraState, error) {
	_, body, err := n.get("/v1/cameras")
	if err != nil {
		return nil, err
	}
	var list struct {
		Cameras []cameraState `json:"cameras"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	out := map[string]cameraState{}
	for _, c := range list.Cameras {
		out[c.ID] = c
	}
	return out, nil
}

// awaitState waits until all the cameras are in the state.
func (n *node) awaitState(t testing.TB, want status.State, limit time.Duration, ids ...string) {
	t.Helper()
	poll(t, fmt.Sprintf("%v %s", ids, want), limit, func() error {
		all, err := n.cameras()
		if err != nil {
			return err
		}
		for _, id := range ids {
			if c, ok := all[id]; !ok || c.State != want {
				return fmt.Errorf("%s: known %v, %q %q %s", id, ok, c.State, c.Reason, c.Detail)
			}
		}
		return nil
	})
}

// span is a stretch of time in coverage.
type span struct {
	From, To time.Time
	Cause    string
}

// coverage returns what is recorded of a camera.
func (n *node) coverage(camera string, from, to time.Time) (spans, gaps []span, err error) {
	_, body, err := n.get("/v1/coverage?" + rangeQuery(from, to, "camera", camera))
	if err != nil {
		return nil, nil, err
	}
	var c struct {
		Cameras []struct{ Spans, Gaps []span }
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, nil, err
	}
	if len(c.Cameras) != 1 {
		return nil, nil, fmt.Errorf("coverage of %s: %s", camera, body)
	}
	return c.Cameras[0].Spans, c.Cameras[0].Gaps, nil
}

// awaitArchive waits until the archive holds footage of the cameras up to a moment.
func (n *node) awaitArchive(t testing.TB, from, upTo time.Time, limit time.Duration, ids ...string) {
	t.Helper()
	for _, id := range ids {
		poll(t, "footage of "+id, limit, func() error {
			spans, gaps, err := n.coverage(id, from, upTo.Add(time.Minute))
			if err != nil {
				return err
			}
			if len(spans) == 0 || spans[len(spans)-1].To.Before(upTo) {
				return fmt.Errorf("want it up to %v, have %v, gaps %v", upTo, spans, gaps)
			}
			return nil
		})
	}
}

func rangeQuery(from, to time.Time, more ...string) string {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q.Encode()
}

// startSim runs simulated cameras until the test ends.
func startSim(t testing.TB, cfg sim.Config) *sim.Server {
	t.Helper()
	s, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// command runs a program to its end and returns what it said; the error tells its exit code.
func command(t testing.TB, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &o, &e
	cmd.Env = append(os.Environ(), "SKEIN_TEST_TOKEN="+testToken)
	err = cmd.Run()
	return o.String(), e.String(), err
}

// exited returns the exit code of a command's error.
func exited(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -1
}

// lines splits text into its lines that are not empty.
func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
}
