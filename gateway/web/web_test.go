package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func built() fstest.MapFS {
	return fstest.MapFS{
		".keep":                   {},
		"index.html":              {Data: []byte("<!doctype html><title>Skein</title>")},
		"favicon.svg":             {Data: []byte("<svg/>")},
		"assets/app-1a2b.js":      {Data: []byte("console.log(1)")},
		"assets/app-1a2b.js.gz":   {Data: []byte("packed")},
		"assets/style-3c4d.css":   {Data: []byte("body{}")},
		"assets/odd-5e6f.strange": {Data: []byte("?")},
	}
}

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestServesBuild(t *testing.T) {
	t.Parallel()
	h := newHandler(built())
	const script = "text/javascript; charset=utf-8"
	for _, c := range []struct {
		name, path, accept string
		status             int
		mime, cache, body  string
	}{
		{"page", "/", "", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html><title>Skein</title>"},
		{"page by name", "/index.html", "", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"asset", "/assets/app-1a2b.js", "", 200, script, cacheForever, "console.log(1)"},
		{"asset packed", "/assets/app-1a2b.js", "br, gzip;q=0.8", 200, script, cacheForever, "packed"},
		{"gzip refused", "/assets/app-1a2b.js", "gzip;q=0", 200, script, cacheForever, "console.log(1)"},
		{"style", "/assets/style-3c4d.css", "gzip", 200, "text/css; charset=utf-8", cacheForever, "body{}"},
		{"icon", "/favicon.svg", "", 200, "image/svg+xml", "no-cache", "<svg/>"},
		{"unknown type", "/assets/odd-5e6f.strange", "", 200, "application/octet-stream", cacheForever, "?"},
		{"unknown asset", "/assets/gone.js", "", 404, "text/plain; charset=utf-8", "", "404"},
		{"unknown path", "/wall", "", 404, "text/plain; charset=utf-8", "", "404"},
		{"placeholder hidden", "/.keep", "", 404, "text/plain; charset=utf-8", "", "404"},
		{"climbing out", "/assets/../../web.go", "", 404, "text/plain; charset=utf-8", "", "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := get(t, h, c.path, "Accept-Encoding", c.accept)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.mime || w.Header().Get("Cache-Control") != c.cache {
				t.Errorf("%s: got %d %q %q, want %d %q %q", c.path, w.Code, w.Header().Get("Content-Type"),
					w.Header().Get("Cache-Control"), c.status, c.mime, c.cache)
			}
			if !strings.HasPrefix(w.Body.String(), c.body) {
				t.Errorf("%s: body %q, want %q", c.path, w.Body, c.body)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Error("nosniff is missing")
			}
		})
	}
}

func TestPagePolicy(t *testing.T) {
	t.Parallel()
	policy := get(t, newHandler(built()), "/").Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
}

func TestNotModified(t *testing.T) {
	t.Parallel()
	h := newHandler(built())
	plain := get(t, h, "/assets/app-1a2b.js").Header().Get("ETag")
	packed := get(t, h, "/assets/app-1a2b.js", "Accept-Encoding", "gzip").Header().Get("ETag")
	if plain == "" || plain == packed {
		t.Fatalf("ETags %q and %q: want two that differ", plain, packed)
	}
	if w := get(t, h, "/assets/app-1a2b.js", "If-None-Match", plain); w.Code != http.StatusNotModified {
		t.Errorf("got %d, want 304", w.Code)
	}
}

func TestOnlyReads(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newHandler(built()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("got %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestNotBuilt(t *testing.T) {
	t.Parallel()
	w := get(t, newHandler(fstest.MapFS{".keep": {}}), "/")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "console not built: run make build") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

// TestEmbedded looks at the real embed: either nothing was built, or the page runs no inline script and every file it
// names is there.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	h := Handler()
	page, err := os.ReadFile("dist/index.html")
	if err != nil {
		if w := get(t, h, "/"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("nothing is built, yet / answers %d", w.Code)
		}
		return
	}
	for tag := range strings.SplitSeq(string(page), "<script") {
		if i := strings.Index(tag, "</script"); i > 0 && !strings.HasSuffix(tag[:i], ">") {
			t.Errorf("inline script in the page: %q", tag[:i])
		}
	}
	for part := range strings.SplitSeq(string(page), `"`) {
		if !strings.HasPrefix(part, "/assets/") {
			continue
		}
		if w := get(t, h, part); w.Code != http.StatusOK {
			t.Errorf("%s: got %d", part, w.Code)
		}
	}
}

// mostFirstLoad is what the page and the wall may weigh on their way to a browser that has nothing of them yet, in bytes.
const mostFirstLoad = 200_000

// TestFirstLoadIsSmall adds up what a browser loads before the wall is there: the page, and every script and style that
// they name, compressed as they are sent.
func TestFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	walls, err := fs.Glob(dist, "dist/assets/wall-*.js")
	if err != nil || len(walls) != 1 {
		t.Skipf("the console is not built: %v, %v", walls, err)
	}
	names := regexp.MustCompile(`(?:"/assets/|from"\./|import"\./)([\w.-]+\.(?:js|css))"`)
	sizes := map[string]int{}
	var load func(name string)
	load = func(name string) {
		if _, known := sizes[name]; known {
			return
		}
		body, err := fs.ReadFile(dist, name)
		if err != nil {
			t.Fatal(err)
		}
		sent := body
		if packed, err := fs.ReadFile(dist, name+".gz"); err == nil {
			sent = packed
		}
		sizes[name] = len(sent)
		for _, m := range names.FindAllSubmatch(body, -1) {
			load("dist/assets/" + string(m[1]))
		}
	}
	load("dist/index.html")
	load(walls[0])
	total := 0
	for _, n := range sizes {
		total += n
	}
	t.Logf("%d bytes: %v", total, sizes)
	if total > mostFirstLoad || len(sizes) < 5 {
		t.Errorf("%d bytes in %d files, want at most %d", total, len(sizes), mostFirstLoad)
	}
}
