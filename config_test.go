package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigCheck proves that every bad file of config/testdata gives one clear line with its place and exit code 1,
// and that the example is good.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	files, err := filepath.Glob("config/testdata/*.bad.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d bad files, %v", len(files), err)
	}
	for _, f := range files {
		out, errs, err := command(t, bin, "config", "check", "--config", f)
		if exited(err) != 1 || out != "" {
			t.Errorf("%s: exit %d, stdout %q", f, exited(err), out)
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if said := lines(errs); len(said) != 1 || !strings.Contains(errs, filepath.Base(f)+":") {
			t.Errorf("%s: want one line that names the file, got %q", f, errs)
		}
		if want, ok := strings.CutPrefix(lines(string(data))[0], "# want: "); !ok || !strings.Contains(errs, want) {
			t.Errorf("%s: want %q in %q", f, want, errs)
		}
	}
	out, errs, err := command(t, bin, "config", "check", "--config", "config/example.yaml")
	if err != nil || len(lines(out)) != 1 || errs != "" {
		t.Errorf("example: %v, %q, %q", err, out, errs)
	}
	doubtful := filepath.Join(t.TempDir(), "doubtful.yaml")
	if err := os.WriteFile(doubtful, []byte("listen: 0.0.0.0:8080\n"+oneUnit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err = command(t, bin, "config", "check", "--config", doubtful)
	if said := lines(out); err != nil || errs != "" || len(said) != 3 || !strings.Contains(said[0], "good") ||
		!strings.HasPrefix(said[1], "warning: "+doubtful+":1:9: listen: ") || !strings.Contains(said[2], "no picture") {
		t.Errorf("what is open to others without TLS and without pictures: %v, %q, %q", err, out, errs)
	}
	_, errs, err = command(t, bin, "config", "check", "--config", filepath.Join(t.TempDir(), "missing.yaml"))
	if exited(err) != 1 || len(lines(errs)) != 1 || !strings.Contains(errs, "missing.yaml") {
		t.Errorf("missing file: exit %d, %q", exited(err), errs)
	}
	// The roles refuse a bad file in the same words.
	for _, role := range []string{"all", "edge", "gateway", "recorder"} {
		_, errs, err := command(t, bin, role, "--config", "config/testdata/unknown-key.bad.yaml")
		if exited(err) != 1 || len(lines(errs)) != 1 {
			t.Errorf("%s: exit %d, %q", role, exited(err), errs)
		}
	}
}

// password is what must never be printed.
const password = "Geese-9-fly"

const secretConfig = oneUnit + `
access:
  tokens: [{name: bench, token: Geese-9-fly-token, role: admin, unit: yf}]
  nodes: [{id: edge-1, kind: edge, token: {file: token}}]
store:
  shards: [{name: a, endpoint: "127.0.0.1:9000", bucket: skein-a, access_key: skein, secret_key: Geese-9-fly-s3}]
index: {redis: ["redis://default:Geese-9-fly@127.0.0.1:6379/0"]}
cameras:
  - {id: cam0, name: A, unit: yf, main: "rtsp://root:Geese-9-fly@10.0.0.1/a", sub: "rtsp://root:Geese-9-fly@10.0.0.1/b"}
  - {id: cam1, name: B, unit: yf, main: "rtsp://10.0.0.1/c?user=root&password=Geese-9-fly&channel=1"}
`

// TestConfigHidesSecrets proves that neither show nor a complaint prints a password.
func TestConfigHidesSecrets(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(password+"-node\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(secretConfig, "{file: token}", "{file: "+token+"}", 1)
	for name, c := range map[string]struct {
		text, command string
		code          int
	}{
		"show":          {text, "show", 0},
		"check":         {text, "check", 0},
		"bad camera":    {strings.Replace(text, "@10.0.0.1/a", "@10.0.0.1:port/a", 1), "check", 1},
		"bad scheme":    {strings.Replace(text, "rtsp://root", "http://root", 1), "check", 1},
		"bad redis":     {strings.Replace(text, "redis://default", "http://default", 1), "check", 1},
		"bad redis URL": {strings.Replace(text, "127.0.0.1:6379/0", "127.0.0.1:x%zz", 1), "check", 1},
		"same token":    {strings.Replace(text, "{file: "+token+"}", "Geese-9-fly-token", 1), "check", 1},
		"wrong type":    {strings.Replace(text, "secret_key: Geese-9-fly-s3", "secret_key: [Geese-9-fly-s3]", 1), "check", 1},
		"unknown key":   {strings.Replace(text, "sub: ", "third: ", 1), "check", 1},
		"syntax":        {strings.Replace(text, "/b\"}", "/b\"", 1), "check", 1},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "skein.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, err := command(t, bin, "config", c.command, "--config", file)
			if exited(err) != c.code {
				t.Errorf("exit %d, want %d", exited(err), c.code)
			}
			if strings.Contains(out+errs, password) {
				t.Errorf("a password is printed:\n%s%s", out, errs)
			}
			if c.code == 1 && len(lines(errs)) != 1 {
				t.Errorf("want one line, got %q", errs)
			}
			if name == "show" && (!strings.Contains(out, "***") || !strings.Contains(out, "10.0.0.1")) {
				t.Errorf("show: %s", out)
			}
		})
	}
}
