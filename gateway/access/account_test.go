package access_test

import (
	"testing"
	"time"

	"skein/gateway/access"
)

// TestAccountOfAClientWithoutASession: what an RTSP client may do follows its account, not the moment it authenticated.
func TestAccountOfAClientWithoutASession(t *testing.T) {
	t.Parallel()
	const password = "a good password"
	a := open(t, t.TempDir(), access.Config{})
	set := func(role access.Role, password string) {
		t.Helper()
		if err := a.Users().Set(t.Context(), access.Account{Name: "li", Role: role, Unit: "town"}, password); err != nil {
			t.Fatal(err)
		}
	}
	set(access.Officer, password)
	since := time.Now()
	p, err := a.CheckPassword(t.Context(), "li", password, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if now, ok := a.Account(p, since); !ok || now.Role != access.Officer || now.Unit != "town" {
		t.Errorf("%+v, %v", now, ok)
	}
	set(access.Auditor, "another good one")
	if _, ok := a.Account(p, since); ok {
		t.Error("a changed password changes nothing")
	}
	if now, ok := a.Account(p, time.Now()); !ok || now.Role != access.Auditor {
		t.Errorf("%+v, %v", now, ok)
	}
	if err := a.Users().Remove("li"); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Account(p, time.Now()); ok {
		t.Error("a removed user goes on")
	}
}
