package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/config"
	"skein/edge/spool"
)

// A disk too small for the demonstration is told before anything is written, with what would fit.
func TestDemoLooksForRoomFirst(t *testing.T) {
	dir := smallDisk(t, filepath.Join(t.TempDir(), "disk"))
	if dir == "" {
		t.Skip("needs a file system of its own")
	}
	c := demoCommand{Data: filepath.Join(dir, "demo"), MaxBytes: 5_000_000_000}
	err := c.noRoom()
	if err == nil {
		t.Fatal("64 MB are taken for 5 GB")
	}
	for _, part := range []string{dir, "67 MB free", "5000 MB", "--data"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if c.MaxBytes = 50_000_000; c.noRoom() != nil {
		t.Errorf("50 MB: %v", c.noRoom())
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Data, "footage"), make([]byte, 40_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.noRoom(); err != nil {
		t.Errorf("its own footage counts against it: %v", err)
	}
	if err := os.Rename(filepath.Join(c.Data, "footage"), filepath.Join(dir, "of-somebody-else")); err != nil {
		t.Fatal(err)
	}
	if c.noRoom() == nil {
		t.Error("the footage of somebody else does not")
	}
}

// A larger disk that is fuller than it should be names the cap that would fit.
func TestDemoNamesTheCapThatFits(t *testing.T) {
	free, size, err := roomOn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if free-spool.Reserve(size) < 2*demoLeast {
		t.Skip("this disk is nearly full itself")
	}
	c := demoCommand{Data: filepath.Join(t.TempDir(), "demo"), MaxBytes: free}
	if err := c.noRoom(); err == nil || !strings.Contains(err.Error(), "--max-bytes ") {
		t.Errorf("all that is free: %v", err)
	}
}

func TestFullDiskIsToldAtTheStart(t *testing.T) {
	dir := smallDisk(t, filepath.Join(t.TempDir(), "disk"))
	if dir == "" {
		t.Skip("needs a file system of its own")
	}
	told := func() string {
		var b bytes.Buffer
		cfg := &config.Config{DataDir: filepath.Join(dir, "data")}
		cfg.Spool.Dir, cfg.Store.Dir = filepath.Join(dir, "data", "spool"), t.TempDir()
		sayRoom(slog.New(slog.NewTextHandler(&b, nil)), cfg)
		return b.String()
	}
	if s := told(); strings.Contains(s, dir) {
		t.Errorf("an empty disk: %s", s)
	}
	if err := os.WriteFile(filepath.Join(dir, "of-somebody-else"), make([]byte, 65_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := told(); strings.Count(s, "the disk is full") != 2 || !strings.Contains(s, filepath.Join(dir, "data", "spool")) {
		t.Errorf("a full disk: %s", s)
	}
}
