package link

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
	"skein/edge/stream"
)

// PathPrefix begins the RTSP path of every publication asked for: /live/<camera>/<profile>.
const PathPrefix = "/live/"

// ParsePath returns which stream an RTSP path names.
func ParsePath(path string) (Key, bool) {
	rest, ok := strings.CutPrefix("/"+strings.TrimPrefix(path, "/"), PathPrefix)
	if !ok {
		return Key{}, false
	}
	camera, profile, ok := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	k := Key{camera, media.Profile(profile)}
	return k, ok && checkKey(k.Camera, k.Profile) == nil
}

func (k Key) path() string { return PathPrefix + k.String() }

// StreamsOptions configure Streams.
type StreamsOptions struct {
	// Linger is how long a stream is still published after its last viewer left. Default 10 s.
	Linger time.Duration
	// Timeout is how long Open waits for a publication. Default 15 s.
	Timeout time.Duration
	// Retry is the first pause before a failed publication is asked for again; it doubles up to 16 times. Default 500
	// ms.
	Retry time.Duration
	// Unknown, if not nil, is also wrapped by the error for cameras and profiles that no node offers.
	Unknown error
	// Stream are the options of streams made by Accept.
	Stream     stream.Options
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
}

// Streams opens live streams from the nodes of a hub: published once however many look, and only while somebody does.
// Its methods may be called from any goroutine.
type Streams struct {
	hub     *Hub
	o       StreamsOptions
	log     *slog.Logger
	metrics *streamMetrics

	mu      sync.Mutex // guards the fields below and those of every want; the hub's mu may be taken while it is held
	wants   map[Key]*want
	stopped bool
}

// want is one stream that is wanted from a node. The Streams' mu guards it.
type want struct {
	key     Key
	node    string
	token   string // of the publication asked for last
	armed   bool   // token was not used yet
	stream  *stream.Stream
	ready   chan struct{} // closed when stream is first set
	epochs  media.Epochs
	gen     int  // counts publications
	feeding bool // publication gen is running, as far as we know
	lost    bool // the node says it is not
	told    bool // the node has said so of this token
	viewers int
	reason  string      // why the last publication failed
	fails   int         // publications failed in a row
	timer   *time.Timer // the next thing to happen by itself: linger end or renewal
	linger  *time.Timer
}

// NewStreams returns the streams of the hub's nodes. It must be called before the hub serves its first link, and once
// per hub. Close must be called at the end.
func NewStreams(h *Hub, o StreamsOptions) *Streams {
	if o.Linger <= 0 {
		o.Linger = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Streams{hub: h, o: o, log: o.Logger, metrics: newStreamMetrics(o.Registerer), wants: map[Key]*want{}}
	h.watch = s.notice
	return s
}

// Open returns the stream of a profile of a camera, asking its node to publish it if nobody looks yet, and waiting
// until the publication arrives. release tells that this viewer is done; it may be called twice. The stream outlives
// interruptions of the publication: it goes on with a new epoch.
func (s *Streams) Open(ctx context.Context, camera string, p media.Profile) (*stream.Stream, func(), error) {
	k := Key{camera, p}
	w, err := s.join(k)
	if err != nil {
		return nil, nil, err
	}
	release := sync.OnceFunc(func() { s.leave(w) })
	timeout := time.NewTimer(s.o.Timeout)
	defer timeout.Stop()
	select {
	case <-w.ready:
		s.mu.Lock()
		st := w.stream
		s.mu.Unlock()
		if st == nil { // closed while waiting
			release()
			return nil, nil, fmt.Errorf("open %s: %w", k, ErrStopped)
		}
		return st, release, nil
	case <-ctx.Done():
		release()
		return nil, nil, fmt.Errorf("open %s: %w", k, ctx.Err())
	case <-timeout.C:
		s.mu.Lock()
		reason := w.reason
		s.mu.Unlock()
		release()
		if reason != "" {
			return nil, nil, fmt.Errorf("open %s: %w: %s", k, ErrTimeout, reason)
		}
		return nil, nil, fmt.Errorf("open %s: %w", k, ErrTimeout)
	}
}

// join counts one more viewer of k, and asks for the stream if it is the first.
func (s *Streams) join(k Key) (*want, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, fmt.Errorf("open %s: %w", k, ErrStopped)
	}
	if w := s.wants[k]; w != nil {
		w.viewers++
		if w.linger != nil {
			w.linger.Stop()
			w.linger = nil
		}
		return w, nil
	}
	node, known, up := s.hub.NodeOf(k)
	switch {
	case !known && s.o.Unknown != nil:
		return nil, fmt.Errorf("open %s: %w: %w", k, ErrUnknown, s.o.Unknown)
	case !known:
		return nil, fmt.Errorf("open %s: %w", k, ErrUnknown)
	case !up:
		return nil, fmt.Errorf("open %s: %w: %s", k, ErrNodeDown, node)
	}
	w := &want{key: k, node: node, ready: make(chan struct{}), viewers: 1}
	s.wants[k] = w
	s.metrics.wanted.Inc()
	s.metrics.active.Inc()
	s.ask(w)
	return w, nil
}

// ask makes a new token for w and tells its node. If nothing arrives in time, it asks again. mu is held.
func (s *Streams) ask(w *want) {
	w.token, w.armed, w.told = strings.ToLower(rand.Text()), true, false
	s.push(w.node)
	s.later(w, max(s.o.Timeout/2, s.pause(w)))
}

// later asks again for w after d, unless a publication arrived by then. mu is held.
func (s *Streams) later(w *want, d time.Duration) {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.wants[w.key] != w || w.feeding && !w.lost {
			return
		}
		old := w.node
		if node, known, _ := s.hub.NodeOf(w.key); known {
			w.node = node
		}
		if old != w.node {
			s.push(old)
		}
		w.fails++
		s.metrics.renewed.Inc()
		s.ask(w)
	})
}

