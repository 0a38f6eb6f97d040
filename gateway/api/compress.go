package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// leastPacked is the length from which an answer is worth compressing, in bytes.
const leastPacked = 1 << 10

// packer compresses answers for clients that take gzip. It is for JSON that is made whole before it is sent.
type packer struct {
	writers sync.Pool // of *gzip.Writer
}

func newPacker() *packer {
	return &packer{writers: sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil { // the level is a constant of the package
			return gzip.NewWriter(nil)
		}
		return w
	}}}
}

// packed names the answers worth it: lists that grow with the district. None holds a secret beside what a caller sent.
func packed(path string) bool {
	switch path {
	case "/v1/cameras", "/v1/units", "/v1/health/cameras", "/v1/openapi.json":
		return true
	}
	return false
}

// wrap compresses what next answers. An entity tag of the answer (RFC 9110, 8.8.3) is compared with those of the
// request: who has the same already gets 304 and nothing else.
func (p *packer) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		pw := &packWriter{ResponseWriter: w, p: p, r: r, gzip: takesGzip(r)}
		next.ServeHTTP(pw, r)
	})
}

// takesGzip reads Accept-Encoding (RFC 9110, 12.5.3): gzip named and not refused by q=0.
func takesGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(part, ";")
			q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") && (q == "" || strings.Trim(q, "0.") != "") {
				return true
			}
		}
	}
	return false
}

// packWriter sends a successful answer that comes in one Write in as few bytes as it can; others as they are.
type packWriter struct {
	http.ResponseWriter
	p      *packer
	r      *http.Request
	gzip   bool
	status int
	sent   bool
}

// WriteHeader implements http.ResponseWriter. A success waits for its body.
func (w *packWriter) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	if status != http.StatusOK {
		w.sent = true
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *packWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.sent {
		return w.ResponseWriter.Write(b)
	}
	w.sent = true
	if tag := w.Header().Get("ETag"); tag != "" && matches(w.r.Header.Values("If-None-Match"), tag) {
		w.Header().Del("Content-Type")
		w.ResponseWriter.WriteHeader(http.StatusNotModified)
		return len(b), nil
	}
	if !w.gzip || len(b) < leastPacked {
		w.ResponseWriter.WriteHeader(w.status)
		return w.ResponseWriter.Write(b)
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.ResponseWriter.WriteHeader(w.status)
	if w.r.Method == http.MethodHead {
		return len(b), nil
	}
	var out bytes.Buffer
	gz, ok := w.p.writers.Get().(*gzip.Writer)
	if !ok {
		gz = gzip.NewWriter(nil)
	}
	defer w.p.writers.Put(gz)
	gz.Reset(&out)
	if _, err := gz.Write(b); err != nil {
		return 0, err
	}
	if err := gz.Close(); err != nil {
		return 0, err
	}
	if _, err := w.ResponseWriter.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Unwrap lets http.ResponseController reach the connection.
func (w *packWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// matches compares entity tags weakly (RFC 9110, 13.1.2).
func matches(lines []string, tag string) bool {
	opaque := strings.TrimPrefix(tag, "W/")
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			if part == "*" || strings.TrimPrefix(part, "W/") == opaque {
				return true
			}
		}
	}
	return false
}
