package access_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skein/gateway/access"
)

const duty = "https://duty.example"

// TestOrigins calls a gateway that knows one page elsewhere as browsers do on behalf of pages.
func TestOrigins(t *testing.T) {
	t.Parallel()
	c := config()
	c.Origins = []string{duty, "http://10.0.0.7:8000"}
	a := open(t, seed(t), c)
	login, err := a.Login(t.Context(), "admin", adminPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	h := a.Guard(func(r *http.Request) bool { return r.URL.Path == "/open" || r.URL.Path == "/v1/login" },
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	preflight := map[string]string{"Access-Control-Request-Method": "PATCH",
		"Access-Control-Request-Headers": "authorization,content-type,if-match"}
	tests := []struct {
		name, method, path, origin string
		token, cookie              bool
		header                     map[string]string
		status                     int
		shared                     bool
	}{
		{name: "preflight without a credential", method: "OPTIONS", path: "/v1/whep/a", origin: duty, header: preflight,
			status: 204, shared: true},
		{name: "preflight of the other", method: "OPTIONS", path: "/v1/whep/a/s", origin: "http://10.0.0.7:8000",
			header: preflight, status: 204, shared: true},
		{name: "preflight of a stranger", method: "OPTIONS", path: "/v1/whep/a", origin: "https://evil.example",
			header: preflight, status: 401},
		{name: "preflight of a longer name", method: "OPTIONS", path: "/v1/whep/a", origin: duty + ".evil.example",
			header: preflight, status: 401},
		{name: "preflight over http", method: "OPTIONS", path: "/v1/whep/a", origin: "http://duty.example",
			header: preflight, status: 401},
		{name: "preflight of a sandboxed page", method: "OPTIONS", path: "/v1/whep/a", origin: "null", header: preflight,
			status: 401},
		{name: "preflight outside the API", method: "OPTIONS", path: "/debug/pprof/", origin: duty, header: preflight,
			status: 401},
		{name: "OPTIONS that is no preflight", method: "OPTIONS", path: "/v1/whep/a", origin: duty, status: 401, shared: true},
		{name: "token", method: "POST", path: "/v1/whep/a", origin: duty, token: true,
			header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200, shared: true},
		{name: "token of a stranger's page: its script may not read the answer", method: "POST", path: "/v1/whep/a",
			origin: "https://evil.example", token: true, status: 200},
		{name: "no credential: the page may read why", method: "GET", path: "/v1/x", origin: duty, status: 401, shared: true},
		{name: "cookie reads: not shared", method: "GET", path: "/v1/x", origin: duty, cookie: true, status: 200},
		{name: "cookie writes: refused, not shared", method: "POST", path: "/v1/x", origin: duty, cookie: true, status: 403},
		{name: "cookie writes from a sister site", method: "POST", path: "/v1/x", origin: duty, cookie: true,
			header: map[string]string{"Sec-Fetch-Site": "same-site"}, status: 403},
		{name: "login for a page elsewhere", method: "POST", path: "/v1/login", origin: duty, status: 403, shared: true},
		{name: "public, outside the API", method: "GET", path: "/open", origin: duty, status: 200},
		{name: "no origin", method: "GET", path: "/v1/x", token: true, status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.token {
				r.Header.Set("Authorization", "Bearer "+benchToken)
			}
			if tt.cookie {
				r.AddCookie(access.SessionCookie(login.Token, login.Ends, false))
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			before := served
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || (served > before) != (tt.status == 200) {
				t.Fatalf("%d, served %v: %s", w.Code, served > before, w.Body)
			}
			got := w.Header()
			if want := map[bool]string{true: tt.origin}[tt.shared]; got.Get("Access-Control-Allow-Origin") != want {
				t.Errorf("shared with %q, want %q", got.Get("Access-Control-Allow-Origin"), want)
			}
			if got.Values("Access-Control-Allow-Credentials") != nil {
				t.Error("credentials mode is allowed")
			}
			if strings.HasPrefix(tt.path, "/v1/") != (got.Get("Vary") == "Origin") {
				t.Errorf("Vary %q", got.Values("Vary"))
			}
			if tt.status == 204 {
				for h, want := range map[string][]string{
					"Access-Control-Allow-Methods": {"POST", "PATCH", "DELETE"},
					"Access-Control-Allow-Headers": {"Authorization", "Content-Type", "If-Match"},
				} {
					checkList(t, h, got.Get(h), want)
				}
			} else if tt.shared {
				checkList(t, "exposed", got.Get("Access-Control-Expose-Headers"), []string{"Location", "ETag", "Link", "Skein-Warning"})
			}
		})
	}
}

func checkList(t *testing.T, what, list string, want []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(", "+list+",", ", "+w+",") {
			t.Errorf("%s %q lacks %s", what, list, w)
		}
	}
}

// TestNoOriginsByDefault: without the key nothing is shared, and nothing says that something could be.
func TestNoOriginsByDefault(t *testing.T) {
	t.Parallel()
	a := open(t, seed(t), config())
	h := a.Guard(func(*http.Request) bool { return false }, http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodOptions, "/v1/whep/a", nil)
	r.Header.Set("Origin", duty)
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("Vary") != "" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
}

func TestConfiguredOrigins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ origin, want string }{
		{origin: "https://duty.example"},
		{origin: "http://10.0.0.7:8000"},
		{origin: "https://[fd00::7]:8443"},
		{origin: "*", want: "no origin for all"},
		{origin: "https://*.example", want: "no origin for all"},
		{origin: "null", want: "no origin for all"},
		{origin: "", want: "want scheme and host"},
		{origin: "duty.example", want: "want scheme and host"},
		{origin: "duty.example:8080", want: "want scheme and host"},
		{origin: "file:///page.html", want: "want scheme and host"},
		{origin: "https://", want: "want scheme and host"},
		{origin: "https://duty.example/", want: "browsers send it: https://duty.example"},
		{origin: "https://duty.example/wall?x#y", want: "browsers send it: https://duty.example"},
		{origin: "https://duty.example:443", want: "browsers send it: https://duty.example"},
		{origin: "http://duty.example:080", want: "080 is no port"},
		{origin: "https://duty.example:70000", want: "70000 is no port"},
		{origin: "HTTPS://Duty.Example", want: "browsers send it: https://duty.example"},
		{origin: "https://[fd00:0::7]", want: "browsers send it: https://[fd00::7]"},
		{origin: "https://值班.example", want: "xn--"},
		{origin: "https://me:secret@duty.example", want: "holds an @"},
	} {
		c := config()
		c.Origins = []string{tt.origin}
		err := c.Validate()
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %q", tt.origin, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("a password is shown: %v", err)
		}
	}
	c := config()
	c.Origins = []string{duty, duty}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "access.origins[1]") {
		t.Errorf("the same origin twice: %v", err)
	}
}
