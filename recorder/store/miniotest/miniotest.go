// Package miniotest starts a real MinIO server for a test.
package miniotest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Credentials of the started servers.
const (
	AccessKey = "skein-test"
	SecretKey = "skein-test-secret"
)

// Server is a MinIO server that a test may stop and start again on the same port and data.
type Server struct {
	Endpoint string // host:port

	t      testing.TB
	path   string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Binary returns the path of the minio program: SKEIN_MINIO, ~/.cache/skein/bin/minio, or on PATH. Without one the test
// is skipped, or fails if SKEIN_REQUIRE_TOOLS is 1.
func Binary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("SKEIN_MINIO"); p != "" {
		return p
	}
	if home, err := os.UserHomeDir(); err == nil {
		if p := filepath.Join(home, ".cache", "skein", "bin", "minio"); runnable(p) {
			return p
		}
	}
	if p, err := exec.LookPath("minio"); err == nil {
		return p
	}
	if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
		t.Fatal("minio is needed: set SKEIN_MINIO or put it at ~/.cache/skein/bin/minio")
	}
	t.Skip("minio is not installed")
	return ""
}

func runnable(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Start runs a MinIO server on a free port over a temporary directory until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, path: Binary(t), dir: t.TempDir()}
	t.Cleanup(s.Stop)
	for range 5 { // another process may take the free port first
		s.Endpoint = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		if s.run() {
			return s
		}
	}
	t.Fatal("minio does not start")
	return nil
}

// Stop kills the server as a crash would. A stopped server may be stopped again.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Restart starts a stopped server on the same port and data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	for range 5 {
		if s.run() {
			return
		}
	}
	s.t.Fatal("minio does not start again")
}

// PID returns the process id of the running server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

func (s *Server) run() bool {
	s.t.Helper()
	cmd := exec.Command(s.path, "server", s.dir, "--address", s.Endpoint, "--quiet") //nolint:noctx // until Stop
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "GOMAXPROCS=2")
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start minio: %v", err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.exited)
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if s.refusesStranger(client) {
			return true
		}
		select {
		case <-s.exited:
			s.cmd = nil
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.Stop()
	return false
}

// refusesStranger reports whether the server says 403 to an unknown access key. Before its objects and its users are
// loaded it says 503, even if its health check already succeeds.
func (s *Server) refusesStranger(client *http.Client) bool {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Endpoint+"/", http.NoBody) //nolint:noctx // has a timeout
	if err != nil {
		return false
	}
	now := time.Now().UTC()
	req.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=stranger/"+now.Format("20060102")+
		"/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="+
		strings.Repeat("0", 64))
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusForbidden
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
