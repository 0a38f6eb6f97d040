package api

import (
	"net/http"
	"sync"
	"time"

	"skein/gateway/access"
)

// replayRow is how long a row about going back in time speaks for going back again.
const replayRow = 10 * time.Second

// instantReplay is how far back a wall's tile can go.
const instantReplay = time.Minute

// Replay returns the function that decides which cameras the caller of r may take back in time on a wall, at most for
// the replay window. Each time is a row of the audit log, for each shows other footage; without the row there is no
// replay. It may be called from any goroutine, also after the request has ended.
func (s *Server) Replay(r *http.Request) func(camera string) bool {
	p, ok := access.FromContext(r.Context())
	if !ok || s.o.Access.ReplayWindow() <= 0 {
		return func(string) bool { return false }
	}
	addr := access.RemoteIP(r)
	var mu sync.Mutex // guards seen
	seen := map[string]time.Time{}
	return func(camera string) bool {
		if !s.Still(p, access.Replay, camera) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		now := s.now()
		if last, ok := seen[camera]; ok && now.Sub(last) < replayRow {
			return true
		}
		e := access.Event{
			Action: access.ActReplay, Outcome: access.Done, Cameras: []string{camera}, From: now.Add(-instantReplay).UTC(),
			To: now.UTC(), Detail: "wall",
		}
		if _, err := s.o.Access.Audit().Append(e.By(p, addr)); err != nil {
			s.log.Error("audit row lost, footage not opened", "camera", camera, "actor", p.Name, "err", err)
			return false
		}
		seen[camera] = now
		return true
	}
}
