package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// By is who changes an account.
type By struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind,omitempty"`
}

// itself is the program, where nobody else does something.
func itself() By { return By{Name: "skein"} }

// Change is one change of an account.
type Change struct {
	Time time.Time `json:"time"`
	By   By        `json:"by"`
	User string    `json:"user"`
	What string    `json:"what"` // in words, with the user's role and unit
}

func (c Change) equal(d Change) bool {
	return c.Time.Equal(d.Time) && c.By == d.By && c.User == d.User && c.What == d.What
}

// lateRow is how much later than the change its row may be written without saying so.
const lateRow = 10 * time.Second

// event is the body of the change's row, written at now.
func (c Change) event(now time.Time) Event {
	e := Event{Actor: c.By.Name, Kind: c.By.Kind, Action: ActConfig, Outcome: Done, Detail: c.What}
	if now.Sub(c.Time) > lateRow {
		e.Detail += ", at " + c.Time.UTC().Format(time.RFC3339)
	}
	return e
}

// userFile is the users file.
type userFile struct {
	Version int       `json:"version"`
	Users   []Account `json:"users"`
	Changes []Change  `json:"changes,omitempty"` // whose rows are not yet in the audit log
}

func parseUsers(b []byte) (map[string]Account, []Change, error) {
	var f userFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, nil, err
	}
	if f.Version != 1 {
		return nil, nil, fmt.Errorf("version %d is not known", f.Version)
	}
	users := make(map[string]Account, len(f.Users))
	for _, a := range f.Users {
		if err := a.check(); err != nil {
			return nil, nil, err
		}
		if _, twice := users[a.Name]; twice {
			return nil, nil, fmt.Errorf("user %s is there twice", a.Name)
		}
		users[a.Name] = a
	}
	return users, f.Changes, nil
}

// sorted returns the accounts ordered by name.
func sorted(users map[string]Account) []Account {
	return slices.SortedFunc(maps.Values(users), func(a, b Account) int { return strings.Compare(a.Name, b.Name) })
}

// scope tells what the account may do, and where.
func scope(a Account) string {
	if a.Unit == "" {
		return fmt.Sprintf("(%s, whole district)", a.Role)
	}
	return fmt.Sprintf("(%s, %s)", a.Role, a.Unit)
}

// edited returns what is different, as the changes of somebody who is not known.
func edited(before, after map[string]Account, now time.Time) []Change {
	var out []Change
	add := func(name, format string, args ...any) {
		what := "users file changed: " + fmt.Sprintf(format, args...)
		out = append(out, Change{Time: now, By: itself(), User: name, What: what})
	}
	for _, a := range sorted(after) {
		if b, ok := before[a.Name]; !ok {
			add(a.Name, "added %s %s", a.Name, scope(a))
		} else if a != b {
			add(a.Name, "changed %s %s", a.Name, scope(a))
		}
	}
	for _, b := range sorted(before) {
		if _, ok := after[b.Name]; !ok {
			add(b.Name, "removed %s", b.Name)
		}
	}
	return out
}

// sameFile reports whether a file is the one that was read, untouched since. Each write of ours makes a new file, so
// two within one tick of the file system's clock are told apart.
func sameFile(now, read fs.FileInfo) bool {
	return read != nil && os.SameFile(now, read) && now.ModTime().Equal(read.ModTime()) && now.Size() == read.Size()
}

// lockWait is how long another process's change is waited for. It takes milliseconds.
const lockWait = 5 * time.Second

// lockFile holds the lock at path, which is created if missing, until unlock is called or the process ends.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := keepOwner(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for waited := time.Duration(0); ; waited += 10 * time.Millisecond {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which ends the lock
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || waited >= lockWait {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// keepOwner gives f to whom the file at path belongs, or the folder where there is none: root, at the command line,
// must not leave files behind that the service cannot read. For others it does nothing.
func keepOwner(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	st, err := os.Stat(path)
	if own, serr := f.Stat(); errors.Is(err, fs.ErrNotExist) || (err == nil && serr == nil && os.SameFile(st, own)) {
		st, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// writeFile replaces the file by one with the given content, readable by its owner only, in one durable step. The owner
// stays.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // the first error is the one to report
			_ = os.Remove(f.Name()) // likewise
		}
	}()
	if err = keepOwner(f, path); err != nil {
		return err
	}
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
