package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckForScripts: exit codes, JSON, and progress only where somebody looks or asks.
func TestCheckForScripts(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	p := newProven(t)
	away := filepath.Join(t.TempDir(), "away.yaml")
	text := fmt.Sprintf("data_dir: %q\n%s%s", t.TempDir(), oneUnit, `store: {shards: [{name: a, endpoint: "127.0.0.1:1",
  bucket: skein-a, access_key: k, secret_key: "secret-key-1", timeout: 1s}]}`)
	if err := os.WriteFile(away, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(code int, want string, args ...string) (stdout, stderr string) {
		t.Helper()
		out, said, err := command(t, bin, append([]string{"check"}, args...)...)
		if exited(err) != code || !strings.Contains(out+said, want) {
			t.Errorf("check %v: exit %d, want %d and %q\n%s%s", args, exited(err), code, want, out, said)
		}
		return out, said
	}
	if _, said := check(0, "20 objects", "--config", p.file); said != "" {
		t.Errorf("standard error is no terminal, it has %q", said)
	}
	if _, said := check(0, "20 objects", "--config", p.file, "--progress"); !strings.Contains(said, "segments 20") {
		t.Errorf("--progress says %q", said)
	}
	out, _ := check(0, "", "--config", p.file, "--json", "--deep", "--progress")
	var report struct {
		Objects int
		ProvedD bool `json:"proved_d"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Objects != 20 || !report.ProvedD {
		t.Errorf("JSON: %+v %v %s", report, err, out)
	}
	p.manipulate(t, "flip a byte")
	check(0, "0 unrepaired", "--config", p.file)
	check(1, "wrong_hash (a) cam0", "--config", p.file, "--deep")
	check(2, "127.0.0.1:1", "--config", away)
	check(2, "only shards", "--config", p.file, "--drain", "a")
	check(2, "still takes new segments", "--config", away, "--drain", "a")
	check(2, "no such file", "--config", p.file+".absent")
}
