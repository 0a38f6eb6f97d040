// Package whep is the HTTP side of live video: WHEP resources (the reading counterpart of RFC 9725), walls, and WHIP
// (RFC 9725) for phones and body cameras that publish.
//
// It knows HTTP, SDP fragments and problem documents; the relay behind the Relay interface does the rest. A session is
// a resource: POST makes it, PATCH carries trickle ICE and ICE restarts, DELETE ends it. Errors are problem documents
// (RFC 9457) whose type ends in a relay.Code.
package whep

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"skein/edge/media"
	"skein/gateway/api/problem"
	"skein/gateway/relay"
)

// Relay starts, changes and ends sessions. Its errors are *relay.Error where a client can do something about them.
type Relay interface {
	Answer(ctx context.Context, o relay.Offer) (relay.Session, error)
	Wall(ctx context.Context, o relay.WallOffer) (relay.Session, error)
	Publish(ctx context.Context, o relay.PublishOffer) (relay.Session, error)
	Candidate(ctx context.Context, p relay.Patch) (relay.PatchResult, error)
	Report(ctx context.Context, id string, v relay.Viewer, slots []relay.SlotReport) error
	End(ctx context.Context, id string, v relay.Viewer) error
}

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"

	maxOfferBytes  = 512 << 10 // of a wall; the relay takes less for one picture
	maxReportBytes = 16 << 10
	maxReports     = 64 // slots

	pathWHEP  = "/v1/whep/"
	pathWHIP  = "/v1/whip/"
	pathWalls = "/v1/walls"
)

// Paths lists the patterns under which Handler is to be mounted; Publish's is /v1/whip/.
func Paths() []string { return []string{pathWHEP, pathWalls, pathWalls + "/"} }

type handler struct {
	relay  Relay
	viewer func(*http.Request) relay.Viewer
	log    *slog.Logger
}

// Handler returns the handler of /v1/whep/ and /v1/walls. The caller's middleware has authenticated the request; viewer
// tells as whom. logger may be nil.
func Handler(r Relay, viewer func(*http.Request) relay.Viewer, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{relay: r, viewer: viewer, log: logger}
	mux := http.NewServeMux()
	mux.HandleFunc(pathWHEP+"{camera}", h.endpoint(h.postWHEP))
	mux.HandleFunc(pathWalls, h.endpoint(h.postWall))
	mux.HandleFunc(pathWHEP+"{camera}/{session}", h.resource)
	mux.HandleFunc("POST "+pathWHEP+"{camera}/{session}/stats", h.report)
	mux.HandleFunc(pathWalls+"/{session}", h.resource)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, http.StatusNotFound, "there is nothing here")
	})
	return mux
}

// Publish returns the handler of /v1/whip/. The caller's middleware has authenticated the request; publisher tells as
// whom, with what it may publish as the viewer's Allow. logger may be nil.
func Publish(r Relay, publisher func(*http.Request) relay.Viewer, logger *slog.Logger) http.Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{relay: r, viewer: publisher, log: logger}
	mux := http.NewServeMux()
	mux.HandleFunc(pathWHIP+"{camera}", h.endpoint(h.postWHIP))
	mux.HandleFunc(pathWHIP+"{camera}/{session}", h.resource)
	return mux
}

// endpoint serves a URL to which offers are posted.
func (h *handler) endpoint(post func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	const allow = "OPTIONS, POST"
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.Header().Set("Accept-Post", typeSDP)
			w.WriteHeader(http.StatusNoContent)
		case http.MethodPost:
			if body, ok := h.body(w, r, typeSDP, maxOfferBytes); ok {
				post(w, r, body)
			}
		default:
			w.Header().Set("Allow", allow)
			problem.Write(w, r, http.StatusMethodNotAllowed, "post an SDP offer here")
		}
	}
}

// resource serves the URL of a session.
func (h *handler) resource(w http.ResponseWriter, r *http.Request) {
	const allow = "DELETE, OPTIONS, PATCH"
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Allow", allow)
		w.Header().Set("Accept-Patch", typeFragment)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		h.patch(w, r)
	case http.MethodDelete:
		if err := h.relay.End(r.Context(), r.PathValue("session"), h.viewer(r)); err != nil {
			h.fail(w, r, err)
			return
		}
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("Allow", allow)
		problem.Write(w, r, http.StatusMethodNotAllowed, "a session takes PATCH and DELETE")
	}
}

