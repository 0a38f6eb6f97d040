package recorder

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}

// retrySeconds is when a client that was turned away may come again.
const retrySeconds = 2

func unavailable(w http.ResponseWriter, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(retrySeconds))
	problem(w, http.StatusServiceUnavailable, detail)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v)
}

// authorized lets requests with a node's token through (RFC 6750 section 2.1).
func (r *Recorder) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		scheme, token, _ := strings.Cut(q.Header.Get("Authorization"), " ")
		ok := r.deps.Authorize != nil && strings.EqualFold(scheme, "Bearer")
		if !ok || !r.deps.Authorize(strings.TrimSpace(token)) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="skein"`)
			r.m.refused("unauthorized")
			problem(w, http.StatusUnauthorized, "a node's bearer token is needed")
			return
		}
		next.ServeHTTP(w, q)
	})
}
