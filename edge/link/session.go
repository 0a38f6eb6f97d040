package link

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/coder/websocket"

	"skein/edge/media"
	"skein/edge/status"
)

// helloTimeout is how long a node may take to say hello.
const helloTimeout = 10 * time.Second

// session is one node's link while it is up, on the gateway's side.
type session struct {
	hub    *Hub
	node   string
	conn   *websocket.Conn
	kick   chan struct{} // capacity 1: send the desired list now
	cancel context.CancelFunc
}

func (s *session) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run serves the link until it ends, and returns why.
func (s *session) run(ctx context.Context, remote string) error {
	hello, err := s.greet(ctx)
	if err != nil {
		return err
	}
	s.hub.attach(s, hello, remote)
	defer s.hub.detach(s)
	err = send(ctx, s.conn, Message{
		Type: TypeWelcome, Welcome: &Welcome{Version: Version, Now: time.Now().UTC(), RTSP: s.hub.o.RTSP},
	})
	if err != nil {
		return err
	}
	s.hub.watch(s.node, nil)

	ctx, cancel := context.WithCancel(ctx)
	results := make(chan error, 3)
	go func() { results <- s.write(ctx) }()
	go func() { results <- s.hub.live.run(ctx, s.conn) }()
	go func() { results <- s.read(ctx) }()
	select {
	case err = <-results:
		cancel()
	case <-s.hub.stop:
		// tell the node first; cancelling a read closes the connection without a word
		err = context.Canceled
		closeWith(s.conn, err)
		cancel()
		<-results
	}
	<-results
	<-results
	return err
}

// greet reads the hello and refuses what does not fit.
func (s *session) greet(ctx context.Context) (*Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	stop := s.cancelOnStop(ctx, cancel)
	defer stop()
	m, err := receive(ctx, s.conn)
	switch {
	case err != nil:
		return nil, err
	case m.Type != TypeHello:
		return nil, fmt.Errorf("%w: first message is %q, want hello", errMessage, m.Type)
	case m.Hello.Version != Version:
		return nil, fmt.Errorf("%w: the node speaks version %d, we speak %d", errRefused, m.Hello.Version, Version)
	case m.Hello.Node != s.node:
		return nil, fmt.Errorf("%w: the token is node %s's, the hello is from %s", errRefused, s.node, m.Hello.Node)
	}
	return m.Hello, nil
}

// cancelOnStop cancels when the hub stops before stop is called.
func (s *session) cancelOnStop(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.hub.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// write sends the desired list when it changed and every now and then.
func (s *session) write(ctx context.Context) error {
	t := time.NewTicker(s.hub.o.Resend)
	defer t.Stop()
	for {
		ps := s.hub.desiredOf(s.node)
		if err := send(ctx, s.conn, Message{Type: TypeDesired, Desired: &Desired{Publish: ps}}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.kick:
		case <-t.C:
		}
	}
}

func (s *session) read(ctx context.Context) error {
	for {
		m, err := receive(ctx, s.conn)
		if err != nil {
			return err
		}
		s.hub.metrics.received.Inc()
		switch m.Type {
		case TypeOffer:
			s.hub.offer(s, m.Offer.Cameras)
			s.hub.watch(s.node, nil)
		case TypeStatus:
			s.hub.report(s, m.Status)
		case TypeFailed:
			s.hub.watch(s.node, m.Failed)
		case TypeHurried:
			s.hub.hurried(s, m.Hurried)
		case TypeHello:
			return fmt.Errorf("%w: second hello", errMessage)
		}
	}
}

var errSuperseded = errors.New("the node dialled up again")

// attach makes s the node's link. A former one, which may be half-open, ends.
func (h *Hub) attach(s *session, hello *Hello, remote string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.node(s.node)
	if n.session != nil {
		h.log.Warn("link replaced", "node", s.node, "former", n.remote, "remote", remote, "err", errSuperseded)
		n.session.cancel()
	} else {
		h.metrics.up.Inc()
	}
	n.session, n.since, n.remote, n.software = s, time.Now(), remote, hello.Software
	n.clock = 0
	if !hello.Now.IsZero() {
		n.clock = time.Until(hello.Now)
	}
	n.report = nil
	h.setCameras(n, hello.Cameras)
	h.log.Info("link up", "node", s.node, "remote", remote, "software", hello.Software, "cameras", h.speaksFor(n))
}

func (h *Hub) detach(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, w := range h.waiting {
		if w.session == s {
			w.done <- ErrNodeDown.Error()
			delete(h.waiting, id)
		}
	}
	if n := h.nodes[s.node]; n != nil && n.session == s {
		n.session, n.since, n.report = nil, time.Now(), nil
		h.metrics.up.Dec()
	}
}

// speaksFor returns for how many cameras the node speaks. The caller holds mu.
func (h *Hub) speaksFor(n *node) int {
	count := 0
	for id := range n.cameras {
		if h.allowed(n.id, id) {
			count++
		}
	}
	return count
}

// offer replaces the cameras of the node.
func (h *Hub) offer(s *session, cs []Camera) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nodes[s.node]; n != nil && n.session == s {
		h.setCameras(n, cs)
	}
}

// setCameras notes what the node offers, and keeps the states of those; owner asks whether it may, for the inventory
// can change while the link stands. The caller holds mu.
func (h *Hub) setCameras(n *node, cs []Camera) {
	n.cameras = make(map[string]Camera, len(cs))
	var foreign []string
	for _, c := range cs {
		if !h.allowed(n.id, c.ID) {
			foreign = append(foreign, c.ID)
			c.Name = "" // nobody sees it; the id is enough for the day the inventory gives it to the node
		}
		n.cameras[c.ID] = c
	}
	if len(foreign) > 0 {
		h.log.Warn("node offers cameras that the inventory does not give to it: ignored", "node", n.id,
			"cameras", len(foreign), "such_as", foreign[:min(len(foreign), 3)])
	}
	maps.DeleteFunc(n.states, func(id string, _ status.Camera) bool {
		_, ok := n.cameras[id]
		return !ok
	})
}

// report takes a status report over.
func (h *Hub) report(s *session, r *Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[s.node]
	if n == nil || n.session != s {
		return
	}
	if r.Full && r.First {
		n.report = map[string]status.Camera{}
	}
	for _, c := range r.Cameras {
		if _, ok := n.cameras[c.ID]; !ok || !h.allowed(n.id, c.ID) {
			continue
		}
		maps.DeleteFunc(c.Profiles, func(p string, _ status.Profile) bool { return !n.offers(c.ID, media.Profile(p)) })
		n.states[c.ID] = c
		if n.report != nil {
			n.report[c.ID] = c
		}
	}
	if r.Full && r.Last && n.report != nil {
		n.states, n.report = n.report, nil
	}
}

func (h *Hub) desiredOf(id string) []Publish {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.node(id)
	if n.desired == nil {
		return []Publish{}
	}
	return n.desired // replaced as a whole, never changed
}