// pause is how long to wait before asking again.
func (s *Streams) pause(w *want) time.Duration { return s.o.Retry << min(w.fails, 4) }

// push tells the node everything that is wanted from it. mu is held.
func (s *Streams) push(node string) {
	var ps []Publish
	for _, w := range s.wants {
		if w.node != node {
			continue
		}
		ps = append(ps, Publish{Camera: w.key.Camera, Profile: w.key.Profile, Path: w.key.path(), Token: w.token})
	}
	s.hub.SetDesired(node, ps)
}

// leave counts one viewer less. The last one starts the linger time.
func (s *Streams) leave(w *want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.viewers--
	if w.viewers > 0 || s.wants[w.key] != w {
		return
	}
	w.linger = time.AfterFunc(s.o.Linger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.viewers == 0 && s.wants[w.key] == w {
			s.drop(w, nil)
			s.push(w.node)
		}
	})
}

// drop forgets w and ends its stream. mu is held.
func (s *Streams) drop(w *want, err error) {
	delete(s.wants, w.key)
	s.metrics.active.Dec()
	for _, t := range []*time.Timer{w.timer, w.linger} {
		if t != nil {
			t.Stop()
		}
	}
	w.armed = false
	if w.stream != nil {
		w.stream.Close(err)
	} else {
		close(w.ready)
	}
}

// notice hears from the hub: a publication failed (f), or the node's link came up or its cameras changed (nil).
func (s *Streams) notice(node string, f *Failed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		s.push(node)
		return
	}
	w := s.wants[Key{f.Camera, f.Profile}]
	if w == nil || w.node != node || w.token != f.Token || w.told {
		return // about an earlier publication, or said before
	}
	w.reason, w.lost, w.told = f.Reason, true, true
	s.log.Warn("node cannot publish", "node", node, "stream", w.key, "reason", f.Reason)
	s.later(w, s.pause(w))
}

// Password returns the password that a publication to the RTSP path must come with, if one is waited for from that
// user, which is the node's id. It is good for one Accept.
func (s *Streams) Password(path, user string) (string, bool) {
	k, ok := ParsePath(path)
	if !ok {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wants[k]
	if w == nil || w.node != user || !w.armed {
		return "", false
	}
	return w.token, true
}

// Authorize reports whether a publication to the path may come with these credentials; it does not use the token up.
func (s *Streams) Authorize(path, user, password string) bool {
	want, ok := s.Password(path, user)
	return ok && subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

// Arrival is a publication taken in.
type Arrival struct {
	Stream *stream.Stream // to publish into
	// Epochs numbers the epochs of all publications of this stream.
	Epochs *media.Epochs
	// Done must be called when the publication ended, after the last Publish.
	Done func(error)
}

// Accept takes the publication that was authorized for the path in. The token cannot be used again.
func (s *Streams) Accept(path, user string) (Arrival, error) {
	k, ok := ParsePath(path)
	if !ok {
		return Arrival{}, fmt.Errorf("publish to %q: %w", path, ErrNotWanted)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wants[k]
	if w == nil || w.node != user || !w.armed {
		return Arrival{}, fmt.Errorf("publish %s: %w", k, ErrNotWanted)
	}
	st := w.stream
	if st == nil || w.feeding {
		st = stream.New(s.o.Stream)
	}
	return Arrival{Stream: st, Epochs: &w.epochs, Done: s.feed(w, st)}, nil
}

// Arrived takes in a publication of a camera's profile that is already flowing into st. gone must be called when it
// ended, after the last Publish. Streams closes st when nobody wants it any more.
func (s *Streams) Arrived(camera string, p media.Profile, st *stream.Stream) (gone func(error), err error) {
	k := Key{camera, p}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wants[k]
	if w == nil {
		return nil, fmt.Errorf("publish %s: %w", k, ErrNotWanted)
	}
	return s.feed(w, st), nil
}

// feed makes st the stream of w. A stream it replaces is closed, as its producer may still be running. mu is held.
func (s *Streams) feed(w *want, st *stream.Stream) (done func(error)) {
	if w.timer != nil {
		w.timer.Stop()
	}
	first := w.stream == nil
	if !first && w.stream != st {
		w.stream.Close(ErrReplaced)
	}
	w.stream, w.armed, w.feeding, w.lost, w.reason = st, false, true, false, ""
	w.gen++
	gen, since := w.gen, time.Now()
	if first {
		close(w.ready)
	}
	s.metrics.arrived.Inc()
	s.log.Info("publication arrived", "node", w.node, "stream", w.key, "viewers", w.viewers)
	return func(err error) { s.ended(w, gen, since, err) }
}

// ended hears that publication gen of w is over.
func (s *Streams) ended(w *want, gen int, since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wants[w.key] != w || w.gen != gen || !w.feeding {
		return
	}
	w.feeding = false
	if time.Since(since) > time.Minute {
		w.fails = 0
	}
	if err != nil {
		w.reason = err.Error()
	}
	s.log.Warn("publication ended while wanted", "node", w.node, "stream", w.key, "viewers", w.viewers, "err", err)
	s.later(w, s.pause(w))
}

// Active returns the streams wanted now and how many look at each; 0 while lingering.
func (s *Streams) Active() map[Key]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[Key]int, len(s.wants))
	for k, w := range s.wants {
		out[k] = w.viewers
	}
	return out
}

// Close ends all streams. Open fails from then on. It may be called twice.
func (s *Streams) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	nodes := map[string]bool{}
	for _, w := range s.wants {
		nodes[w.node] = true
		s.drop(w, ErrStopped)
	}
	for n := range nodes {
		s.push(n)
	}
	return nil
}
