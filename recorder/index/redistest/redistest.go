// Package redistest starts a real redis-server for a test.
package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Server is a running redis-server.
type Server struct {
	Addr string // host:port
	URL  string // redis://host:port/0
	PID  int
}

// Start runs a redis-server without persistence on a free port until the test ends. Without redis-server on PATH the
// test is skipped, or fails if SKEIN_REQUIRE_TOOLS is 1. Extra arguments are passed on.
func Start(t testing.TB, args ...string) Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal("redis-server is needed: install the package redis-server")
		}
		t.Skip("redis-server is not installed")
	}
	for range 5 { // another process may take the free port first
		if s, ok := start(t, path, args); ok {
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return Server{}
}

func start(t testing.TB, path string, args []string) (Server, bool) {
	t.Helper()
	port := freePort(t)
	all := append([]string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, args...)
	cmd := exec.Command(path, all...) //nolint:noctx // lives until the cleanup below
	if err := cmd.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if answers(addr) {
			return Server{Addr: addr, URL: "redis://" + addr + "/0", PID: cmd.Process.Pid}, true
		}
		select {
		case <-exited:
			return Server{}, false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return Server{}, false
}

// answers reports whether a Redis at addr says PONG.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && (line == "+PONG\r\n" || line[:5] == "-NOAU")
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
