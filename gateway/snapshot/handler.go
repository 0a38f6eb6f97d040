package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"skein/edge/media"
	"skein/gateway/api/problem"
)

// AgeHeader tells how old a picture is, in milliseconds since it reached the gateway.
const AgeHeader = "Skein-Age-Ms"

// TimeHeader tells when a picture was captured, RFC 3339, by the clock of the archive. Thumbnails have it too.
const TimeHeader = "Skein-Frame-Time"

// Handler serves GET …/{camera}.jpg?profile=main|sub; the camera is the last element of the path. The caller's
// middleware has checked that it may be seen. unknown is what Streams returns for a camera or profile it does not
// have. logger may be nil.
func Handler(s *Snapshots, unknown error, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		camera, ok := strings.CutSuffix(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], ".jpg")
		if !ok || camera == "" {
			problem.Write(w, r, http.StatusNotFound, "want /v1/snapshots/{camera}.jpg")
			return
		}
		p := media.Main
		if q := r.URL.Query().Get("profile"); q != "" {
			p = media.Profile(q)
		}
		if !p.Valid() {
			problem.Write(w, r, http.StatusBadRequest, `profile is "main" or "sub"`)
			return
		}
		pic, err := s.Get(r.Context(), camera, p)
		if err != nil {
			refuse(w, r, err, unknown, logger)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "image/jpeg")
		h.Set("Content-Length", strconv.Itoa(len(pic.JPEG)))
		h.Set("Cache-Control", "no-store")
		h.Set("Last-Modified", pic.Taken.Format(http.TimeFormat))
		h.Set(TimeHeader, pic.Taken.Format(time.RFC3339Nano))
		h.Set(AgeHeader, strconv.FormatInt(max(time.Since(pic.Arrived).Milliseconds(), 0), 10))
		if _, err := w.Write(pic.JPEG); err != nil {
			logger.Debug("snapshot not written", "camera", camera, "error", err)
		}
	})
}

func refuse(w http.ResponseWriter, r *http.Request, err, unknown error, logger *slog.Logger) {
	switch {
	case errors.Is(err, ErrNoDecoder):
		problem.Write(w, r, http.StatusNotImplemented, ErrNoDecoder.Error())
	case unknown != nil && errors.Is(err, unknown):
		problem.Write(w, r, http.StatusNotFound, "there is no such stream of this camera")
	case errors.Is(err, ErrUnsupported):
		problem.Write(w, r, http.StatusNotAcceptable, ErrUnsupported.Error())
	case errors.Is(err, ErrDecode):
		logger.Warn("snapshot failed", "path", r.URL.Path, "error", err)
		problem.Write(w, r, http.StatusBadGateway, ErrDecode.Error())
	case errors.Is(err, context.Canceled):
		problem.Write(w, r, http.StatusServiceUnavailable, "the request was given up")
	default:
		w.Header().Set("Retry-After", "2")
		logger.Info("no snapshot", "path", r.URL.Path, "error", err)
		problem.Write(w, r, http.StatusServiceUnavailable, ErrNoPicture.Error())
	}
}
