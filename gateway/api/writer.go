package api

import (
	"net/http"

	"skein/gateway/api/problem"
)

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
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
	return w.ResponseWriter.Write(b)
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
