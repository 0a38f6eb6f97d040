// Package problem writes errors as RFC 9457 problem details (application/problem+json).
//
// It is a leaf. Every error the gateway answers over HTTP has this one shape.
package problem

import (
	"encoding/json"
	"net/http"
)

// ContentType is the media type of a problem (RFC 9457 section 6.1).
const ContentType = "application/problem+json"

// Problem is the body of an error response (RFC 9457 section 3.1).
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// New returns a problem of the generic type "about:blank", whose title is the status's own text.
func New(status int, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// Error returns the detail, or the title if there is none.
func (p Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// GetStatus returns the HTTP status.
func (p Problem) GetStatus() int { return p.Status }

// Write answers the request with a problem. The instance is the request's path, without its query, which may hold
// names of cases. To a HEAD request only the header is sent.
func Write(w http.ResponseWriter, r *http.Request, status int, detail string) {
	p := New(status, detail)
	p.Instance = r.URL.EscapedPath()
	WriteProblem(w, r, p)
}

// WriteProblem answers the request with p as it is.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	h.Del("ETag")
	h.Del("Last-Modified")
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	b, err := json.Marshal(p)
	if err != nil {
		return // strings and a number always marshal
	}
	_, _ = w.Write(append(b, '\n')) // the client is gone: nobody is left to tell
}