// body reads a request's body of the wanted type, or answers with a problem.
func (h *handler) body(w http.ResponseWriter, r *http.Request, want string, limit int64) (string, bool) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != want {
		if r.Method == http.MethodPatch {
			w.Header().Set("Accept-Patch", want)
		} else {
			w.Header().Set("Accept-Post", want)
		}
		problem.Write(w, r, http.StatusUnsupportedMediaType, "the body must be "+want)
		return "", false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		problem.Write(w, r, http.StatusRequestEntityTooLarge, "the body is too large or broke off")
		return "", false
	}
	return string(b), true
}

func (h *handler) postWHEP(w http.ResponseWriter, r *http.Request, sdp string) {
	p, ok := profile(w, r)
	if !ok {
		return
	}
	o := relay.Offer{SDP: sdp, Camera: r.PathValue("camera"), Profile: p, Viewer: h.viewer(r)}
	s, err := h.relay.Answer(r.Context(), o)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.created(w, pathWHEP+o.Camera+"/"+s.ID, s)
}

// profile reads the profile of the query, main if there is none, or answers with a problem.
func profile(w http.ResponseWriter, r *http.Request) (media.Profile, bool) {
	p := media.Main
	if q := r.URL.Query().Get("profile"); q != "" {
		p = media.Profile(q)
	}
	if !p.Valid() {
		problem.Write(w, r, http.StatusBadRequest, `profile is "main" or "sub"`)
		return "", false
	}
	return p, true
}

func (h *handler) postWHIP(w http.ResponseWriter, r *http.Request, sdp string) {
	p, ok := profile(w, r)
	if !ok {
		return
	}
	o := relay.PublishOffer{SDP: sdp, Camera: r.PathValue("camera"), Profile: p, Viewer: h.viewer(r)}
	s, err := h.relay.Publish(r.Context(), o)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.created(w, pathWHIP+o.Camera+"/"+s.ID, s)
}

func (h *handler) postWall(w http.ResponseWriter, r *http.Request, sdp string) {
	s, err := h.relay.Wall(r.Context(), relay.WallOffer{SDP: sdp, Viewer: h.viewer(r)})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.created(w, pathWalls+"/"+s.ID, s)
}

// report takes how the pictures fared at the viewer: {"slots":[…]} as on a wall's data channel.
func (h *handler) report(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r, "application/json", maxReportBytes)
	if !ok {
		return
	}
	var in struct {
		Slots []relay.SlotReport `json:"slots"`
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil || len(in.Slots) == 0 || len(in.Slots) > maxReports {
		problem.Write(w, r, http.StatusBadRequest, `want {"slots":[{"slot":0,"decoded":…}]}`)
		return
	}
	if err := h.relay.Report(r.Context(), r.PathValue("session"), h.viewer(r), in.Slots); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// created answers an offer (RFC 9725 section 4.2).
func (h *handler) created(w http.ResponseWriter, location string, s relay.Session) {
	head := w.Header()
	head.Set("Content-Type", typeSDP)
	head.Set("Cache-Control", "no-store")
	head.Set("Location", location)
	head.Set("ETag", `"`+s.ETag+`"`)
	head.Set("Accept-Patch", typeFragment)
	for _, w := range []relay.Code{s.Warning, s.Sound} {
		if w != "" {
			head.Add("Skein-Warning", string(w))
		}
	}
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, s.SDP); err != nil {
		h.log.Debug("answer not written", "error", err)
	}
}

// patch takes a trickle ICE fragment (RFC 9725 section 4.3).
func (h *handler) patch(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r, typeFragment, maxFragmentBytes)
	if !ok {
		return
	}
	match := r.Header.Get("If-Match")
	if match == "" {
		problem.Write(w, r, http.StatusPreconditionRequired,
			"If-Match must name the ICE session's entity tag, or * to restart ICE")
		return
	}
	f, err := parseFragment(body)
	if err != nil {
		h.fail(w, r, &relay.Error{Code: relay.CodeBadFragment, Detail: err.Error()})
		return
	}
	res, err := h.relay.Candidate(r.Context(), relay.Patch{
		Session: r.PathValue("session"), ETag: strings.Trim(strings.TrimPrefix(match, "W/"), `"`), Viewer: h.viewer(r),
		Fragment: f,
	})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if !res.Restarted {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("ETag", `"`+res.ETag+`"`)
	w.WriteHeader(http.StatusOK)
	if _, err := io.WriteString(w, formatFragment(res.Fragment)); err != nil {
		h.log.Debug("fragment not written", "error", err)
	}
}
