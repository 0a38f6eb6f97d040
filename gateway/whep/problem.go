package whep

import (
	"context"
	"errors"
	"net/http"

	"skein/gateway/api/problem"
	"skein/gateway/relay"
)

// problemBase precedes the code in a problem's type.
const problemBase = "urn:skein:problem:"

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
	case relay.CodeBusy:
		return http.StatusConflict, "Published already"
	case relay.CodeNotHere:
		return http.StatusNotImplemented, "Not here"
	case relay.CodeNotOffered:
		return http.StatusNotAcceptable, "Codec not offered"
	case relay.CodeUnsupported:
		return http.StatusNotAcceptable, "Codec cannot be sent"
	case relay.CodeStale:
		return http.StatusPreconditionFailed, "ICE session has changed"
	case relay.CodeTooMany:
		return http.StatusServiceUnavailable, "Too many viewers"
	case relay.CodeTooFast:
		return http.StatusTooManyRequests, "Too fast"
	case relay.CodeNoSignal, relay.CodeCameraWithdrawn:
		return http.StatusServiceUnavailable, "No signal"
	case relay.CodeStopped:
		return http.StatusServiceUnavailable, "Not serving"
	default:
		return http.StatusInternalServerError, "Internal error"
	}
}

// retrySeconds is what clients are told to wait on 503 and 429.
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
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retrySeconds)
	}
	problem.WriteProblem(w, r, problem.Problem{
		Type: problemBase + string(e.Code), Title: title, Status: code, Detail: e.Detail, Instance: r.URL.EscapedPath(),
	})
}
