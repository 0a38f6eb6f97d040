// Package reply writes the archive's HTTP answers: JSON documents, and RFC 9457 problems. It keeps nothing.
package reply

import (
	"encoding/json"
	"net/http"
)

// JSON answers with v, not to be cached.
func JSON(w http.ResponseWriter, status int, v any) { write(w, "application/json", status, v) }

// Problem answers in the form of RFC 9457, not to be cached.
func Problem(w http.ResponseWriter, status int, detail string) {
	write(w, "application/problem+json", status, struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}

func write(w http.ResponseWriter, kind string, status int, v any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no answer
}
