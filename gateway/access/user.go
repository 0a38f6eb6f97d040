package access

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Account is one person who may log in.
type Account struct {
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Unit     string    `json:"unit"`     // scope; empty only for admin
	Password string    `json:"password"` // PHC string, never the password itself
	Changed  time.Time `json:"changed"`  // of the password; older sessions end
	Disabled bool      `json:"disabled,omitempty"`
}

func (u Account) check() error {
	if !validName(u.Name) {
		return fmt.Errorf("user %q: the name wants 1-64 letters, digits, or any of . _ @ -", u.Name)
	}
	if !u.Role.Valid() {
		return fmt.Errorf("user %s: role %q: want one of %s", u.Name, u.Role, roleNames())
	}
	if u.Unit == "" && u.Role != Admin {
		return fmt.Errorf("user %s: unit is missing: only an admin may have the whole district unnamed", u.Name)
	}
	if _, _, _, err := parsePHC(u.Password); err != nil {
		return fmt.Errorf("user %s: password: %w", u.Name, err)
	}
	return nil
}

// Users is the file of accounts. A change of the file by another process is seen within a second.
type Users struct {
	path   string
	hasher *hasher
	now    func() time.Time
	notify func(what string) // told of every change, with mu held; set before first use

	mu      sync.Mutex // guards the fields below
	byName  map[string]Account
	stamp   time.Time // modification time of the file as read
	size    int64
	checked time.Time // when the file was last looked at
}

type userFile struct {
	Version int       `json:"version"`
	Users   []Account `json:"users"`
}

func openUsers(path string, h *hasher, now func() time.Time) (*Users, error) {
	u := &Users{path: path, hasher: h, now: now, byName: map[string]Account{}}
	u.notify = func(string) {}
	return u, u.load()
}

// OpenUsers opens the accounts in the file, for the command line. A missing file has no users.
func OpenUsers(path string) (*Users, error) {
	return openUsers(path, newHasher(defaultArgon()), time.Now)
}

// load reads the file. The caller holds mu, or is the only one to know u.
func (u *Users) load() error {
	st, err := os.Stat(u.path)
	if errors.Is(err, fs.ErrNotExist) {
		u.byName, u.stamp, u.size = map[string]Account{}, time.Time{}, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	b, err := os.ReadFile(u.path)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	users, err := parseUsers(b)
	if err != nil {
		return fmt.Errorf("users file %s: %w", u.path, err)
	}
	u.byName, u.stamp, u.size = users, st.ModTime(), st.Size()
	return nil
}

func parseUsers(b []byte) (map[string]Account, error) {
	var f userFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known", f.Version)
	}
	users := make(map[string]Account, len(f.Users))
	for _, a := range f.Users {
		if err := a.check(); err != nil {
			return nil, err
		}
		if _, twice := users[a.Name]; twice {
			return nil, fmt.Errorf("user %s is there twice", a.Name)
		}
		users[a.Name] = a
	}
	return users, nil
}

// get returns the account, looking at the file at most once a second. A file that cannot be read leaves the accounts as
// they are.
func (u *Users) get(name string) (Account, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	a, ok := u.byName[name]
	return a, ok && !a.Disabled
}

func (u *Users) refresh() {
	now := u.now()
	if d := now.Sub(u.checked); d >= 0 && d < time.Second {
		return
	}
	u.checked = now
	st, err := os.Stat(u.path)
	if err != nil || (st.ModTime().Equal(u.stamp) && st.Size() == u.size) {
		return
	}
	before := u.byName
	if u.load() == nil { // else half-written or wrong: keep what we have, look again in a second
		u.notify("users file changed: " + changes(before, u.byName))
	}
}

// changes tells people who was added, changed and removed.
func changes(before, after map[string]Account) string {
	var out []string
	for name, a := range after {
		if b, ok := before[name]; !ok {
			out = append(out, fmt.Sprintf("added %s (%s, %s)", name, a.Role, a.Unit))
		} else if a != b {
			out = append(out, fmt.Sprintf("changed %s (%s, %s)", name, a.Role, a.Unit))
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			out = append(out, "removed "+name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// List returns all accounts ordered by name, without their hashes.
func (u *Users) List() []Account {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	return u.sorted(false)
}

func (u *Users) sorted(hashes bool) []Account {
	list := make([]Account, 0, len(u.byName))
	for _, a := range u.byName {
		if !hashes {
			a.Password = ""
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Account) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Set creates or replaces the account with a new password; a.Password is ignored. Sessions of the user end.
func (u *Users) Set(ctx context.Context, a Account, password string) error {
	if n := len([]rune(password)); n < 10 || len(password) > maxPassword {
		return fmt.Errorf("user %s: the password wants 10 characters or more, at most %d bytes", a.Name, maxPassword)
	}
	phc, err := u.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	a.Password, a.Changed = phc, u.now().UTC()
	if err := a.check(); err != nil {
		return err
	}
	return u.change(func(m map[string]Account) { m[a.Name] = a })
}

// Remove deletes the account. Sessions of the user end.
func (u *Users) Remove(name string) error {
	return u.change(func(m map[string]Account) { delete(m, name) })
}

func (u *Users) change(edit func(map[string]Account)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.load(); err != nil {
		return err
	}
	before := maps.Clone(u.byName)
	edit(u.byName)
	b, err := json.MarshalIndent(userFile{Version: 1, Users: u.sorted(true)}, "", "  ")
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if err := writeFile(u.path, append(b, '\n')); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if err := u.load(); err != nil {
		return err
	}
	u.notify(changes(before, u.byName))
	return nil
}

// createFirst creates the user "admin" if there is no user at all, and returns the password.
func (u *Users) createFirst(ctx context.Context) (string, error) {
	u.mu.Lock()
	empty := len(u.byName) == 0
	u.mu.Unlock()
	if !empty {
		return "", nil
	}
	password := strings.ToLower(rand.Text()) // 130 bits, letters and digits 2-7: easy to type
	return password, u.Set(ctx, Account{Name: "admin", Role: Admin}, password)
}

// writeFile replaces the file by one with the given content, readable by its owner only, in one durable step.
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
