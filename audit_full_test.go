package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// TestAuditLogOnAFullDisk fills the disk that the audit log is on: nothing is shown to anybody, /readyz says that
// something is wrong, and recording goes on. With room again everything opens, and the log tells since when it could not
// be written.
func TestAuditLogOnAFullDisk(t *testing.T) {
	beside(t, 1, 12*time.Second)
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "gate", Video: small(media.H264)}}})
	n := newNode(t, "all")
	disk := filepath.Join(n.dir, "data", "audit")
	if err := os.MkdirAll(disk, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("no file system of its own for the audit log: %v", err)
		}
		t.Skipf("no file system of its own for the audit log, which only root may mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", disk, err)
		}
	})
	n.configure(t, oneUnit+access+fmt.Sprintf("cameras: [{id: gate, name: G, unit: yf, main: %q, record: main}]\n",
		cams.URL("gate", media.Main)))
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, "gate")
	from := time.Now()
	file := fill(t, filepath.Join(disk, "of-somebody-else"))
	await(t, from.Add(2*time.Second))
	opened := 0 // the last block of the log's file has room for some rows
	for ; opened < 50; opened++ {
		begin := from.Add(time.Duration(opened) * time.Millisecond)
		if n.status(t, "/v1/clips/gate.mp4?"+rangeQuery(begin, begin.Add(time.Second))) != http.StatusOK {
			break
		}
	}
	for call, want := range map[string]int{
		"/v1/snapshots/gate.jpg":                             http.StatusServiceUnavailable,
		"/v1/clips/gate.mp4?" + rangeQuery(from, time.Now()): http.StatusServiceUnavailable,
		"/readyz": http.StatusServiceUnavailable, "/v1/cameras": http.StatusOK,
	} {
		if got := n.status(t, call); got != want {
			t.Errorf("%s with a full disk: %d, want %d (%d were opened before)", call, got, want, opened)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	poll(t, "ready again", 15*time.Second, func() error {
		_, _, err := n.get("/readyz")
		return err
	})
	to := time.Now()
	c := n.fetch(t, "gate", from, to)
	if h := holes(numbers(c.frames)); len(h) > 0 || (c.duration-to.Sub(from)).Abs() > 2*frameTime {
		t.Errorf("recorded meanwhile: %v of %v, holes %v", c.duration, to.Sub(from), h)
	}
	rows, err := filepath.Glob(filepath.Join(disk, "*.jsonl"))
	if err != nil || len(rows) != 1 {
		t.Fatalf("the log's files: %v %v", rows, err)
	}
	if b, err := os.ReadFile(rows[0]); err != nil || !strings.Contains(string(b), "the log could not be written; rows refused: ") {
		t.Errorf("the log does not tell of it: %s %v", b, err)
	}
}

// status asks the node with the test's token and returns the status.
func (n *node) status(t *testing.T, path string) int {
	t.Helper()
	resp, _, err := n.get(path)
	if resp == nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// fill writes a file that takes all the room of its file system, and returns its name.
func fill(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := 64 << 10; block > 0; block /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, block))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
	}
	return name
}
