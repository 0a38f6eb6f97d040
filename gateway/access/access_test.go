package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"skein/config/secret"
	"skein/gateway/access"
	"skein/internal/caller"
	"skein/internal/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	benchToken = "bench-token-0123456789abcdef"
	nodeToken  = "node-token-0123456789abcdef"
)

func config() access.Config {
	return access.Config{
		Tokens: []access.TokenConfig{{
			Name: "bench", Token: secret.New(benchToken), Role: access.Operator, Unit: "yanfeng",
		}},
		Nodes: []access.NodeConfig{{ID: "edge-1", Token: secret.New(nodeToken)}},
	}
}

// adminPassword belongs to the user admin that seed makes. Its hash is a cheap one, so that tests are quick.
const (
	adminPassword = "correct horse battery"
	adminHash     = "$argon2id$v=19$m=64,t=1,p=1$9gVFZMJAq8rluT7EoM0zAA$blmb/wCE0rotoBPKcfuLOZH9mRSSTw2zwLCMiOQ1zsA"
)

// seed returns a data directory with the user admin in it.
func seed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	users := fmt.Sprintf(`{"version":1,"users":[{"name":"admin","role":"admin","password":%q}]}`, adminHash)
	if err := os.WriteFile(filepath.Join(dir, "users.json"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string, cfg access.Config) *access.Access {
	t.Helper()
	a, err := access.New(cfg, access.Options{DataDir: dir, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func audit(t *testing.T, dir string) []access.Event {
	t.Helper()
	var out []access.Event
	_, err := access.VerifyAudit(filepath.Join(dir, "audit"), func(_ ledger.Entry, e access.Event) error {
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	a := open(t, dir, config())
	password, err := a.Users().CreateFirst(t.Context())
	if err != nil || len(password) < 20 {
		t.Fatalf("password %q is too short, %v", password, err)
	}
	l, err := a.Login(t.Context(), "admin", password, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if l.Who.Role != access.Admin || !l.Who.Everywhere() {
		t.Fatalf("the first user is %+v", l.Who)
	}
	p, err := a.Authenticate(bearer(l.Token))
	if err != nil || p.Name != "admin" || p.Kind != access.User || !p.Expires.After(time.Now()) {
		t.Fatalf("%+v, %v", p, err)
	}
	a.Close()

	// neither password nor session is anywhere on disk, and only the owner may read the files
	err = filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err != nil || st.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), password) || strings.Contains(string(b), l.Token) {
			t.Errorf("%s holds a secret", path)
		}
		if st.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// the second start prints nothing and knows both the user and the session
	b := open(t, dir, config())
	if again, err := b.Users().CreateFirst(t.Context()); again != "" || err != nil {
		t.Fatalf("a second start must not make a password: %v", err)
	}
	if _, err := b.Authenticate(bearer(l.Token)); err != nil {
		t.Fatalf("the session did not survive: %v", err)
	}
	if _, err := b.Login(t.Context(), "admin", password, ""); err != nil {
		t.Fatal(err)
	}
}

func TestLoginAndLogout(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	a := open(t, dir, config())
	ctx := t.Context()
	err := a.Users().Set(ctx, access.Account{Name: "王伟", Role: access.Officer, Unit: "baishazhou"}, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ user, password string }{
		{"王伟", "wrong"}, {"nobody", "correct horse"}, {"", "x"}, {"王伟", ""}, {"王伟", strings.Repeat("x", 300)},
		{"my password, in the wrong field", "x"},
	} {
		if _, err := a.Login(ctx, tt.user, tt.password, "10.0.0.1"); !errors.Is(err, access.ErrLogin) {
			t.Errorf("%q %q: %v", tt.user, tt.password, err)
		}
	}
	l, err := a.Login(ctx, "王伟", "correct horse", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(access.SessionCookie(l.Token, l.Ends, true))
	p, err := a.Authenticate(r)
	if err != nil || p.Unit != "baishazhou" || p.Everywhere() {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := a.Logout(p, "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(r); !errors.Is(err, access.ErrBadCredential) {
		t.Fatalf("after logout: %v", err)
	}
	var got []string
	for _, e := range audit(t, dir) {
		if strings.Contains(e.Actor, "password") {
			t.Errorf("actor %q may be a secret", e.Actor)
		}
		if e.Action == access.ActConfig && e.Detail != "added 王伟 (officer, baishazhou)" {
			t.Errorf("detail %q", e.Detail)
		}
		got = append(got, string(e.Action)+" "+string(e.Outcome))
	}
	want := "config done,login failed,login failed,login failed,login failed,login failed,login failed,login done,logout done"
	if strings.Join(got, ",") != want {
		t.Fatalf("audit: %v", got)
	}
}

func TestSessionEndsWithItsUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*access.Users) error{
		"password changed": func(u *access.Users) error {
			return u.Set(context.Background(), access.Account{Name: "li", Role: access.Auditor, Unit: "u"}, "another password")
		},
		"removed": func(u *access.Users) error { return u.Remove("li") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, seed(t), config())
			err := a.Users().Set(t.Context(), access.Account{Name: "li", Role: access.Auditor, Unit: "u"}, "first password")
			if err != nil {
				t.Fatal(err)
			}
			l, err := a.Login(t.Context(), "li", "first password", "")
			if err != nil {
				t.Fatal(err)
			}
			if err := change(a.Users()); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Authenticate(bearer(l.Token)); !errors.Is(err, access.ErrBadCredential) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	a := open(t, seed(t), config())
	tests := []struct {
		name   string
		header []string
		cookie string
		want   access.Principal
		err    error
	}{
		{name: "nothing", err: access.ErrNoCredential},
		{name: "token", header: []string{"Bearer " + benchToken},
			want: access.Principal{Name: "bench", Role: access.Operator, Unit: "yanfeng", Kind: access.Token}},
		{name: "scheme in another case", header: []string{"bearer " + benchToken},
			want: access.Principal{Name: "bench", Role: access.Operator, Unit: "yanfeng", Kind: access.Token}},
		{name: "node", header: []string{"Bearer " + nodeToken}, want: access.Principal{Name: "edge-1", Kind: access.Node, Node: caller.Edge}},
		{name: "part of a token", header: []string{"Bearer " + benchToken[:20]}, err: access.ErrBadCredential},
		{name: "token and more", header: []string{"Bearer " + benchToken + "x"}, err: access.ErrBadCredential},
		{name: "empty token", header: []string{"Bearer "}, err: access.ErrBadCredential},
		{name: "basic", header: []string{"Basic YWRtaW46YWRtaW4="}, err: access.ErrBadCredential},
		{name: "two headers", header: []string{"Bearer " + benchToken, "Bearer x"}, err: access.ErrBadCredential},
		{name: "a token is no cookie", cookie: benchToken, err: access.ErrBadCredential},
		{name: "a wrong header is not saved by a cookie", header: []string{"Bearer x"}, cookie: benchToken,
			err: access.ErrBadCredential},
		{name: "unknown session", cookie: "abc", err: access.ErrBadCredential},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, h := range tt.header {
				r.Header.Add("Authorization", h)
			}
			if tt.cookie != "" {
				r.AddCookie(&http.Cookie{Name: access.CookieName, Value: tt.cookie})
			}
			p, err := a.Authenticate(r)
			if !errors.Is(err, tt.err) || (err == nil && p != tt.want) {
				t.Fatalf("got %+v, %v", p, err)
			}
		})
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	a := open(t, seed(t), config())
	login, err := a.Login(t.Context(), "admin", adminPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	h := a.Guard(func(r *http.Request) bool { return r.URL.Path == "/open" },
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := access.FromContext(r.Context())
			w.Header().Set("Who", p.Name)
		}))
	tests := []struct {
		name, method, path string
		token, cookie      bool
		header             map[string]string
		status             int
		who                string
	}{
		{name: "public", method: "GET", path: "/open", status: 200},
		{name: "public with a credential", method: "GET", path: "/open", token: true, status: 200, who: "bench"},
		{name: "closed", method: "GET", path: "/v1/x", status: 401},
		{name: "closed, any method", method: "DELETE", path: "/", status: 401},
		{name: "path is compared exactly", method: "GET", path: "/open/", status: 401},
		{name: "token", method: "POST", path: "/v1/x", token: true, status: 200, who: "bench"},
		{name: "token from another site's script is still a token", method: "POST", path: "/v1/x", token: true,
			header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200, who: "bench"},
		{name: "cookie reads", method: "GET", path: "/v1/x", cookie: true, status: 200, who: "admin"},
		{name: "cookie reads across sites: SameSite's task", method: "GET", path: "/v1/x", cookie: true,
			header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200, who: "admin"},
		{name: "cookie writes from our page", method: "POST", path: "/v1/x", cookie: true,
			header: map[string]string{"Sec-Fetch-Site": "same-origin"}, status: 200, who: "admin"},
		{name: "cookie writes from another site", method: "POST", path: "/v1/x", cookie: true,
			header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 403},
		{name: "cookie writes from a sister site", method: "DELETE", path: "/v1/x", cookie: true,
			header: map[string]string{"Sec-Fetch-Site": "same-site"}, status: 403},
		{name: "old browser, our origin", method: "PUT", path: "/v1/x", cookie: true,
			header: map[string]string{"Origin": "http://example.com"}, status: 200, who: "admin"},
		{name: "old browser, another origin", method: "PUT", path: "/v1/x", cookie: true,
			header: map[string]string{"Origin": "http://evil.example"}, status: 403},
		{name: "login by another site", method: "POST", path: "/open",
			header: map[string]string{"Origin": "http://evil.example"}, status: 403},
		{name: "login by a program", method: "POST", path: "/open", status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, tt.path, nil)
			if tt.token {
				r.Header.Set("Authorization", "Bearer "+benchToken)
			}
			if tt.cookie {
				r.AddCookie(access.SessionCookie(login.Token, login.Ends, false))
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("Who") != tt.who {
				t.Fatalf("%d by %q: %s", w.Code, w.Header().Get("Who"), w.Body)
			}
			if w.Code >= 400 {
				var p map[string]any
				if w.Header().Get("Content-Type") != "application/problem+json" ||
					json.Unmarshal(w.Body.Bytes(), &p) != nil || p["status"] != float64(tt.status) {
					t.Fatalf("no problem: %v %s", w.Header(), w.Body)
				}
			}
			if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Fatal("401 without a challenge")
			}
			csp := w.Header().Get("Content-Security-Policy")
			if !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") ||
				w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Fatalf("headers %v", w.Header())
			}
		})
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	type table map[access.Role]string
	all := []access.Action{
		access.SeeInventory, access.SeeHealth, access.WatchLive, access.Replay, access.Retrieve, access.ReadAudit,
		access.Debug, access.Metrics, access.NodeLink, access.NodeIngest,
	}
	want := table{
		access.Admin:        "inventory health live replay retrieve audit debug metrics",
		access.Officer:      "inventory health live replay",
		access.Investigator: "inventory live replay retrieve",
		access.Operator:     "inventory health live replay metrics",
		access.Auditor:      "inventory health audit",
		"":                  "",
		"root":              "",
	}
	for role, list := range want {
		var got []string
		for _, act := range all {
			if (access.Principal{Role: role, Kind: access.User}).May(act) {
				got = append(got, string(act))
			}
		}
		if strings.Join(got, " ") != list {
			t.Errorf("%s may %v, want %s", role, got, list)
		}
	}
	for kind, may := range map[caller.Kind]bool{caller.Edge: true, caller.Gateway: true, caller.Recorder: false, "": false} {
		node := access.Principal{Name: "n", Role: access.Admin, Kind: access.Node, Node: kind}
		for _, act := range all {
			if node.May(act) != (may && (act == access.NodeLink || act == access.NodeIngest)) {
				t.Errorf("a node of kind %q and %s", kind, act)
			}
		}
	}
}

func TestRetrievals(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	cfg := config()
	cfg.RetrievalTTL = 2 * time.Hour
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	a, err := access.New(cfg, access.Options{DataDir: dir, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	who := access.Principal{Name: "zhang", Role: access.Investigator, Unit: "u", Kind: access.User}
	from, to := now.Add(-72*time.Hour), now.Add(-71*time.Hour)
	r, err := a.Retrievals().Register(who, access.Retrieval{
		Reason: "theft", Document: "2026-17", Cameras: []string{"cam0", "cam1"}, From: from, To: to,
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	// it is still there after a restart
	a, err = access.New(cfg, access.Options{DataDir: dir, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got, err := a.Retrievals().Get(r.ID, now)
	if err != nil || got.Name != "zhang" || got.Unit != "u" || !got.Expires.Equal(now.Add(2*time.Hour)) {
		t.Fatalf("%+v, %v", got, err)
	}
	other := who
	other.Name = "li"
	token := who
	token.Kind = access.Token
	for _, tt := range []struct {
		name     string
		who      access.Principal
		camera   string
		from, to time.Time
		at       time.Time
		ok       bool
	}{
		{"all of it", who, "cam0", from, to, now, true},
		{"a part", who, "cam1", from.Add(time.Minute), to.Add(-time.Minute), now, true},
		{"another camera", who, "cam2", from, to, now, false},
		{"begins earlier", who, "cam0", from.Add(-1), to, now, false},
		{"ends later", who, "cam0", from, to.Add(1), now, false},
		{"another person", other, "cam0", from, to, now, false},
		{"a token of the same name", token, "cam0", from, to, now, false},
		{"expired", who, "cam0", from, to, now.Add(2 * time.Hour), false},
	} {
		if got.Covers(tt.who, tt.camera, tt.from, tt.to, tt.at) != tt.ok {
			t.Errorf("%s: want %v", tt.name, tt.ok)
		}
	}
	for _, id := range []string{"", "r-unknown"} {
		if _, err := a.Retrievals().Get(id, now); !errors.Is(err, access.ErrNoRetrieval) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := a.Retrievals().Get(r.ID, now.Add(3*time.Hour)); !errors.Is(err, access.ErrNoRetrieval) {
		t.Errorf("expired: %v", err)
	}
}

func TestStartRefusesBrokenFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, text, want string }{
		"users":       {"users.json", `{"version":1,"users":[{"name":"x","role":"king","password":"x"}]}`, "role"},
		"user's hash": {"users.json", `{"version":1,"users":[{"name":"x","role":"admin","password":"plain"}]}`, "Argon2id"},
		"version":     {"users.json", `{"version":2}`, "version 2"},
		"no JSON":     {"users.json", `x`, "users.json"},
		"sessions":    {"sessions.json", `{"ab":{}}`, "delete it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := access.New(config(), access.Options{DataDir: dir})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, yaml, want string }{
		{"good", `
tokens: [{name: bench, token: "0123456789abcdef", role: admin}]
nodes: [{id: edge-1, token: "fedcba9876543210"}]
users_file: /x
session_ttl: 8h
replay_window: 30m`, ""},
		{"no role", `tokens: [{name: a, token: "0123456789abcdef"}]`, `access.tokens[0].role: "": want one of admin, officer`},
		{"no scope", `tokens: [{name: a, token: "0123456789abcdef", role: officer}]`, "access.tokens[0].unit: is missing"},
		{"short", `tokens: [{name: a, token: "secret7", role: admin}]`, "access.tokens[0].token: is shorter than 8"},
		{"missing", `nodes: [{id: n}]`, "access.nodes[0].token: is missing"},
		{"shared", `
tokens: [{name: a, token: "0123456789abcdef", role: admin}]
nodes: [{id: n, token: "0123456789abcdef"}]`, "access.nodes[0].token: is the same as that of token a"},
		{"twice", `
nodes: [{id: n, token: "0123456789abcdef"}, {id: n, token: "0123456789abcdeg"}]`, `access.nodes[1].id: "n" is used twice`},
		{"bad name", `tokens: [{name: "a b", token: "0123456789abcdef", role: admin}]`, `access.tokens[0].name: "a b"`},
		{"kind", `nodes: [{id: n, kind: camera, token: "0123456789abcdef"}]`, `access.nodes[0].kind: "camera": want edge, gateway or recorder`},
		{"bad id", `nodes: [{id: Edge, token: "0123456789abcdef"}]`, `access.nodes[0].id: "Edge"`},
		{"short session", `session_ttl: 1s`, "access.session_ttl: 1s"},
		{"max below ttl", `{session_ttl: 2h, session_max: 1h}`, "access.session_max: 1h0m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var c access.Config
			if err := yaml.UnmarshalWithOptions([]byte(tt.yaml), &c, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			err := c.Validate()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "0123456789") || strings.Contains(err.Error(), "secret7") {
				t.Fatalf("%v holds a secret", err)
			}
		})
	}
}

// A flood of logins must neither pile up memory nor lose count.
func TestLoginFlood(t *testing.T) {
	t.Parallel()
	a := open(t, seed(t), config())
	var mu sync.Mutex
	count := map[string]int{}
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			_, err := a.Login(t.Context(), "admin", "guess", "10.0.0.9")
			mu.Lock()
			defer mu.Unlock()
			_, limited := access.IsLimit(err)
			switch {
			case limited:
				count["limited"]++
			case errors.Is(err, access.ErrLogin):
				count["wrong"]++
			default:
				count[err.Error()]++
			}
		})
	}
	wg.Wait()
	if count["wrong"] > 6 || count["wrong"]+count["limited"] != 60 {
		t.Fatalf("%v: want at most a few looked at, the rest limited", count)
	}
}

func TestRunSavesSessions(t *testing.T) {
	t.Parallel()
	dir := seed(t)
	a := open(t, dir, config())
	l, err := a.Login(t.Context(), "admin", adminPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(bearer(l.Token)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
