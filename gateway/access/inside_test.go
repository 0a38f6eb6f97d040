package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cheap makes tests quick; what is tested does not depend on the costs.
func cheap() argonParams { return argonParams{memory: 64, time: 1, threads: 1} }

func TestPassword(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap())
	ctx := t.Context()
	a, err := h.hash(ctx, "correct")
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.hash(ctx, "correct")
	if err != nil || a == b {
		t.Fatalf("two hashes of one password must differ: %v", err)
	}
	if !strings.HasPrefix(a, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("PHC string %q", a)
	}
	for _, tt := range []struct {
		phc, password string
		ok            bool
	}{{a, "correct", true}, {b, "correct", true}, {a, "Correct", false}, {a, "", false}, {"", "correct", false}} {
		if ok, err := h.verify(ctx, tt.phc, tt.password); err != nil || ok != tt.ok {
			t.Errorf("%q: %v, %v", tt.password, ok, err)
		}
	}
	for _, phc := range []string{
		"x", "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", // another function
		"$argon2id$v=16$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",      // an old version
		"$argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", // 10 GB
		"$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=300$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AA", // a key that is easily found
	} {
		if ok, err := h.verify(ctx, phc, "x"); ok || !errors.Is(err, errPHC) {
			t.Errorf("%s: %v, %v", phc, ok, err)
		}
	}
}

// The known answer comes from the tests of the reference implementation (phc-winner-argon2).
func TestKnownHash(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap())
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := h.verify(t.Context(), phc, "password"); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
}

func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := newHasher(cheap())
		for range hashParallel {
			if err := h.acquire(ctx); err != nil {
				t.Fatal(err)
			}
		}
		errs := make(chan error, hashWaiting)
		for range hashWaiting {
			go func() { errs <- h.acquire(ctx) }()
		}
		synctest.Wait()
		if err := h.acquire(ctx); !errors.Is(err, ErrBusy) {
			t.Fatalf("one more: %v", err)
		}
		h.release()
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		cancel()
		for range hashWaiting - 1 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if n := h.waiting.Load(); n != hashParallel {
			t.Fatalf("%d counted, want %d", n, hashParallel)
		}
	})
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Now)
		var waits []time.Duration
		for range 12 {
			w := l.begin("admin", "10.0.0.1")
			if w > 0 {
				waits = append(waits, w)
				time.Sleep(w)
				if w := l.begin("admin", "10.0.0.1"); w != 0 {
					t.Fatalf("waited, and must wait %v more", w)
				}
			}
		}
		want := "[1s 2s 4s 8s 16s 30s 30s]"
		if fmt.Sprint(waits) != want {
			t.Fatalf("waits %v, want %s", waits, want)
		}
		if w := l.begin("other", "10.0.0.2"); w != 0 {
			t.Fatal("others must not wait")
		}
		l.succeed("admin", "10.0.0.1")
		if w := l.begin("admin", "10.0.0.1"); w != 0 {
			t.Fatalf("after a success: %v", w)
		}
	})
}

func TestLimiterPerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(time.Now)
		n := 0
		for l.begin(fmt.Sprint("user", n), fmt.Sprintf("2001:db8::%x", n)) == 0 {
			n++
		}
		if n != freeAddress {
			t.Fatalf("%d free attempts from one network, want %d", n, freeAddress)
		}
		if w := l.begin("x", "2001:db8:0:1::1"); w != 0 {
			t.Fatal("another network must not wait")
		}
		time.Sleep(forgetAfter + time.Minute)
		if w := l.begin("x", "2001:db8::1"); w != 0 {
			t.Fatal("forgotten by now")
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	m := map[string]*attempts{}
	now := time.Now()
	for i := range maxLimited + 3 {
		touch(m, fmt.Sprint(i), now.Add(time.Duration(i)))
	}
	if len(m) != maxLimited || m["0"] != nil || m[fmt.Sprint(maxLimited+2)] == nil {
		t.Fatalf("%d entries", len(m))
	}
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := openSessions(filepath.Join(t.TempDir(), "s.json"),
			Config{SessionTTL: time.Hour, SessionMax: 3 * time.Hour}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		idle, _, err := s.start("a")
		if err != nil {
			t.Fatal(err)
		}
		busy, first, err := s.start("a")
		if err != nil || time.Until(first) != time.Hour {
			t.Fatalf("%v, %v", first, err)
		}
		began := time.Now()
		for range 5 {
			time.Sleep(30 * time.Minute)
			if _, _, ok := s.use(digestOf(busy)); !ok {
				t.Fatalf("a used session ended after %v", time.Since(began))
			}
		}
		if _, _, ok := s.use(digestOf(idle)); ok {
			t.Fatal("an unused session is still good")
		}
		if _, e, _ := s.use(digestOf(busy)); e.Sub(began) != 3*time.Hour {
			t.Fatalf("expires after %v, want the absolute end", e.Sub(began))
		}
		time.Sleep(30 * time.Minute)
		if _, _, ok := s.use(digestOf(busy)); ok {
			t.Fatal("a session outlived its absolute end")
		}
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(s.path); strings.TrimSpace(string(b)) != "{}" {
			t.Fatalf("left on disk: %s", b)
		}
	})
}

func TestSessionsOfOneUserAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &sessions{ttl: time.Hour, span: time.Hour, now: func() time.Time { return now }, byToken: map[digest]session{}}
	s.path = filepath.Join(t.TempDir(), "s.json")
	first, _, _ := s.start("a")
	now = now.Add(time.Second)
	for range maxUserSessions {
		if _, _, err := s.start("a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := s.use(digestOf(first)); ok || len(s.byToken) != maxUserSessions {
		t.Fatalf("%d sessions; the oldest must go", len(s.byToken))
	}
}

func TestUsersFileIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap())
		path := filepath.Join(t.TempDir(), "users.json")
		server, err := openUsers(path, h, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		command, err := openUsers(path, h, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Set(t.Context(), Account{Name: "li", Role: Officer, Unit: "u"}, "long enough"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if u, ok := server.get("li"); !ok || u.Unit != "u" {
			t.Fatal("a new user is not seen")
		}
		if err := os.WriteFile(path, []byte("half a fi"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, ok := server.get("li"); !ok {
			t.Fatal("a broken file must not log people out")
		}
		if list := server.List(); len(list) != 1 || list[0].Password != "" {
			t.Fatalf("list %+v", list)
		}
		for _, bad := range []Account{{Name: "x y", Role: Admin}, {Name: "x", Role: "king"}, {Name: "x", Role: Officer}} {
			if err := command.Set(t.Context(), bad, "long enough"); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
		if err := command.Set(t.Context(), Account{Name: "x", Role: Admin}, "short"); err == nil {
			t.Error("a short password was taken")
		}
	})
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "not an address": "not an address",
	} {
		if got := network(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, key, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.memory > maxMemory || p.time > maxTime || p.threads > maxThreads || p.threads == 0 || p.time == 0 ||
			len(salt) < 8 || len(key) < 16 {
			t.Fatalf("%q: %+v, %d, %d", s, p, len(salt), len(key))
		}
	})
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte(`{"version":1,"users":[{"name":"a","role":"admin","unit":"","password":` +
		`"$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		users, _, err := parseUsers(b)
		if err != nil {
			return
		}
		for name, u := range users {
			if name != u.Name || u.check() != nil {
				t.Fatalf("%q: %+v", name, u)
			}
		}
	})
}

func FuzzParseSessions(f *testing.F) {
	f.Add([]byte(`{"` + strings.Repeat("ab", 32) + `":{"user":"a","created":"2026-11-23T00:00:00Z","used":"2026-11-23T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseSessions(b)
		if err == nil && m == nil {
			t.Fatal("no table and no error")
		}
	})
}
