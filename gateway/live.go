package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"skein/gateway/access"
	"skein/gateway/relay"
	"skein/gateway/snapshot"
)

// viewer tells the relay who asks, and what that principal may see.
func (g *Gateway) viewer(r *http.Request) relay.Viewer {
	p, ok := access.FromContext(r.Context())
	if !ok {
		return relay.Viewer{}
	}
	return relay.Viewer{
		Name: p.Name, Key: p.Key(), Allow: g.api.Watch(r), Replay: g.api.Replay(r),
		Acting: func(ctx context.Context) context.Context { return access.WithPrincipal(ctx, p) },
	}
}

// snapshots serves the cameras' last pictures.
func (g *Gateway) snapshots() http.Handler {
	s := snapshot.New(snapshot.Options{Streams: g, Decoder: snapshot.FindFFmpeg()})
	return snapshot.Handler(s, relay.ErrUnknownCamera, g.log)
}

// liveSessions is GET /v1/live/sessions: every viewer of a camera the caller is responsible for, and how well the
// pictures arrive, then the streams being relayed. What a viewer watches elsewhere is not told.
func (g *Gateway) liveSessions(w http.ResponseWriter, r *http.Request) {
	p, _ := access.FromContext(r.Context())
	out := struct {
		Now      time.Time            `json:"now"`
		Sessions []relay.SessionStats `json:"sessions"`
		Streams  []relay.StreamStats  `json:"streams"`
	}{Now: time.Now().UTC(), Sessions: []relay.SessionStats{}, Streams: []relay.StreamStats{}}
	for _, s := range g.relay.Streams() {
		if g.api.May(p, access.Metrics, s.Camera) {
			out.Streams = append(out.Streams, s)
		}
	}
	for _, s := range g.relay.Sessions() {
		var slots []relay.SlotStats
		for _, sl := range s.Slots {
			if sl.Camera != "" && g.api.May(p, access.Metrics, sl.Camera) {
				slots = append(slots, sl)
			}
		}
		if len(slots) > 0 || p.Everywhere() {
			s.Slots = slots
			out.Sessions = append(out.Sessions, s)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "the sessions cannot be written", http.StatusInternalServerError) // plain structs always marshal
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client is gone: nobody is left to tell
}
