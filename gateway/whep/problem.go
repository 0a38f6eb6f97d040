package whep

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"skein/gateway/relay"
)

// problemBase precedes the code in a problem's type.
const problemBase = "https://skein.invalid/problems/"

// problem is a problem document (RFC 9457).
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// status maps the relay's codes to HTTP.
func status(c relay.Code) (int, string) {
	switch c {
	case relay.CodeBadOffer:
		return http.StatusBadRequest, "The offer cannot be used"
	case relay.CodeBadFragment:
		return http.StatusBadRequest, "The fragment cannot be used"
	case relay.CodeUnknownCamera:
		return http.StatusNotFound, "Unknown camera"
	case relay.CodeUnknownSession:
		return http.StatusNotFound, "Unknown session"
	case relay.CodeForbidden:
		return http.StatusForbidden, "Not permitted"
	case relay.CodeNotOffered:
		return http.StatusNotAcceptable, "Codec not offered"
	case relay.CodeUnsupported:
		return http.StatusNotAcceptable, "Codec cannot be sent"
	case relay.CodeStale:
		return http.StatusPreconditionFailed, "ICE session has changed"
	case relay.CodeTooMany:
		return http.StatusServiceUnavailable, "Too many viewers"
	case relay.CodeNoSignal, relay.CodeCameraWithdrawn:
		return http.StatusServiceUnavailable, "No signal"
	case relay.CodeStopped:
		return http.StatusServiceUnavailable, "Not serving"
	default:
		return http.StatusInternalServerError, "Internal error"
	}
}

// retrySeconds is what clients are told to wait on 503.
const retrySeconds = "2"

// fail answers with the problem behind err.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *relay.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e = &relay.Error{Code: relay.CodeStopped, Detail: "the request was given up"}
	default:
		e = &relay.Error{Code: relay.CodeInternal, Detail: "the gateway could not answer", Err: err}
	}
	code, title := status(e.Code)
	if code == http.StatusInternalServerError {
		h.log.Error("live request failed", "path", r.URL.Path, "error", err)
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retrySeconds)
	}
	h.write(w, problem{Type: problemBase + string(e.Code), Title: title, Status: code, Detail: e.Detail, Instance: r.URL.Path})
}

// refuse answers with a problem of HTTP itself.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, code int, detail string) {
	h.write(w, problem{
		Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: detail, Instance: r.URL.Path,
	})
}

func (h *handler) write(w http.ResponseWriter, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		h.log.Debug("problem not written", "error", err)
	}
}
