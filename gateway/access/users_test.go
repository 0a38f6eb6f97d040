package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/gateway/access"
)

// byHost is somebody at the command line.
var byHost = access.By{Name: "ops", Kind: access.Host}

// configRows returns the rows about changes.
func configRows(t *testing.T, dir string) []access.Event {
	t.Helper()
	var out []access.Event
	for _, e := range audit(t, dir) {
		if e.Action == access.ActConfig {
			out = append(out, e)
		}
	}
	return out
}

// run runs the access until the test ends.
func run(t *testing.T, a *access.Access) {
	t.Helper()
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventually waits until done returns nil.
func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestCommandLineChangesUsersOfARunningGateway: what another process changes counts within a second or two, and the
// gateway, which alone may write the log, writes a row that names who did it.
func TestCommandLineChangesUsersOfARunningGateway(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	a := open(t, dir, config())
	run(t, a)
	file := access.UsersFile(dir, "")
	command, err := access.OpenUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	li := access.Account{Name: "li", RealName: "李卫国", Role: access.Officer, Unit: "u"}
	if err := command.Add(t.Context(), byHost, li, "four words in a row"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "login", func() error {
		_, err := a.CheckPassword(t.Context(), "li", "four words in a row", "")
		return err
	})
	if err := command.SetDisabled(byHost, "li", true, false); err != nil {
		t.Fatal(err)
	}
	want := []string{"added li (officer, u)", "disabled li (officer, u)"}
	eventually(t, "rows", func() error {
		rows := configRows(t, dir)
		if len(rows) != len(want) {
			return errors.New("too few")
		}
		for i, r := range rows {
			if r.Actor != "ops" || r.Kind != access.Host || r.Outcome != access.Done || r.Detail != want[i] {
				t.Fatalf("row %+v, want %q by ops", r, want[i])
			}
		}
		return nil
	})
	// What is in the log need not stay in the file; the accounts do.
	eventually(t, "settled", func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "changes") {
			return errors.New("changes are still there")
		}
		return nil
	})
	if _, err := a.CheckPassword(t.Context(), "li", "four words in a row", "10.0.0.9"); err == nil {
		t.Error("who is disabled logs in")
	}
	for _, u := range command.List() {
		if u.Name == "li" && (u.RealName != "李卫国" || !u.Disabled || u.Password != "") {
			t.Errorf("%+v", u)
		}
	}
}

// TestChangesWaitForTheLog: without a gateway the changes stay in the file, and the next start writes their rows, once.
func TestChangesWaitForTheLog(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	command, err := access.OpenUsers(access.UsersFile(dir, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, err := command.Reset(t.Context(), byHost, "admin")
	if err != nil || len(password) < 20 {
		t.Fatalf("%q, %v", password, err)
	}
	a := open(t, dir, config())
	if _, err := a.Login(t.Context(), "admin", password, ""); err != nil {
		t.Error(err)
	}
	a.Close()
	b := open(t, dir, config())
	b.Close()
	rows := configRows(t, dir)
	if len(rows) != 1 || rows[0].Actor != "ops" || rows[0].Detail != "new password of admin (admin, whole district)" {
		t.Errorf("rows %+v", rows)
	}
}

// TestUsersChangeTogether: two processes that change the file at the same time lose nothing of each other.
func TestUsersChangeTogether(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	file := access.UsersFile(dir, "")
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			u, err := access.OpenUsers(file)
			if err != nil {
				t.Error(err)
				return
			}
			err = u.Add(t.Context(), byHost, access.Account{Name: name, Role: access.Auditor, Unit: "u"}, "four words in a row")
			if err == nil {
				err = u.SetDisabled(byHost, name, true, false)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Users   []access.Account
		Changes []access.Change
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Users) != 7 || len(f.Changes) != 12 {
		t.Errorf("%d users, %d changes; want 7 and 12", len(f.Users), len(f.Changes))
	}
}

// TestUsersRefuse names every change that is refused.
func TestUsersRefuse(t *testing.T) {
	t.Parallel()
	u, err := access.OpenUsers(filepath.Join(seed(t), "users.json"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, li := t.Context(), access.Account{Name: "li", Role: access.Officer, Unit: "u"}
	add := func(a access.Account, password string) error { return u.Add(ctx, byHost, a, password) }
	if err := add(li, "four words in a row"); err != nil {
		t.Fatal(err)
	}
	wang := access.Account{Name: "wangwei1990", Role: access.Officer, Unit: "u"}
	for want, err := range map[string]error{
		"user li: exists already":                                                     add(li, "four words in a row"),
		"user zhao: is not known: there are admin, li":                                u.SetPassword(ctx, byHost, "zhao", "four words in a row"),
		"user zhao: is not known":                                                     u.SetDisabled(byHost, "zhao", true, true),
		"user li is enabled already":                                                  u.SetDisabled(byHost, "li", false, false),
		"user admin: is the last admin who may log in":                                u.SetDisabled(byHost, "admin", true, false),
		"user wangwei1990: the password has 5 characters: want 10 or more":            add(wang, "short"),
		"user wangwei1990: the password is the login with something behind it":        add(wang, "WangWei1990!"),
		"user wangwei1990: the password has 2 different characters: want 5 or more":   add(wang, "abababababab"),
		"user wangwei1990: the password is one that everybody tries first":            add(wang, "Password123"),
		"user wangwei1990: the password begins or ends with a blank":                  add(wang, "four words in a row "),
		"user wangwei1990: the password holds a character that cannot be typed":       add(wang, "four words\nin a row"),
		"user wangwei1990: the password has 300 bytes: want at most 256":              add(wang, strings.Repeat("abcde", 60)),
		`user "wang wei": the name wants`:                                             add(access.Account{Name: "wang wei", Role: access.Officer, Unit: "u"}, "four words in a row"),
		`user wang: role "chief": want one of admin, officer, investigator, operator`: add(access.Account{Name: "wang", Role: "chief"}, "four words in a row"),
		"user wang: unit is missing":                                                  add(access.Account{Name: "wang", Role: access.Officer}, "four words in a row"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if err := u.SetDisabled(byHost, "admin", true, true); err != nil {
		t.Errorf("by force: %v", err)
	}
}

// TestDisabledSessionsEndForGood: being let in again does not bring old sessions back.
func TestDisabledSessionsEndForGood(t *testing.T) {
	t.Parallel()
	a := open(t, seed(t), config())
	l, err := a.Login(t.Context(), "admin", adminPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, disabled := range []bool{true, false} {
		if err := a.Users().SetDisabled(byHost, "admin", disabled, true); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Authenticate(bearer(l.Token)); !errors.Is(err, access.ErrBadCredential) {
			t.Errorf("disabled %v: %v", disabled, err)
		}
	}
}
