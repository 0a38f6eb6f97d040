package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"
)

const (
	// hurryWindow is how young the end of a clip must be for its footage to be hurried into the archive.
	hurryWindow = 2 * time.Minute
	// hurryTimeout is how long a clip waits for that.
	hurryTimeout = 5 * time.Second
)

// archive serves footage. A clip that ends about now would miss what still lies in the edge's open segment, so that is
// brought in first.
func (g *Gateway) archive() http.Handler {
	if g.deps.Archive == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if camera, until, ok := youngClip(r, time.Now()); ok {
			ctx, cancel := context.WithTimeout(r.Context(), hurryTimeout)
			g.hurry(ctx, camera, until)
			cancel()
		}
		g.deps.Archive.ServeHTTP(w, r)
	})
}

// hurry brings a camera's newest footage into the archive, from this process or over the link of the node that has it.
// What does not come in time is not in the clip, and the clip says so.
func (g *Gateway) hurry(ctx context.Context, camera string, until time.Time) {
	if g.deps.Local != nil && g.deps.Local.Has(camera) {
		if g.deps.Hurry != nil {
			g.deps.Hurry(ctx, camera, until)
		}
		return
	}
	if err := g.hub.Hurry(ctx, camera, until); err != nil {
		g.log.Info("newest footage not hurried", "camera", camera, "error", err)
	}
}

// youngClip tells whether r asks for a clip that ends about now, and until when its footage is needed.
func youngClip(r *http.Request, now time.Time) (camera string, until time.Time, ok bool) {
	file, found := strings.CutPrefix(r.URL.Path, "/v1/clips/")
	camera, kind, _ := strings.Cut(file, ".")
	if !found || (kind != "mp4" && kind != "m3u8" && kind != "json") {
		return "", time.Time{}, false
	}
	until, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("to"))
	if err != nil || until.Before(now.Add(-hurryWindow)) {
		return "", time.Time{}, false
	}
	if until.After(now) {
		until = now
	}
	return camera, until, true
}
