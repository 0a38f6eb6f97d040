package api

import (
	"io"
	"net/http"

	"skein/gateway/api/problem"
)

// statusWriter remembers the status that was sent, and how many bytes of a body.
type statusWriter struct {
	http.ResponseWriter
	status int
	sent   int64
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// ReadFrom keeps the way open by which the kernel sends a file.
func (w *statusWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// notFoundWriter answers a problem where the wrapped handler says 404.
type notFoundWriter struct {
	http.ResponseWriter
	r      *http.Request
	status int // of the problem
	detail string
	muted  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *notFoundWriter) WriteHeader(status int) {
	if status != http.StatusNotFound {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.muted = true
	if w.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="skein"`)
	}
	problem.Write(w.ResponseWriter, w.r, w.status, w.detail)
}

// Write implements http.ResponseWriter.
func (w *notFoundWriter) Write(b []byte) (int, error) {
	if w.muted {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *notFoundWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
