package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"skein/internal/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type row struct {
	N    int    `json:"n"`
	Text string `json:"text,omitempty"`
}

func open(t *testing.T, dir string, o ledger.Options) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(dir, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func fill(t *testing.T, l *ledger.Ledger, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		e, err := l.Append(row{N: i, Text: "衡阳 <a&b>"})
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != uint64(i) {
			t.Fatalf("seq %d, want %d", e.Seq, i)
		}
	}
}

func rows(t *testing.T, dir string) (ns []int, head ledger.Head) {
	t.Helper()
	head, err := ledger.Verify(dir, func(e ledger.Entry) error {
		var r row
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return err
		}
		ns = append(ns, r.N)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ns, head
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestChainGoesOnOverFilesAndRestarts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	o := ledger.Options{Rotate: 1000}
	for i := range 5 {
		l := open(t, dir, o)
		fill(t, l, i*10+1, i*10+10)
		if l.Head().Seq != uint64(i*10+10) {
			t.Fatalf("head %d", l.Head().Seq)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatalf("second close: %v", err)
		}
		if _, err := l.Append(row{}); !errors.Is(err, ledger.ErrClosed) {
			t.Fatalf("append after close: %v", err)
		}
	}
	ns, head := rows(t, dir)
	if len(ns) != 50 || ns[0] != 1 || ns[49] != 50 || head.Seq != 50 {
		t.Fatalf("rows %v, head %d", ns, head.Seq)
	}
	if n := len(list(t, dir)); n < 5 {
		t.Fatalf("only %d files: did not rotate", n)
	}
}

func TestTornLineIsCutOff(t *testing.T) {
	t.Parallel()
	for _, torn := range []string{`{`, `{"seq":4,"time":"2026-`, strings.Repeat("x", 200<<10)} {
		dir := t.TempDir()
		l := open(t, dir, ledger.Options{})
		fill(t, l, 1, 3)
		l.Close()
		appendTo(t, list(t, dir)[0], torn)
		if ns, _ := rows(t, dir); len(ns) != 3 {
			t.Fatalf("a torn line must not count: %v", ns)
		}
		l = open(t, dir, ledger.Options{})
		fill(t, l, 4, 5)
		if ns, _ := rows(t, dir); len(ns) != 5 {
			t.Fatalf("rows %v after repair", ns)
		}
	}
}

// A crash between creating a new file and its first line leaves an empty file, or one with a torn line only.
func TestCrashAfterRotation(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"", "{\"seq\":"} {
		dir := t.TempDir()
		l := open(t, dir, ledger.Options{})
		fill(t, l, 1, 3)
		l.Close()
		if err := os.WriteFile(filepath.Join(dir, "ledger-000000000004.jsonl"), []byte(rest), 0o600); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir, ledger.Options{})
		fill(t, l, 4, 6)
		if ns, _ := rows(t, dir); len(ns) != 6 {
			t.Fatalf("rows %v", ns)
		}
	}
}

