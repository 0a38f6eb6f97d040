package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Account is one person who may log in.
type Account struct {
	Name     string    `json:"name"`                // the login
	RealName string    `json:"real_name,omitempty"` // as colleagues call the person
	Role     Role      `json:"role"`
	Unit     string    `json:"unit"`     // scope; empty only for admin
	Password string    `json:"password"` // PHC string, never the password itself
	Changed  time.Time `json:"changed"`  // of the password, or of being disabled; older sessions end
	Disabled bool      `json:"disabled,omitempty"`
}

// Check reports what is wrong with the account, its password aside.
func (u Account) Check() error {
	if !validName(u.Name) {
		return fmt.Errorf("user %q: the name wants 1-64 letters, digits, or any of . _ @ -", u.Name)
	}
	if !u.Role.Valid() {
		return fmt.Errorf("user %s: role %q: want one of %s", u.Name, u.Role, roleNames())
	}
	if u.Unit == "" && u.Role != Admin {
		return fmt.Errorf("user %s: unit is missing: only an admin may have the whole district unnamed", u.Name)
	}
	if n := utf8.RuneCountInString(u.RealName); n > 64 || strings.ContainsFunc(u.RealName, unicode.IsControl) {
		return fmt.Errorf("user %s: the real name wants at most 64 characters, in one line", u.Name)
	}
	return nil
}

// check is Check for an account that is kept, with its hash.
func (u Account) check() error {
	if err := u.Check(); err != nil {
		return err
	}
	if _, _, _, err := parsePHC(u.Password); err != nil {
		return fmt.Errorf("user %s: password: %w", u.Name, err)
	}
	return nil
}

// Users is the file of accounts. A change of the file by another process is seen within a second.
//
// Every change is kept in the file beside the accounts until its row stands in the audit log. So the command line,
// which cannot write the log while a gateway does, leaves its changes for the gateway: running, it writes the row
// within a second or two, else at its next start.
type Users struct {
	path   string
	hasher *hasher
	now    func() time.Time
	tell   func(Change) error // writes the row of a change; nil: changes stay in the file for who can

	mu      sync.Mutex // guards the fields below
	byName  map[string]Account
	pending []Change    // in the file, their rows not written as far as the file knows
	told    []Change    // of pending, those whose rows are written
	stat    fs.FileInfo // of the file as read; nil: there was none
	checked time.Time   // when the file was last looked at
}

func openUsers(path string, h *hasher, now func() time.Time) (*Users, error) {
	u := &Users{path: path, hasher: h, now: now, byName: map[string]Account{}}
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
		u.byName, u.pending, u.stat = map[string]Account{}, nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	b, err := os.ReadFile(u.path)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	users, pending, err := parseUsers(b)
	if err != nil {
		return fmt.Errorf("users file %s: %w", u.path, err)
	}
	u.byName, u.pending, u.stat = users, pending, st
	return nil
}

// record has tell write the rows of changes: of those that wait in the file, and from now on of each. The changes whose
// row cannot be written are tried again.
func (u *Users) record(tell func(Change) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tell = tell
	if u.report(u.byName) {
		u.settle()
	}
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

// look takes over what other processes changed.
func (u *Users) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
}

func (u *Users) refresh() {
	now := u.now()
	if d := now.Sub(u.checked); d >= 0 && d < time.Second {
		return
	}
	u.checked = now
	st, err := os.Stat(u.path)
	if err != nil {
		return
	}
	before := u.byName
	if !sameFile(st, u.stat) && u.load() != nil {
		return // half-written or wrong: keep what we have, look again in a second
	}
	if u.report(before) {
		u.settle()
	}
}

// report has the rows written of the changes that wait, and of what somebody edited by hand, and tells whether there
// are changes that need not wait any more. The caller holds mu.
func (u *Users) report(before map[string]Account) bool {
	if u.tell == nil {
		return false
	}
	by := map[string]bool{}
	var told []Change
	for _, c := range u.pending {
		by[c.User] = true
		if slices.ContainsFunc(u.told, c.equal) || u.tell(c) == nil {
			told = append(told, c)
		}
	}
	u.told = told
	for _, c := range edited(before, u.byName, u.now()) {
		if !by[c.User] {
			_ = u.tell(c) // counted and logged there; whoever edits by hand leaves nothing to try again from
		}
	}
	return len(told) > 0
}

// settle removes from the file what is told. Where the file cannot be written, that is kept in memory: a restart then
// writes the rows once more. The caller holds mu.
func (u *Users) settle() {
	_ = u.locked(func() error {
		if err := u.load(); err != nil {
			return err
		}
		u.pending = slices.DeleteFunc(u.pending, func(c Change) bool { return slices.ContainsFunc(u.told, c.equal) })
		return u.store()
	})
}

// store writes the file. The caller holds mu and the file's lock.
func (u *Users) store() error {
	b, err := json.MarshalIndent(userFile{Version: 1, Users: sorted(u.byName), Changes: u.pending}, "", "  ")
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if err := writeFile(u.path, append(b, '\n')); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	return u.load()
}

// locked calls f while no other process changes the file.
func (u *Users) locked(f func() error) error {
	unlock, err := lockFile(u.path + ".lock")
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	defer unlock()
	return f()
}

