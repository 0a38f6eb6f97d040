// Package spill keeps tables that may outgrow memory: append-only, read at any offset. Beyond a budget that all tables
// of a file share, full blocks go to one temporary file, which has no name once it is open and goes with the process.
package spill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// blockSize is what moves at once.
const blockSize = 32 << 10

// File is where tables go that do not fit in memory. A nil File keeps everything in memory. It and its tables must not
// be used concurrently.
type File struct {
	dir    string
	budget int64 // bytes of full blocks that may stay in memory

	f   *os.File // nil until the budget is spent
	end int64
	err error
}

// New returns a File whose temporary file, if one is needed, lies in dir (empty: the system's place for such).
func New(dir string, budget int64) *File { return &File{dir: dir, budget: budget} }

// Err returns the first failure of a write. What was appended after it cannot be read.
func (f *File) Err() error {
	if f == nil {
		return nil
	}
	return f.err
}

// OnDisk returns how many bytes are in the temporary file.
func (f *File) OnDisk() int64 {
	if f == nil {
		return 0
	}
	return f.end
}

// Close gives the temporary file back. The tables cannot be read any more. It may be called twice, and on nil.
func (f *File) Close() error {
	if f == nil || f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	if f.err == nil {
		f.err = os.ErrClosed
	}
	return err
}

// keep takes a full block and returns where it is.
func (f *File) keep(b []byte) block {
	if f == nil || f.budget >= blockSize {
		if f != nil {
			f.budget -= blockSize
		}
		return block{mem: append(make([]byte, 0, blockSize), b...)}
	}
	if f.err != nil {
		return block{}
	}
	if f.f == nil {
		if f.f, f.err = os.CreateTemp(f.dir, "skein-export-*"); f.err != nil {
			return block{}
		}
		f.err = os.Remove(f.f.Name())
	}
	at := f.end
	if f.err == nil {
		_, f.err = f.f.WriteAt(b, at)
	}
	if f.err != nil {
		f.err = fmt.Errorf("spill tables to disk: %w", f.err)
		return block{}
	}
	f.end += int64(len(b))
	return block{off: at}
}

// block is blockSize bytes of a table.
type block struct {
	mem []byte // nil: in the file
	off int64
}

// Table is a list of bytes. Its zero value, or one of a nil File, is kept in memory.
type Table struct {
	file   *File
	blocks []block
	tail   []byte // shorter than a block
}

// NewTable returns an empty table of the file; f may be nil.
func NewTable(f *File) Table { return Table{file: f} }

// Len returns how many bytes were appended.
func (t *Table) Len() int64 { return int64(len(t.blocks))*blockSize + int64(len(t.tail)) }

// Append appends bytes.
func (t *Table) Append(p []byte) {
	for len(p) > 0 {
		n := min(len(p), blockSize-len(t.tail))
		t.tail = append(t.tail, p[:n]...)
		p = p[n:]
		if len(t.tail) == blockSize {
			t.blocks = append(t.blocks, t.file.keep(t.tail))
			t.tail = t.tail[:0]
		}
	}
}

// U32 appends a big-endian number.
func (t *Table) U32(v uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	t.Append(b[:])
}

// U64 appends a big-endian number.
func (t *Table) U64(v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	t.Append(b[:])
}

// ReadAt implements io.ReaderAt.
func (t *Table) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the start of a table")
	}
	n := 0
	for n < len(p) {
		i, at := off/blockSize, off%blockSize
		var got int
		switch {
		case i > int64(len(t.blocks)) || (i == int64(len(t.blocks)) && at >= int64(len(t.tail))):
			return n, io.EOF
		case i == int64(len(t.blocks)):
			got = copy(p[n:], t.tail[at:])
		case t.blocks[i].mem != nil:
			got = copy(p[n:], t.blocks[i].mem[at:])
		default:
			if err := t.file.Err(); err != nil {
				return n, err
			}
			want := min(int64(len(p)-n), blockSize-at)
			if _, err := t.file.f.ReadAt(p[n:n+int(want)], t.blocks[i].off+at); err != nil {
				return n, fmt.Errorf("read spilled table: %w", err)
			}
			got = int(want)
		}
		n += got
		off += int64(got)
	}
	return n, nil
}