func TestEveryChangeIsFound(t *testing.T) {
	t.Parallel()
	// edit gets the lines of three files with three entries each
	tests := []struct {
		name string
		edit func(files [][]string) [][]string
		want string
	}{
		{"body changed", func(f [][]string) [][]string {
			f[1][1] = strings.Replace(f[1][1], `"n":5`, `"n":6`, 1)
			return f
		}, "000000000004.jsonl, line 2 was changed"},
		{"time changed", func(f [][]string) [][]string {
			f[0][0] = strings.Replace(f[0][0], `Z","prev`, `1Z","prev`, 1)
			return f
		}, "line 1"},
		{"field added", func(f [][]string) [][]string {
			f[0][1] = strings.Replace(f[0][1], `{"seq"`, `{"x":1,"seq"`, 1)
			return f
		}, "line 2 is no ledger entry"},
		{"space added", func(f [][]string) [][]string {
			f[0][1] = strings.Replace(f[0][1], `{"seq"`, `{ "seq"`, 1)
			return f
		}, "line 2 is not in the form"},
		{"line removed", func(f [][]string) [][]string {
			f[1] = append(f[1][:1], f[1][2:]...)
			return f
		}, "line 2 has number 6 after 4"},
		{"line doubled", func(f [][]string) [][]string {
			f[1][1] = f[1][0]
			return f
		}, "line 2 has number 4 after 4"},
		{"lines swapped", func(f [][]string) [][]string {
			f[2][1], f[2][2] = f[2][2], f[2][1]
			return f
		}, "line 2 has number 9 after 7"},
		{"file removed", func(f [][]string) [][]string {
			f[1] = nil
			return f
		}, "000000000007.jsonl, line 1"},
		{"end of a file cut off", func(f [][]string) [][]string {
			f[0] = f[0][:2]
			return f
		}, "000000000004.jsonl, line 1"},
		{"no JSON", func(f [][]string) [][]string {
			f[2][0] = "hello"
			return f
		}, "line 1 is no ledger entry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			makeThreeFiles(t, dir)
			names := list(t, dir)
			var files [][]string
			for _, n := range names {
				b, err := os.ReadFile(n)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"))
			}
			for i, lines := range tt.edit(files) {
				text := strings.Join(lines, "\n") + "\n"
				if lines == nil {
					os.Remove(names[i])
					continue
				}
				if err := os.WriteFile(names[i], []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := ledger.Verify(dir, nil)
			var broken *ledger.BrokenError
			if !errors.As(err, &broken) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want one with %q", err, tt.want)
			}
			if _, err := ledger.Open(dir, ledger.Options{}, func(ledger.Entry) error { return nil }); err == nil {
				t.Fatal("opened all the same")
			}
		})
	}
}

// A forger who rewrites a line and its hash must rewrite every later line too; the head kept elsewhere tells.
func TestHeadTellsOfACutEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeThreeFiles(t, dir)
	_, before := rows(t, dir)
	names := list(t, dir)
	os.Remove(names[len(names)-1])
	_, after := rows(t, dir)
	if after == before || after.Seq != 6 {
		t.Fatalf("head %+v, before %+v", after, before)
	}
}

func makeThreeFiles(t *testing.T, dir string) {
	t.Helper()
	l := open(t, dir, ledger.Options{Rotate: 900})
	for i := 1; i <= 9; i++ {
		if _, err := l.Append(row{N: i, Text: strings.Repeat("t", 40)}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	if names := list(t, dir); len(names) != 3 || !strings.HasSuffix(names[2], "7.jsonl") {
		t.Fatalf("want three files of three, have %v", names)
	}
}

func TestAppendsAtTheSameTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{Rotate: 4000})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				if _, err := l.Append(row{N: g*100 + i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 { // reading while it is written
		if _, err := ledger.Verify(dir, nil); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if ns, head := rows(t, dir); len(ns) != 200 || head != l.Head() {
		t.Fatalf("%d rows, head %+v, want %+v", len(ns), head, l.Head())
	}
}

func TestOneWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	if _, err := ledger.Open(dir, ledger.Options{}, nil); !errors.Is(err, ledger.ErrInUse) {
		t.Fatalf("a second writer: %v", err)
	}
	fill(t, l, 1, 2)
	l.Close()
	fill(t, open(t, dir, ledger.Options{}), 3, 4)
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), ledger.Options{})
	if _, err := l.Append(row{Text: strings.Repeat("x", ledger.MaxLine)}); err == nil {
		t.Fatal("want an error")
	}
	if _, err := l.Append(make(chan int)); err == nil {
		t.Fatal("want an error for what is no JSON")
	}
	fill(t, l, 1, 2)
}

func TestOpenCallsEachWithEveryEntry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeThreeFiles(t, dir)
	n := 0
	l, err := ledger.Open(dir, ledger.Options{}, func(e ledger.Entry) error {
		n++
		if e.Seq != uint64(n) {
			return fmt.Errorf("entry %d at place %d", e.Seq, n)
		}
		return nil
	})
	if err != nil || n != 9 {
		t.Fatalf("%d entries, %v", n, err)
	}
	l.Close()
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