// change edits one account and says what was done to it, or, if what is empty, whether it was added or changed. edit
// returns the account to store, or the error that stops it; the zero account deletes it.
func (u *Users) change(by By, name, what string, edit func(a Account, exists bool) (Account, error)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.byName
	err := u.locked(func() error {
		if err := u.load(); err != nil {
			return err
		}
		old, exists := u.byName[name]
		a, err := edit(old, exists)
		if err != nil {
			return err
		}
		if what == "" {
			what = map[bool]string{false: "added", true: "changed"}[exists]
		}
		what += " " + name
		if a == (Account{}) {
			delete(u.byName, name)
		} else if err := a.check(); err != nil {
			return err
		} else {
			u.byName[name] = a
			what += " " + scope(a)
		}
		u.pending = append(u.pending, Change{Time: u.now().UTC(), By: by, User: name, What: what})
		return u.store()
	})
	if err != nil {
		_ = u.load() // the first error is the one to report
		return err
	}
	if u.report(before) {
		u.settle()
	}
	return nil
}

// hashed returns the hash of a new password of the account, or says what is wrong with the password.
func (u *Users) hashed(ctx context.Context, name, password string) (string, error) {
	if err := CheckPassword(name, password); err != nil {
		return "", fmt.Errorf("user %s: the password %w", name, err)
	}
	return u.hasher.hash(ctx, password)
}

// Set creates or replaces the account with a new password, for the program itself; a.Password is ignored. Sessions of
// the user end.
func (u *Users) Set(ctx context.Context, a Account, password string) error {
	phc, err := u.hashed(ctx, a.Name, password)
	if err != nil {
		return err
	}
	a.Password, a.Changed = phc, u.now().UTC()
	return u.change(itself(), a.Name, "", func(Account, bool) (Account, error) { return a, nil })
}

// Add creates the account; a.Password is ignored. The error wraps ErrUserExists if there is one of that name.
func (u *Users) Add(ctx context.Context, by By, a Account, password string) error {
	phc, err := u.hashed(ctx, a.Name, password)
	if err != nil {
		return err
	}
	a.Password, a.Changed = phc, u.now().UTC()
	return u.change(by, a.Name, "added", func(_ Account, exists bool) (Account, error) {
		if exists {
			return Account{}, fmt.Errorf("user %s: %w", a.Name, ErrUserExists)
		}
		return a, nil
	})
}

// SetPassword changes the password. Sessions of the user end. The error wraps ErrUnknownUser if there is no such user.
func (u *Users) SetPassword(ctx context.Context, by By, name, password string) error {
	phc, err := u.hashed(ctx, name, password)
	if err != nil {
		return err
	}
	return u.change(by, name, "new password of", func(a Account, exists bool) (Account, error) {
		if !exists {
			return a, u.unknown(name)
		}
		a.Password, a.Changed = phc, u.now().UTC()
		return a, nil
	})
}

// Reset gives the user a random password and returns it. It is to be shown once and nowhere stored.
func (u *Users) Reset(ctx context.Context, by By, name string) (string, error) {
	password := randomPassword()
	return password, u.SetPassword(ctx, by, name, password)
}

// SetDisabled locks the user out, or lets the user in again. Sessions of a user who is disabled end for good. The last
// admin who may log in is disabled by force only: else the error wraps ErrLastAdmin.
func (u *Users) SetDisabled(by By, name string, disabled, force bool) error {
	what := "enabled"
	if disabled {
		what = "disabled"
	}
	return u.change(by, name, what, func(a Account, exists bool) (Account, error) {
		switch {
		case !exists:
			return a, u.unknown(name)
		case a.Disabled == disabled:
			return a, fmt.Errorf("user %s is %s already", name, what)
		case disabled && !force && a.Role == Admin && u.admins() == 1:
			return a, fmt.Errorf("user %s: %w", name, ErrLastAdmin)
		}
		a.Disabled = disabled
		if disabled {
			a.Changed = u.now().UTC()
		}
		return a, nil
	})
}

// Remove deletes the account, for the program itself. Sessions of the user end.
func (u *Users) Remove(name string) error {
	return u.change(itself(), name, "removed", func(Account, bool) (Account, error) { return Account{}, nil })
}

// admins counts the admins who may log in. The caller holds mu.
func (u *Users) admins() int {
	n := 0
	for _, a := range u.byName {
		if a.Role == Admin && !a.Disabled {
			n++
		}
	}
	return n
}

// unknown is the error about a user that is not there; it names those that are. The caller holds mu.
func (u *Users) unknown(name string) error {
	names := slices.Sorted(maps.Keys(u.byName))
	if len(names) == 0 {
		return fmt.Errorf("user %s: %w: %s holds nobody yet", name, ErrUnknownUser, u.path)
	}
	return fmt.Errorf("user %s: %w: there are %s", name, ErrUnknownUser, strings.Join(names, ", "))
}

// List returns all accounts ordered by name, without their hashes.
func (u *Users) List() []Account {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refresh()
	list := sorted(u.byName)
	for i := range list {
		list[i].Password = ""
	}
	return list
}

// CreateFirst creates the user "admin" with a random password if there is no user at all, and returns the password,
// else "". It is to be shown at once and nowhere stored: call it when nothing can keep the start from ending well any
// more.
func (u *Users) CreateFirst(ctx context.Context) (string, error) {
	u.mu.Lock()
	empty := len(u.byName) == 0
	u.mu.Unlock()
	if !empty {
		return "", nil
	}
	password := randomPassword()
	return password, u.Set(ctx, Account{Name: "admin", Role: Admin}, password)
}
