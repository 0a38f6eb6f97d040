package evidence_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"skein/recorder/evidence"
)

// A second place that was away gets what it missed, in order; a file there is never replaced by another.
func TestCopies(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.record(t, "cam", 2)
	dir := filepath.Join(t.TempDir(), "second")
	away, copyTo := true, evidence.CopyTo(dir)
	k := a.keeper(keyOf(1))
	k.Copy = func(ctx context.Context, name string, doc []byte) error {
		if away {
			return errors.New("away")
		}
		return copyTo(ctx, name, doc)
	}
	var names []string
	for i := range 4 {
		away = i < 2
		c, err := k.Write(t.Context())
		if (err != nil) != away {
			t.Fatalf("checkpoint %d: %v", i, err)
		}
		names = append(names, c.Name())
	}
	for _, name := range names {
		doc, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		want, werr := a.GetBlob(t.Context(), name)
		if err != nil || werr != nil || string(doc) != string(want) {
			t.Errorf("%s: %v %v", name, err, werr)
		}
	}
	if err := copyTo(t.Context(), names[0], []byte("other")); err == nil {
		t.Error("a copy was replaced")
	}
}

// The key is made once, for its owner only; a file that others may read, or that is no key, is refused.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "evidence.key")
	first, created, err := evidence.OpenKey(path)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := evidence.OpenKey(path)
	if err != nil || created || !again.Equal(first) {
		t.Fatal(created, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if k, err := evidence.ParsePublic(evidence.Public(first)); err != nil || !k.Equal(first.Public()) {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := evidence.OpenKey(path); err == nil {
		t.Error("a key that others may read was taken")
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("none"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := evidence.OpenKey(path); err == nil {
		t.Error("no key was taken for one")
	}
}
