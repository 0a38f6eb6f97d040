// Package ledger keeps append-only, hash-chained logs of JSON records on disk: the audit log and the register of
// retrievals.
//
// # Format
//
// A ledger is a directory of files named ledger-<first sequence number, 12 digits>.jsonl. Each line is one JSON object
//
//	{"seq":7,"time":"2026-11-23T15:16:17.123Z","prev":"<hex>","body":{…},"hash":"<hex>"}
//
// with hash = SHA-256 over prev, seq, time and body as they stand in the line (see [Entry]). prev is the hash of the
// line before, over file boundaries; it is 64 zeros in the very first. So a changed, removed, added or reordered line
// is found by [Verify]. A chain cannot tell that its newest lines were cut off: keep [Ledger.Head] elsewhere for that.
//
// # Durability
//
// Append returns after fsync. Appends that come together share one. A line torn by a crash was never acknowledged; it
// is cut off at the next start.
package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	prefix = "ledger-"
	suffix = ".jsonl"

	// DefaultRotate is the size in bytes at which a new file is begun.
	DefaultRotate = 64 << 20
	// MaxLine is the longest line, in bytes. Append refuses longer ones.
	MaxLine = 1 << 20
)

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("ledger is closed")

// ErrInUse is returned by Open while the ledger is open elsewhere.
var ErrInUse = errors.New("is in use")

// Options change how a ledger is written. The zero value is good.
type Options struct {
	Rotate int64            // bytes; 0: DefaultRotate
	Now    func() time.Time // nil: time.Now
}

// Ledger is one open log. Its methods may be called from any goroutine. Only one may be open of a directory at a time.
type Ledger struct {
	dir    string
	rotate int64
	now    func() time.Time

	mu     sync.Mutex // guards the fields below
	file   *os.File
	size   int64
	head   Head
	broken error // set when a write failed in a way that leaves the file's end unknown

	lock *os.File // held open, and locked, until Close

	sync   sync.Mutex // held while syncing; taken before mu, never after
	synced uint64     // guarded by sync: entries up to this number are durable
}

// Head names the newest entry.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// Open opens the ledger in dir, which is created if missing, checks the newest file and calls each with every entry of
// every file in order. A torn last line is cut off. each may be nil: then only the newest file is read.
func Open(dir string, o Options, each func(Entry) error) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l, err := open(dir, o, each)
	if err != nil {
		_ = lock.Close() // the first error is the one to report
		return nil, err
	}
	l.lock = lock
	return l, nil
}

// lockDir keeps others from writing the same ledger: two writers would fork the chain. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // the first error is the one to report
		return nil, fmt.Errorf("ledger %s: %w: stop the other process first", dir, ErrInUse)
	}
	return f, nil
}

func open(dir string, o Options, each func(Entry) error) (*Ledger, error) {
	if o.Rotate == 0 {
		o.Rotate = DefaultRotate
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, rotate: o.Rotate, now: o.Now}
	if len(names) == 0 {
		return l, nil
	}
	newest := names[len(names)-1]
	if err := cutTorn(newest); err != nil {
		return nil, err
	}
	read := names
	if each == nil {
		if read, err = tail(names); err != nil {
			return nil, err
		}
	}
	w := walker{each: each, partial: each == nil}
	for _, name := range read {
		if err := w.file(name); err != nil {
			return nil, fmt.Errorf("%w; move %s away to begin a new one", err, dir)
		}
	}
	l.head = w.head
	return l, l.reopen(newest)
}

func (l *Ledger) reopen(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close() // the seek's error is the one to report
		return fmt.Errorf("ledger: %w", err)
	}
	l.file, l.size = f, size
	return nil
}

// Append writes body as the next entry and returns it once it is durable. body must marshal to JSON.
func (l *Ledger) Append(body any) (Entry, error) {
	e, err := l.write(body)
	if err != nil {
		return Entry{}, err
	}
	return e, l.flush(e.Seq)
}

func (l *Ledger) write(body any) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return Entry{}, l.broken
	}
	e, line, err := seal(l.head, l.now(), body)
	if err != nil {
		return Entry{}, err
	}
	if l.file == nil || l.size+int64(len(line)) > l.rotate {
		if err := l.next(e.Seq); err != nil {
			return Entry{}, err
		}
	}
	if _, err := l.file.Write(line); err != nil {
		// part of the line may be there: take it back, or write no more
		if cut := l.file.Truncate(l.size); cut != nil {
			l.broken = fmt.Errorf("ledger %s: cannot take back a torn line; restart to repair: %w", l.dir, cut)
		}
		return Entry{}, fmt.Errorf("ledger %s: %w", l.dir, err)
	}
	l.size += int64(len(line))
	l.head = Head{Seq: e.Seq, Hash: e.Hash}
	return e, nil
}

// next begins the file whose first entry is seq. The finished file is made durable first.
func (l *Ledger) next(seq uint64) error {
	if l.file != nil {
		if err := l.file.Sync(); err != nil {
			return fmt.Errorf("ledger %s: %w", l.dir, err)
		}
	}
	name := filepath.Join(l.dir, fmt.Sprintf("%s%012d%s", prefix, seq, suffix))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := syncDir(l.dir); err != nil {
		_ = f.Close() // the sync's error is the one to report
		return err
	}
	old := l.file
	l.file, l.size = f, 0
	if old != nil {
		if err := old.Close(); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	return nil
}

// flush makes all entries up to seq durable. Whoever comes while another syncs waits for it, and then mostly finds its
// own entry already on disk.
func (l *Ledger) flush(seq uint64) error {
	l.sync.Lock()
	defer l.sync.Unlock()
	if l.synced >= seq {
		return nil
	}
	l.mu.Lock()
	f, upTo := l.file, l.head.Seq
	l.mu.Unlock()
	if f == nil {
		return ErrClosed
	}
	err := f.Sync()
	if err == nil {
		l.synced = upTo
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != f && l.broken == nil {
		return nil // a new file was begun meanwhile, after this one was made durable and closed
	}
	l.broken = fmt.Errorf("ledger %s: fsync failed; restart to repair: %w", l.dir, err)
	return l.broken
}

// Head returns the newest entry's number and hash: what to keep elsewhere to notice that the end was cut off.
func (l *Ledger) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Dir returns the ledger's directory.
func (l *Ledger) Dir() string { return l.dir }

// Close closes the file. It may be called twice; Append fails afterwards.
func (l *Ledger) Close() error {
	if l == nil {
		return nil
	}
	l.sync.Lock()
	defer l.sync.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = ErrClosed
	}
	if l.lock != nil {
		_ = l.lock.Close() // nothing was written to it
		l.lock = nil
	}
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// files returns the ledger's files in order.
func files(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var names []string
	for _, d := range list {
		if n := d.Name(); strings.HasPrefix(n, prefix) && strings.HasSuffix(n, suffix) {
			names = append(names, filepath.Join(dir, n))
		}
	}
	slices.Sort(names)
	return names, nil
}

// tail returns the newest file that has entries, and those after it.
func tail(names []string) ([]string, error) {
	for i := len(names) - 1; i >= 0; i-- {
		st, err := os.Stat(names[i])
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		if st.Size() > 0 {
			return names[i:], nil
		}
	}
	return names, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("ledger: sync %s: %w", dir, err)
	}
	return nil
}
