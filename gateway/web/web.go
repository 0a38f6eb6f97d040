// Package web carries the console: the TypeScript source beside this file and, embedded, what `npm run build` made
// of it.
//
// Handler serves the build and nothing else. All of it is public by design (the login page must load before there is a
// credential) and holds no data: everything shown comes from /v1, which asks for one.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// dist always holds .keep, so the package compiles before the console was ever built.
//
//go:embed all:dist
var dist embed.FS

const (
	cacheForever = "public, max-age=31536000, immutable" // names under assets/ carry a hash of their content
	cacheAsk     = "no-cache"                            // everything else is asked for again, cheaply, by ETag
)

// contentPolicy allows the console's own files only. Styles may be inline because the component library writes its
// style sheets at run time; scripts may not. hls.js starts its worker from a blob.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
	"worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const notBuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Skein</title>
<body><h1>console not built: run make build</h1>
<p>This binary was compiled without the console. The API under /v1 works.</p>`

// Handler serves the embedded console for GET and HEAD: / is the page, assets/ is cached for ever, an unknown path is a
// plain 404. Without a build it answers / with 503 and says what to do. It is safe for concurrent use.
func Handler() http.Handler {
	root, err := fs.Sub(dist, "dist")
	if err != nil { // "dist" is a valid path; kept so that a broken embed shows as "not built"
		return newHandler(embed.FS{})
	}
	return newHandler(root)
}

// file is one embedded file, ready to be sent.
type file struct {
	body, gzip []byte // gzip is nil if the build made no smaller twin
	etag       string
	mime       string
}

type handler struct {
	files map[string]file // by URL path without the leading slash; read-only after newHandler
}

func newHandler(root fs.FS) *handler {
	h := &handler{files: map[string]file{}}
	// An unreadable tree leaves files empty, and that is answered with "not built".
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(name, ".gz") {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := file{body: body, etag: hex.EncodeToString(sum[:8]), mime: contentType(name)}
		if packed, err := fs.ReadFile(root, name+".gz"); err == nil {
			f.gzip = packed
		}
		h.files[name] = f
		return nil
	})
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	f, ok := h.files[name]
	switch {
	case ok:
		serve(w, r, name, f)
	case name == "index.html":
		head.Set("Content-Type", "text/html; charset=utf-8")
		head.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(notBuilt))
	default:
		http.NotFound(w, r)
	}
}

func serve(w http.ResponseWriter, r *http.Request, name string, f file) {
	head := w.Header()
	head.Set("Content-Type", f.mime)
	head.Set("Cache-Control", cacheAsk)
	if strings.HasPrefix(name, "assets/") {
		head.Set("Cache-Control", cacheForever)
	}
	if name == "index.html" {
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Frame-Options", "DENY")
		head.Set("Permissions-Policy", "camera=(self), microphone=(self), geolocation=(), fullscreen=(self)")
	}
	body, etag := f.body, f.etag
	if f.gzip != nil {
		head.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			head.Set("Content-Encoding", "gzip")
			body, etag = f.gzip, etag+"-gz"
		}
	}
	head.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as this needs: gzip named and not refused by q=0.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		q = strings.TrimPrefix(strings.TrimSpace(q), "q=")
		return strings.Trim(q, "0.") != "" || q == ""
	}
	return false
}

// contentType names the type by extension, for the few kinds a build has; the host's MIME table is asked last because
// it differs between machines.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json", ".map":
		return "application/json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
