package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/recorder/evidence"
	"skein/recorder/index"
	"skein/recorder/segment"
	"skein/recorder/store"
	"skein/recorder/store/storetest"
)

// proven is an archive with chained segments of one camera and signed checkpoints.
type proven struct {
	dir, file string
	public    string
	chain     []segment.Manifest
}

const provenDay = "2026-03-02" // the first segment starts 30 s before it

// newProven stores 20 segments and signs three checkpoints, the way a recorder does.
func newProven(t *testing.T) *proven {
	t.Helper()
	p := &proven{dir: t.TempDir()}
	p.file = filepath.Join(p.dir, "skein.yaml")
	text := fmt.Sprintf("data_dir: %q\n%s", p.dir, oneUnit)
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenDir(filepath.Join(p.dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(index.Config{Embedded: true}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	key, created, err := evidence.OpenKey(filepath.Join(p.dir, "keys", "evidence.key"))
	if err != nil || !created {
		t.Fatalf("key: %v %v", created, err)
	}
	p.public = evidence.Public(key)
	now := storetest.Base()
	k := &evidence.Keeper{Index: x, Manifests: st, Docs: st, Key: key, Now: func() time.Time { return now }}
	for i := range 20 {
		m, data := storetest.Segment("cam0", uint64(i+1), 900+i)
		if i > 0 {
			m.Prev = p.chain[i-1].SHA256
		}
		shard, err := st.Put(t.Context(), m, store.Source{Reader: bytes.NewReader(data), Size: m.Bytes})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(t.Context(), "cam0", m.Record(shard)); err != nil {
			t.Fatal(err)
		}
		p.chain = append(p.chain, m)
		if now = m.End(); i%8 == 7 || i == 19 {
			if _, err := k.Write(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// path returns where segment number i (from 1) lies.
func (p *proven) path(i int) string { return filepath.Join(p.dir, "store", p.chain[i-1].Key()) }

func (p *proven) checkpoints() string { return filepath.Join(p.dir, "store", "meta", "checkpoints") }

// manipulate does what the name says.
func (p *proven) manipulate(t *testing.T, what string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	swap := func(a, b string) {
		must(os.Rename(a, a+".x"))
		must(os.Rename(b, a))
		must(os.Rename(a+".x", b))
	}
	drop := func(i int) {
		must(os.Remove(p.path(i)))
		must(os.Remove(p.path(i) + ".json"))
	}
	switch what {
	case "nothing":
	case "flip a byte":
		data, err := os.ReadFile(p.path(6))
		must(err)
		data[500] ^= 0x10
		must(os.Chmod(p.path(6), 0o600))
		must(os.WriteFile(p.path(6), data, 0o600))
	case "swap two":
		swap(p.path(9), p.path(12))
	case "swap two with their manifests":
		swap(p.path(9), p.path(12))
		swap(p.path(9)+".json", p.path(12)+".json")
	case "drop one":
		drop(10)
	case "drop the first of the day":
		drop(2)
	case "drop the newest":
		drop(20)
	case "sign again with another key":
		_, other, err := ed25519.GenerateKey(nil)
		must(err)
		var names []string
		must(filepath.WalkDir(p.checkpoints(), func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				names = append(names, path)
			}
			return err
		}))
		var prev *evidence.Checkpoint
		for _, name := range names {
			doc, err := os.ReadFile(name)
			must(err)
			c, err := evidence.ParseCheckpoint(doc)
			must(err)
			c, err = evidence.NewCheckpoint(prev, c.At, c.Heads, other)
			must(err)
			doc, err = json.Marshal(c)
			must(err)
			must(os.WriteFile(name, doc, 0o600))
			prev = &c
		}
	default:
		t.Fatal(what)
	}
}

// TestVerifyNamesTheFirstBrokenLink manipulates an archive and asks the binary, with the archive and without it.
func TestVerifyNamesTheFirstBrokenLink(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	for _, c := range []struct{ what, archive, files string }{
		{"nothing", "", ""},
		{"flip a byte", "segment 6 (", "segment 6 ("},
		{"swap two", "segment 9 (", "segment 9 ("},
		{"swap two with their manifests", "segment 9 (", "segment 12 ("}, // offline the manifest tells what it is
		{"drop one", "segment 10 (", "segment 10 ("},
		{"drop the first of the day", "segment 2 (", "segment 2 ("},
		{"drop the newest", "segment 20 (", ""}, // a download may end anywhere
		{"sign again with another key", "checkpoint 1: signature", "checkpoint 1: signature"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			p := newProven(t)
			p.manipulate(t, c.what)
			ask := func(want string, args ...string) {
				t.Helper()
				out, said, err := command(t, bin, append([]string{"verify"}, args...)...)
				code := 0
				if want != "" {
					code = 1
				}
				if exited(err) != code || !strings.Contains(said, want) || (want == "" && !strings.Contains(out, "20 segments") &&
					!strings.Contains(out, "19 segments")) {
					t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, exited(err), code, want, out, said)
				}
			}
			ask(c.archive, "--config", p.file, "--camera", "cam0", "--day", provenDay, "--zone", "UTC")
			ask(c.files, filepath.Join(p.dir, "store", "v1"), "--checkpoint", p.checkpoints(), "--key", p.public)
		})
	}
}

// TestVerifyOneDownload proves a single segment, and says what is missing for a proof.
func TestVerifyOneDownload(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	p := newProven(t)
	one := filepath.Join(t.TempDir(), "evidence.mp4")
	for _, suffix := range []string{"", ".json"} {
		data, err := os.ReadFile(p.path(8) + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(one+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keyFile := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(keyFile, []byte(p.public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		code int
		want string
		args []string
	}{
		{"with checkpoints", 0, "1 segments, 0 deleted by rule, 907 bytes read, 3 checkpoints read, named by 1 checkpoints",
			[]string{one, "--checkpoint", p.checkpoints(), "--key", keyFile}},
		{"without", 0, "no --key", []string{one}},
		{"as JSON", 0, `"segments": 1`, []string{one, "--json"}},
		{"another's key", 1, "signature", []string{one, "--checkpoint", p.checkpoints(), "--key",
			hex.EncodeToString(make([]byte, 32))}},
		{"checkpoints without a key", 2, "public key", []string{one, "--checkpoint", p.checkpoints()}},
		{"no such file", 2, "no such file", []string{one + ".absent.mp4"}},
		{"no manifest", 2, "no manifest", []string{p.file + ".mp4"}},
		{"not a key", 2, "64 hexadecimal digits", []string{one, "--key", "abc"}},
		{"nothing asked", 2, "want either", nil},
		{"no day", 2, "--day", []string{"--config", p.file, "--camera", "cam0"}},
		{"a day without footage", 2, "nothing to prove", []string{"--config", p.file, "--camera", "cam0", "--day", "2026-01-01"}},
		{"manifests only", 0, "0 bytes read, named by 3", []string{"--config", p.file, "--camera", "cam0", "--day", provenDay, "--zone", "UTC", "--quick"}},
		{"a zone that is none", 2, "--zone", []string{"--config", p.file, "--camera", "cam0", "--day", provenDay, "--zone", "Yanfeng"}},
	} {
		if c.name == "no manifest" {
			if err := os.WriteFile(p.file+".mp4", []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, said, err := command(t, bin, append([]string{"verify"}, c.args...)...)
		if exited(err) != c.code || !strings.Contains(out+said, c.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.name, exited(err), c.code, c.want, out, said)
		}
	}
}

// TestEvidenceOfARunningRecorder: a started process makes its key, tells the public half, and copies its checkpoints.
func TestEvidenceOfARunningRecorder(t *testing.T) {
	t.Parallel()
	n := newNode(t, "all")
	copies := filepath.Join(n.dir, "copies")
	n.configure(t, oneUnit+access+fmt.Sprintf("evidence: {interval: 1s, copy_to: %q}\n", copies))
	n.start(t)
	_, body, err := n.get("/v1/evidence/key")
	if err != nil {
		t.Fatal(err)
	}
	var key struct{ Algorithm, Key string }
	if err := json.Unmarshal(body, &key); err != nil || key.Algorithm != "Ed25519" || len(key.Key) != 64 {
		t.Fatalf("%s %v", body, err)
	}
	if strings.Count(n.out.String(), key.Key) != 1 {
		t.Errorf("the log has the public key %d times", strings.Count(n.out.String(), key.Key))
	}
	info, err := os.Stat(filepath.Join(n.dir, "data", "keys", "evidence.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	trusted, err := evidence.ParsePublic(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "two copied checkpoints", 20*time.Second, func() error {
		names, err := filepath.Glob(filepath.Join(copies, "checkpoints", "*", "*", "*", "*.json"))
		if err != nil || len(names) < 2 {
			return errors.Join(err, fmt.Errorf("found %v", names))
		}
		doc, err := os.ReadFile(names[0])
		if err != nil {
			return err
		}
		c, err := evidence.ParseCheckpoint(doc)
		if err != nil {
			return err
		}
		if b := c.Verify(trusted); b != nil {
			return b
		}
		return nil
	})
}

// TestVerifyCountsTheDistrictsDays: a day begins at midnight in Asia/Shanghai, unless another zone is asked for, and the
// times that are told are of that zone. The footage begins 30 s before midnight UTC, which is 07:59:30 of that day there.
func TestVerifyCountsTheDistrictsDays(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	p := newProven(t)
	for _, c := range []struct {
		name, want string
		code       int
		args       []string
	}{
		{"the district's day", "camera cam0, 2026-03-02 (Asia/Shanghai): 20 segments", 0, []string{"--day", "2026-03-02"}},
		{"the day before", "camera cam0 has no segment on 2026-03-01 (Asia/Shanghai, 2026-02-28 16:00 to 2026-03-01 16:00 UTC)", 2,
			[]string{"--day", "2026-03-01"}},
		{"the day before, UTC", "camera cam0, 2026-03-01 (UTC): ", 0, []string{"--day", "2026-03-01", "--zone", "UTC"}},
		{"a day further west", "camera cam0, 2026-03-01 (America/Lima): 20 segments", 0,
			[]string{"--day", "2026-03-01", "--zone", "America/Lima"}},
	} {
		out, said, err := command(t, bin, append([]string{"verify", "--config", p.file, "--camera", "cam0"}, c.args...)...)
		if exited(err) != c.code || !strings.Contains(out+said, c.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.name, exited(err), c.code, c.want, out, said)
		}
	}
	data, err := os.ReadFile(p.path(8))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(p.path(8), data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, said, err := command(t, bin, "verify", "--config", p.file, "--camera", "cam0", "--day", "2026-03-02")
	if exited(err) != 1 || !strings.Contains(said, "segment 8 (2026-03-02T08:") || !strings.Contains(said, "+08:00)") {
		t.Errorf("a changed segment: exit %d, %s", exited(err), said)
	}
}
