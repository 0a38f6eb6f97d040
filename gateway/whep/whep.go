// Package whep is the HTTP side of live viewing: WHEP resources (the reading counterpart of RFC 9725) and walls.
//
// It knows HTTP, SDP fragments and problem documents; the relay behind the Relay interface does the rest.
package whep

import (
	"context"
	"log/slog"
	"net/http"

	"skein/gateway/relay"
)

// Relay starts, changes and ends sessions. Its errors are *relay.Error where a client can do something about them.
type Relay interface {
	Answer(ctx context.Context, o relay.Offer) (relay.Session, error)
	Wall(ctx context.Context, o relay.WallOffer) (relay.Session, error)
	Candidate(ctx context.Context, p relay.Patch) (relay.PatchResult, error)
	End(ctx context.Context, id string, v relay.Viewer) error
}

// Handler returns the handler of /v1/whep/ and /v1/walls. The caller's middleware has authenticated the request; viewer
// tells as whom. logger may be nil.
func Handler(r Relay, viewer func(*http.Request) relay.Viewer, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	return mux
}
