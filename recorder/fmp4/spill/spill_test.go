package spill_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"skein/recorder/fmp4/spill"
)

// What is appended is read back whole and in pieces, wherever it lies; tables of one file do not mix.
func TestTable(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(dir string) *spill.File{
		"memory":  func(string) *spill.File { return nil },
		"disk":    func(dir string) *spill.File { return spill.New(dir, 0) },
		"partial": func(dir string) *spill.File { return spill.New(dir, 100<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := open(dir)
			r := rand.New(rand.NewPCG(1, 2))
			var tables [3]spill.Table
			var want [3][]byte
			for i := range tables {
				tables[i] = spill.NewTable(f)
			}
			for range 2000 {
				i := r.IntN(3)
				b := make([]byte, r.IntN(300))
				for k := range b {
					b[k] = byte(r.Uint32())
				}
				tables[i].Append(b)
				want[i] = append(want[i], b...)
			}
			tables[0].U32(0x01020304)
			tables[0].U64(5)
			want[0] = append(want[0], 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5)
			if f.Err() != nil || (name == "memory") != (f.OnDisk() == 0) {
				t.Fatalf("%v, %d on disk", f.Err(), f.OnDisk())
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
				t.Errorf("named files %v %v", left, err)
			}
			for i := range tables {
				if tables[i].Len() != int64(len(want[i])) {
					t.Fatalf("%d bytes, want %d", tables[i].Len(), len(want[i]))
				}
				got, err := io.ReadAll(io.NewSectionReader(&tables[i], 0, tables[i].Len()))
				if err != nil || !bytes.Equal(got, want[i]) {
					t.Fatalf("table %d differs, %v", i, err)
				}
				for range 500 {
					off := r.IntN(len(want[i]))
					p := make([]byte, r.IntN(len(want[i])-off)+1)
					n, err := tables[i].ReadAt(p, int64(off))
					if (err != nil && !errors.Is(err, io.EOF)) || !bytes.Equal(p[:n], want[i][off:min(off+len(p), len(want[i]))]) {
						t.Fatalf("%d at %d: %v", len(p), off, err)
					}
				}
			}
			if _, err := tables[0].ReadAt(make([]byte, 1), tables[0].Len()); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
			if err := errors.Join(f.Close(), f.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := tables[1].ReadAt(make([]byte, 1), 0); name == "disk" && !errors.Is(err, os.ErrClosed) {
				t.Errorf("after close: %v", err)
			}
		})
	}
}

// A disk that cannot be written is told, not read as something else.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	f := spill.New(filepath.Join(t.TempDir(), "absent"), 0)
	table := spill.NewTable(f)
	table.Append(make([]byte, 1<<20))
	if f.Err() == nil {
		t.Fatal("no error")
	}
	if _, err := table.ReadAt(make([]byte, 10), 0); err == nil {
		t.Fatal("read what was never written")
	}
}
