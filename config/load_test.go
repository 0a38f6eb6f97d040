package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/config"
)

// TestEveryMistakeIsOneClearLine loads every file of testdata/*.bad.yaml; its first line says what the error must hold.
func TestEveryMistakeIsOneClearLine(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d bad configurations found, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := bytes.Cut(data, []byte("\n"))
			want, ok := strings.CutPrefix(string(first), "# want: ")
			if !ok {
				t.Fatalf("first line %q: want “# want: …”", first)
			}
			_, err = config.Load(file)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if !strings.Contains(got, want) {
				t.Errorf("error\n  %s\nlacks\n  %s", got, want)
			}
			if strings.Count(got, "\n") != 0 {
				t.Errorf("more than one line:\n%s", got)
			}
			if !strings.HasPrefix(got, file+":") {
				t.Errorf("error does not begin with the file: %s", got)
			}
			if strings.Contains(got, "top%secret") {
				t.Errorf("error holds a password: %s", got)
			}
		})
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skein.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleIsGoodAndComplete(t *testing.T) {
	t.Setenv("SKEIN_EXAMPLE_TOKEN", "0123456789abcdef0123456789abcdef")
	t.Setenv("SKEIN_S3_SECRET", "0123456789abcdef")
	cfg, err := config.Load("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Cameras) == 0 || len(cfg.Terminals) == 0 || len(cfg.Units) < 3 {
		t.Errorf("example has %d cameras, %d terminals, %d units", len(cfg.Cameras), len(cfg.Terminals), len(cfg.Units))
	}
}

func TestEmptyConfigurationIsAOneMachineDefault(t *testing.T) {
	cfg, err := config.Load(write(t, "{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "127.0.0.1:8080" || cfg.Store.Dir != "./data/store" || !cfg.Index.Embedded {
		t.Errorf("defaults %q %q %v", cfg.Listen, cfg.Store.Dir, cfg.Index.Embedded)
	}
}

func TestShowHidesSecretsAndPasswords(t *testing.T) {
	t.Setenv("SKEIN_TEST_TOKEN", "very-secret-token-0001")
	cfg, err := config.Load(write(t, `
access: {tokens: [{name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}]}
store: {shards: [{name: a, endpoint: "127.0.0.1:9000", bucket: skein-a, access_key: k, secret_key: "very-secret-key"}]}
index: {redis: ["redis://:very-secret-word@127.0.0.1:6379/0"]}
units: [{id: yf, name: 雁峰区, tier: district}]
cameras: [{id: a, name: A, unit: yf, main: "rtsp://admin:very-secret-pass@10.0.0.1/a"}]
`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := cfg.Show()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "very-secret") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	if !strings.Contains(string(out), "rtsp://admin:xxxxx@10.0.0.1/a") {
		t.Errorf("the camera's address is not shown:\n%s", out)
	}
}

func TestInventoryMayStandInAnotherFile(t *testing.T) {
	path := write(t, "inventory: inventory.yaml\n")
	inv := filepath.Join(filepath.Dir(path), "inventory.yaml")
	text := `units: [{id: yf, name: 雁峰区, tier: district}]
cameras:
  - {id: a, name: A, unit: nowhere, main: "rtsp://10.0.0.1/a"}
`
	if err := os.WriteFile(inv, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path)
	if err == nil || !strings.HasPrefix(err.Error(), inv+":3:6: cameras[0] a: unknown unit") {
		t.Errorf("error %v, want one at line 3 of the inventory", err)
	}
}
