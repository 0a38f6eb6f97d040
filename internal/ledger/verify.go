package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A BrokenError tells where a ledger stops being what was written.
type BrokenError struct {
	File string
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("ledger %s, line %d %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *BrokenError) Unwrap() error { return e.Err }

// Verify reads the whole ledger in dir and checks every hash and every link. It calls each, if not nil, with every good
// entry in order. It changes nothing and may run while the ledger is being written: a line that is being written is not
// counted. The error is a *BrokenError if the chain does not hold.
func Verify(dir string, each func(Entry) error) (Head, error) {
	names, err := files(dir)
	if err != nil {
		return Head{}, err
	}
	w := walker{each: each}
	for _, name := range names {
		if err := w.file(name); err != nil {
			return w.head, err
		}
	}
	return w.head, nil
}

// walker checks files one after the other.
type walker struct {
	head    Head
	each    func(Entry) error
	partial bool // the first entry seen need not be the ledger's first
	begun   bool
}

func (w *walker) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	r := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return nil // a last line without its break is not there yet
		}
		if err == nil {
			err = w.line(name, n, line)
		}
		if err != nil {
			return &BrokenError{File: filepath.Base(name), Line: n, Err: err}
		}
	}
}

func (w *walker) line(name string, n int, line []byte) error {
	e, err := parseLine(line)
	if err != nil {
		return err
	}
	first := fmt.Sprintf("%s%012d%s", prefix, e.Seq, suffix)
	if n == 1 && filepath.Base(name) != first {
		return fmt.Errorf("has number %d, which does not belong at the start of this file", e.Seq)
	}
	if w.partial && !w.begun {
		w.head = Head{Seq: e.Seq - 1, Hash: e.Prev}
	}
	w.begun = true
	if e.Seq != w.head.Seq+1 {
		return fmt.Errorf("has number %d after %d: entries are missing, added or out of order", e.Seq, w.head.Seq)
	}
	if e.Prev != w.head.Hash {
		return errors.New("does not follow the entry before it: that one was changed or replaced")
	}
	w.head = Head{Seq: e.Seq, Hash: e.Hash}
	if w.each != nil {
		return w.each(e)
	}
	return nil
}

// readLine returns the next whole line without its break; io.EOF if there is none, also when a torn one follows.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxLine {
			return nil, fmt.Errorf("is longer than %d bytes", MaxLine)
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
	}
}

// cutTorn removes what follows the last line break of the file.
func cutTorn(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { _ = f.Close() }() // synced below where it matters
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	keep, err := wholeLines(f, size)
	if err != nil || keep == size {
		return err
	}
	if err := f.Truncate(keep); err != nil {
		return fmt.Errorf("ledger: cut torn line: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("ledger: cut torn line: %w", err)
	}
	return nil
}

// wholeLines returns the offset just after the last line break within the first size bytes.
func wholeLines(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at := size; at > 0; {
		n := min(at, int64(len(buf)))
		at -= n
		if _, err := r.ReadAt(buf[:n], at); err != nil {
			return 0, fmt.Errorf("ledger: %w", err)
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
	}
	return 0, nil
}
