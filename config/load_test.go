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

// TestEveryMistakeIsNamed: a file with many mistakes of many kinds gives a line for each, and none for what only follows
// from another.
func TestEveryMistakeIsNamed(t *testing.T) {
	path := write(t, `listen: 127.0.0.1:99999
lisen: 127.0.0.1:8080
access:
  session_ttl: 12
  sesion_max: 24h
  tokens:
    - {name: bench, token: {env: SKEIN_TEST_NOT_SET}, role: admin, unit: nowhere}
    - {name: wall, token: 0123456789abcdef, role: chief}
spool: {segment: soon, max_bytes: lots}
rtsp: {listen: off, listen: "127.0.0.1:1"}
units: [{id: yf, name: 雁峰区, tier: district}]
cameras:
  - {id: a, name: A, unit: yf, main: [rtsp://10.0.0.1/a], record: main}
  - {id: b, name: B, unit: yf, main: "rtsp://10.0.0.1:99999/b", record: main, retention_days: three}
  - {id: c, name: C, unit: yf, main: "rtsp://10.0.0.1/c", retention_days: 3, edge: edge-9, legal: {basis: art99}}
`)
	_, err := config.Load(path)
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`:1:9: listen: "127.0.0.1:99999": want a port from 0 to 65535`,
		`:2:1: unknown key "lisen": did you mean listen?`,
		`:4:16: access.session_ttl: want a duration such as 12h, 30s or 1h30m, have the number 12`,
		`:5:3: unknown key "sesion_max": did you mean session_max?`,
		`:7:34: environment variable SKEIN_TEST_NOT_SET is not set: set it for this process, or use {file: PATH}`,
		`:7:74: access.tokens[0].unit: unknown unit "nowhere"`,
		`:8:51: access.tokens[1].role: "chief": want one of admin, officer, investigator, operator, auditor`,
		`:9:18: spool.segment: want a duration such as 12h, 30s or 1h30m, have the text "soon"`,
		`:9:35: spool.max_bytes: want a whole number, have the text "lots"`,
		`:10:21: rtsp.listen is there twice, first in line 10`,
		`:13:38: cameras[0].main: want a text, have a list`,
		`:14:6: cameras[1] b: main: port 99999: want 1 to 65535`,
		`:14:95: cameras[1].retention_days: want a whole number, have the text "three"`,
		`:15:6: cameras[2] c: retention_days 3: want 30 or more (Order 799 art. 17); if a document allows less, name it in legal_basis`,
		`:15:6: cameras[2] c: legal.basis "art99": want art7 or art9 (of Order 799)`,
		`:15:84: cameras[2].edge: "edge-9": there is no node of that name in access.nodes, nor is it link.node: nobody pulls c`,
	}
	got := strings.Split(err.Error(), "\n")
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], path)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestAnchorsAndAliasesAreUnderstood: what YAML offers to say a thing once is no mistake.
func TestAnchorsAndAliasesAreUnderstood(t *testing.T) {
	cfg, err := config.Load(write(t, `
units: [{id: yf, name: 雁峰区, tier: district}]
cameras:
  - &first {id: a, name: &name 甲, unit: yf, main: "rtsp://10.0.0.1/a", record: main}
  - {<<: *first, id: b, name: *name, main: "rtsp://10.0.0.1/b"}
webrtc: {transcodes: 0}
tls:
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Cameras) != 2 || cfg.Cameras[1].Name != "甲" || cfg.Cameras[1].Record != "main" || cfg.Cameras[1].ID != "b" {
		t.Errorf("%+v", cfg.Cameras)
	}
}

// TestWarnings: what may be meant, but seldom is, is said and no mistake.
func TestWarnings(t *testing.T) {
	for text, want := range map[string][]string{
		"listen: 127.0.0.1:8080\n":                                nil,
		"listen: \"localhost:8080\"\n":                            nil,
		"listen: 0.0.0.0:8080\nwebrtc: {udp: \"0.0.0.0:8189\"}\n": {":1:9: listen: 0.0.0.0:8080 takes other computers in, without TLS"},
		"listen: 0.0.0.0:8080\ntls: {self_signed: true}\nwebrtc: {udp: \"127.0.0.1:8189\"}\n": {
			`:3:15: webrtc.udp: 127.0.0.1:8189 is for this computer alone, listen for others too: they get the page of a gateway ` +
				`and no picture; set webrtc: {udp: "0.0.0.0:8189"}`},
		"listen: \":8080\"\ntls: {self_signed: true}\n": {": webrtc.udp: 127.0.0.1:8189 is for this computer alone"},
		"listen: 10.0.0.1:8080\ntls: {self_signed: true}\nwebrtc: {udp: \"10.0.0.1:8189\"}\n" +
			"access: {nodes: [{id: edge-1, kind: edge, token: 0123456789abcdef}]}\n": {": rtsp.listen: 127.0.0.1:8554 is for this computer alone"},
		"units: [{id: yf, name: 雁峰区, tier: district}]\ncameras: [{id: a, name: A, unit: yf, main: \"rtsp://10.0.0.1/a\", " +
			"sub: \"rtsp://10.0.0.1/a\"}]\n": {":2:70: cameras[0].sub: a has the same address as main, so it is pulled twice"},
		"access: {replay_window: -1h}\n": {":1:25: access.replay_window: -1h0m0s is negative, so all footage wants a registered"},
		"access: {tokens: [{name: a, token: 0123456789abcdef, role: admin, unit: yf}]}\n": {
			`:1:73: access.tokens[0].unit: "yf": there are no units`},
		"access: {nodes: [{id: edge-1, token: 0123456789abcdef}]}\n": {"access.nodes[0]: node edge-1 has no kind and is treated as an edge"},
		"access: {nodes: [{id: a, kind: edge, token: 0123456789abcdef}, {id: b, kind: edge, token: 0123456789abcdeg}]}\n" +
			"units: [{id: yf, name: A, tier: district}]\ncameras: [{id: cam0, name: A, unit: yf, main: \"rtsp://10.0.0.1/a\"}]\n": {
			"cameras: cam0: no edge is named, and there are 2"},
	} {
		path := write(t, text)
		cfg, err := config.Load(path)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := cfg.Warnings()
		if len(got) != len(want) {
			t.Errorf("%s\ngives %q, want %q", text, got, want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], path) || !strings.Contains(got[i], want[i]) {
				t.Errorf("%s\ngives %q, want %q", text, got[i], want[i])
			}
		}
	}
}

// TestShowHidesPasswordsWhereverTheyStandInAURL knows the forms that cameras ask for.
func TestShowHidesPasswordsWhereverTheyStandInAURL(t *testing.T) {
	for raw, want := range map[string]string{
		"rtsp://admin:top%25secret@10.0.0.1/a":                         "rtsp://admin:xxxxx@10.0.0.1/a",
		"rtsp://10.0.0.1/a?user=admin&password=top-secret&channel=1":   "rtsp://10.0.0.1/a?user=admin&password=xxxxx&channel=1",
		"rtsp://10.0.0.1/a?channel=1&PWD=top-secret":                   "rtsp://10.0.0.1/a?channel=1&PWD=xxxxx",
		"rtsp://10.0.0.1/a?usr=x&psw=top-secret":                       "rtsp://10.0.0.1/a?usr=x&psw=xxxxx",
		"rtsp://10.0.0.1/a?pass%3Dtop-secret":                          "rtsp://10.0.0.1/a?pass%3Dxxxxx",
		"rtsp://10.0.0.1/a?auth_token=top-secret#x":                    "rtsp://10.0.0.1/a?auth_token=xxxxx#x",
		"rtsp://10.0.0.1/user=admin_password=top-secret_channel=1.sdp": "rtsp://10.0.0.1/user=admin_password=xxxxx_channel=1.sdp",
		"rtsp://10.0.0.1/a?channel=1&subtype=0":                        "rtsp://10.0.0.1/a?channel=1&subtype=0",
		"push":                                                         "push",
	} {
		cfg, err := config.Load(write(t, "units: [{id: yf, name: 雁峰区, tier: district}]\n"+
			"cameras: [{id: a, name: A, unit: yf, main: \""+raw+"\"}]\n"))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		out, err := cfg.Show()
		if err != nil || !strings.Contains(string(out), "main: "+want+"\n") && !strings.Contains(string(out), "main: \""+want+"\"\n") {
			t.Errorf("%s is shown as\n%s, %v\nwant %s", raw, out, err, want)
		}
	}
}

// FuzzLoad: whatever is in a file, there is a configuration or mistakes, and each mistake has its place.
func FuzzLoad(f *testing.F) {
	f.Add("listen: 1\nlisten: [\n")
	f.Add("cameras: [&a {id: a, main: *a}]\n<<: *a\n")
	f.Add("rtsp: &a {<<: *a}\n")
	f.Add("access: {tokens: [{token: {env: X}}, !!str 5, ~]}\n? {a: b}\n: c\n")
	for _, file := range []string{"example.yaml", "testdata/syntax.bad.yaml", "testdata/tab.bad.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "skein.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path); err != nil && !strings.Contains(err.Error(), ":") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
