package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDefaultDeny walks every route of the API description and those outside it, without a credential and with a wrong
// one: all but the probes, the login and the console's own files answer 401.
func TestDefaultDeny(t *testing.T) {
	beside(t, 1, 5*time.Second)
	n := newNode(t, "all")
	n.configure(t, oneUnit+access)
	n.start(t)
	_, body, err := n.get("/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(body, &spec); err != nil || len(spec.Paths) < 15 {
		t.Fatalf("%d paths, %v", len(spec.Paths), err)
	}
	open := []string{"GET /healthz", "GET /readyz", "POST /v1/login"}
	var routes []string
	for path, methods := range spec.Paths {
		for m := range methods {
			routes = append(routes, strings.ToUpper(m)+" "+path)
		}
	}
	for _, r := range open {
		if !slices.Contains(routes, r) {
			t.Errorf("%s is not described", r)
		}
	}
	routes = append(routes,
		"POST /v1/whep/cam0", "OPTIONS /v1/whep/cam0", "PATCH /v1/whep/cam0/1", "DELETE /v1/whep/cam0/1",
		"POST /v1/walls", "DELETE /v1/walls/1", "GET /v1/clips/cam0.mp4", "GET /v1/clips/cam0.m3u8",
		"GET /v1/clips/cam0/hls/1-1-1-a/init.mp4", "HEAD /v1/clips/cam0.mp4", "GET /v1/coverage", "GET /v1/link",
		"PUT /v1/ingest/segments/cam0/1", "PUT /v1/ingest/gaps/cam0/1", "GET /metrics", "GET /debug/pprof/", "GET /debug/pprof/heap",
		"GET /debug/pprof/cmdline", "GET /debug/vars", "GET /v1", "GET /v1/", "GET /v1/nothing", "POST /v1/exports",
		"GET /v1/storage", "GET //v1/cameras", "GET /v1/../v1/cameras", "GET /V1/cameras", "POST /", "DELETE /healthz",
		"GET /v1/me", "POST /v1/logout", "GET /v1/openapi.json", "GET /v1/login")
	for _, r := range routes {
		if slices.Contains(open, r) {
			continue
		}
		method, path, _ := strings.Cut(r, " ")
		path = regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "x")
		for name, set := range map[string]func(http.Header){
			"nothing": func(http.Header) {},
			"a wrong token": func(h http.Header) {
				h.Set("Authorization", "Bearer "+strings.Repeat("x", len(testToken)))
			},
			"an empty token":  func(h http.Header) { h.Set("Authorization", "Bearer ") },
			"a wrong cookie":  func(h http.Header) { h.Set("Cookie", "skein_session=abc") },
			"a token as user": func(h http.Header) { h.Set("Authorization", "Basic YmVuY2g6YmVuY2g=") },
		} {
			if code, _ := n.ask(t, method, path, set); code != http.StatusUnauthorized {
				t.Errorf("%s with %s: %d, want 401", r, name, code)
			}
		}
	}
	t.Logf("%d routes are closed", len(routes)-len(open))
	for path, want := range map[string]string{
		"/metrics": "skein_spool_bytes", "/debug/pprof/": "goroutine", "/v1/me": `"bench"`, "/v1/storage": "{",
	} {
		if _, body, err := n.get(path); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("GET %s as admin: %v, want %q in it", path, err, want)
		}
	}
	for _, r := range []string{"/healthz", "/readyz", "/", "/index.html"} {
		if code, _ := n.ask(t, http.MethodGet, r, func(http.Header) {}); code != http.StatusOK && code != 301 {
			t.Errorf("GET %s: %d, want it open", r, code)
		}
	}
	_, page := n.ask(t, http.MethodGet, "/", func(http.Header) {})
	assets := regexp.MustCompile(`(?:src|href)="\.?/?(assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(assets) == 0 {
		t.Errorf("the login page names no assets: %s", page)
	}
	for _, a := range assets {
		if code, _ := n.ask(t, http.MethodGet, "/"+a[1], func(http.Header) {}); code != http.StatusOK {
			t.Errorf("GET /%s: %d, want 200: the login page needs it", a[1], code)
		}
	}
}

// ask sends one request without following redirects.
func (n *node) ask(t *testing.T, method, path string, set func(http.Header)) (code int, body string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+n.http+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	set(req.Header)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}
