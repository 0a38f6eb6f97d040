package api

import (
	"bytes"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/gateway/access"
	"skein/gateway/api/problem"
)

// Times of a feed of changes.
const (
	changesTick  = 200 * time.Millisecond // how often it looks for changes
	changesCheck = time.Second            // how often it asks whether the caller may still see them
	changesBeat  = 2 * time.Second        // how often it says that it is alive
	changesWrite = 10 * time.Second       // how long a client may take to read one message
)

// How many feeds there may be at once, for one login and in all.
const (
	changesEach = 32
	changesAll  = 4096
)

// changeJSON is one message of the feed.
type changeJSON struct {
	Version string       `json:"version"`
	Now     time.Time    `json:"now"`
	Cameras []cameraJSON `json:"cameras,omitempty"`
	Reload  bool         `json:"reload,omitempty"`
}

// changesDoc describes GET /v1/changes.
func changesDoc() *huma.Operation {
	op := doc("changes", "Cameras whose state changes, as it happens, and the inventory", "since")
	op.Description = "Server-sent events. Each has the version from which the next call may go on, the gateway's clock, " +
		"and the cameras that changed, as in GET /v1/cameras. Figures such as bit rates are no change. " +
		"An event with reload set is the last one: read units and cameras again, then listen from their version."
	op.Parameters[0].Description = "version of GET /v1/cameras or of an event; without it from now on"
	op.Responses["200"] = &huma.Response{
		Description: "The events, until the caller has heard enough or may not see them any more",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
	}
	delete(op.Responses, "2XX")
	return op
}

// listeners counts the feeds that are open and ends them together.
type listeners struct {
	stop chan struct{}
	open sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	stopped bool
	all     int
	of      map[string]int // by Principal.Key
}

func newListeners() *listeners { return &listeners{stop: make(chan struct{}), of: map[string]int{}} }

// end ends all feeds, now and for good, and returns when none is left. A server's Shutdown would wait for the clients
// to leave.
func (l *listeners) end() {
	l.mu.Lock()
	if !l.stopped {
		l.stopped = true
		close(l.stop)
	}
	l.mu.Unlock()
	l.open.Wait()
}

var (
	errFeedsFull = errors.New("as many feeds of changes are open as may be")
	errFeedsOver = errors.New("the gateway stops")
)

// enter counts one more feed of the login, unless there are too many; the function returned counts it off.
func (l *listeners) enter(key string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		return nil, errFeedsOver
	case l.all >= changesAll || l.of[key] >= changesEach:
		return nil, errFeedsFull
	}
	l.all++
	l.of[key]++
	l.open.Add(1)
	return func() {
		defer l.open.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.of[key]--; l.of[key] == 0 {
			delete(l.of, key)
		}
	}, nil
}

// changes is GET /v1/changes: server-sent events (HTML Living Standard, section 9.2) with the cameras in the caller's
// scope whose state changed since the version the caller has, for as long as it listens. What the login may no longer
// see is not sent; once it may see something else the stream says "reload" and ends.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	p, _ := access.FromContext(r.Context())
	leave, err := s.listeners.enter(p.Key())
	switch {
	case errors.Is(err, errFeedsOver):
		problem.Write(w, r, http.StatusServiceUnavailable, err.Error())
		return
	case err != nil:
		w.Header().Set("Retry-After", "5")
		problem.Write(w, r, http.StatusTooManyRequests, err.Error())
		return
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would wait for more
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	l := &listener{s: s, p: p, at: s.firstMark(r), out: http.NewResponseController(w), w: w}
	l.run(r)
}

// firstMark is the version the caller has, or the present one.
func (s *Server) firstMark(r *http.Request) mark {
	v := r.Header.Get("Last-Event-ID") // of a browser's EventSource that comes back
	if v == "" {
		v = r.URL.Query().Get("since")
	}
	if v == "" {
		return s.feed.mark()
	}
	return parseMark(v)
}

// listener is one open feed.
type listener struct {
	s   *Server
	p   access.Principal
	at  mark
	out *http.ResponseController
	w   http.ResponseWriter
}

func (l *listener) run(r *http.Request) {
	tick := time.NewTicker(changesTick)
	defer tick.Stop()
	var said, asked time.Time
	for first := true; ; first = false {
		now, cameras, known := l.s.feed.since(l.at, l.p)
		if len(cameras) > 0 || time.Since(asked) >= changesCheck {
			asked = time.Now()
			p, ok := l.s.o.Access.Current(l.p)
			switch {
			case !ok || !p.May(access.SeeInventory):
				return
			case p.Unit != l.p.Unit || p.Role != l.p.Role:
				known = false
			}
		}
		var err error
		switch {
		case !known:
			_ = l.send(changeJSON{Version: now.String(), Reload: true}) // it ends either way
			return
		case len(cameras) > 0 || first:
			m := changeJSON{Version: now.String()}
			for _, c := range cameras {
				m.Cameras = append(m.Cameras, describe(c.camera, c.state))
			}
			said, err = time.Now(), l.send(m)
		case time.Since(said) >= changesBeat:
			said, err = time.Now(), l.write([]byte(":\n\n")) // a comment
		}
		if err != nil {
			return // the client is gone, or does not read
		}
		l.at = now
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-l.s.listeners.stop:
			return
		}
	}
}

func (l *listener) send(m changeJSON) error {
	m.Now = l.s.now().UTC()
	var b bytes.Buffer
	b.WriteString("id: " + m.Version + "\ndata: ")
	if err := marshal(&b, m); err != nil { // ends with a newline
		return err
	}
	b.WriteByte('\n')
	return l.write(b.Bytes())
}

// write sends b at once. A client that does not take it in time is given up: the next one begins where it was.
func (l *listener) write(b []byte) error {
	if err := l.out.SetWriteDeadline(time.Now().Add(changesWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	return l.out.Flush()
}
