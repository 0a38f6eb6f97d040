// Package footage reads clips of the archive back into access units, so that recorded pictures can be shown, and
// recorded sound heard, as live ones are.
//
// It asks for clips as any client does, through the archive's handler, in this process or behind a proxy.
package footage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"skein/edge/media"
	"skein/gateway/relay"
)

// maxClip bounds a clip held in memory, in bytes.
const maxClip = 64 << 20

// Archive reads from an archive's handler, which takes GET /v1/clips/{camera}.mp4?from&to&sound=original. The caller
// has checked that the footage may be seen.
type Archive struct{ Handler http.Handler }

var _ relay.Archive = Archive{}

// Units implements relay.Archive.
func (a Archive) Units(ctx context.Context, camera string, from, to time.Time) ([]*media.AccessUnit, error) {
	q := url.Values{
		"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}, "sound": {"original"},
	}
	target := "/v1/clips/" + url.PathEscape(camera) + ".mp4?" + q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read footage of %s: %w", camera, err)
	}
	w := &answer{header: http.Header{}}
	a.Handler.ServeHTTP(w, r)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case w.status == http.StatusNotFound:
		return nil, nil // nothing is recorded of that time
	case w.status != http.StatusOK:
		return nil, fmt.Errorf("read footage of %s: the archive answers %d", camera, w.status)
	case w.tooLarge:
		return nil, fmt.Errorf("read footage of %s: a clip of more than %d bytes", camera, maxClip)
	}
	starts, err := time.Parse(time.RFC3339Nano, w.header.Get("Skein-Clip-From"))
	if err != nil {
		return nil, fmt.Errorf("read footage of %s: the archive does not tell when the clip begins", camera)
	}
	units, err := Parse(w.body.Bytes(), starts)
	if err != nil {
		return nil, fmt.Errorf("read footage of %s: %w", camera, err)
	}
	return units, nil
}

// answer is a response kept in memory.
type answer struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	tooLarge bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

var errTooLarge = errors.New("the clip is too large")

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > maxClip {
		a.tooLarge = true
		return 0, errTooLarge
	}
	return a.body.Write(b)
}
