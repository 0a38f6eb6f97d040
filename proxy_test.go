package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skein/config"
	"skein/config/secret"
	whois "skein/gateway/access"
	"skein/internal/caller"
)

// Two recorders of one archive: footage is there while one of them is not.
func TestFootageComesFromTheRecorderThatStands(t *testing.T) {
	t.Parallel()
	var asked []string
	stands := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")+" "+string(body))
		_, _ = io.WriteString(w, "footage")
	}))
	defer stands.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var cfg config.Config
	cfg.Recorder.URLs, cfg.Recorder.Token = []string{gone.URL, stands.URL + "/archive"}, secret.New("node-token")
	proxy, err := archiveProxy(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(proxy)
	defer gateway.Close()
	for _, q := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/clips/gate.mp4?from=1&to=2", ""}, {http.MethodPost, "/v1/locks", "{}"},
	} {
		req, err := http.NewRequest(q.method, gateway.URL+q.path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(got) != "footage" {
			t.Errorf("%s %s: %s %q %v", q.method, q.path, resp.Status, got, err)
		}
	}
	want := "GET /archive/v1/clips/gate.mp4?from=1&to=2 Bearer node-token |POST /archive/v1/locks Bearer node-token {}"
	if got := strings.Join(asked, "|"); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	stands.Close()
	resp, err := http.Get(gateway.URL + "/v1/coverage")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("both gone: %s", resp.Status)
	}
}

// The recorder is told for whom the gateway asks, and nobody can put another name there.
func TestTheRecorderIsToldWhoAsks(t *testing.T) {
	t.Parallel()
	var header string
	rec := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header.Get(caller.Header) }))
	defer rec.Close()
	var cfg config.Config
	cfg.Recorder.URLs, cfg.Recorder.Token = []string{rec.URL}, secret.New("node-token")
	proxy, err := archiveProxy(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/clips/gate.mp4?from=1&to=2&retrieval=r-1", nil)
	r.RemoteAddr = "10.0.0.7:4000"
	r.Header.Set(caller.Header, caller.Person{Name: "chief"}.Encode())
	proxy.ServeHTTP(httptest.NewRecorder(), r)
	if header != "" {
		t.Errorf("a caller's own header goes through: %q", header)
	}
	li := whois.Principal{Name: "李", Kind: whois.User, Role: whois.Investigator, Unit: "yf"}
	proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(whois.WithPrincipal(r.Context(), li)))
	want := caller.Person{
		Name: "李", Kind: "user", Role: "investigator", Unit: "yf", Address: "10.0.0.7", Retrieval: "r-1",
	}
	if got, err := caller.Parse(header); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
