package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxHurries   = 16  // at the same time on a node
	maxWaiting   = 256 // requests without an answer on a gateway
	hurryDefault = 5 * time.Second
	hurryLongest = 30 * time.Second
	hurryText    = 200 // characters of an error that are passed on
)

// ErrTooMany tells that too many requests of this kind are under way.
var ErrTooMany = errors.New("too many requests of this kind are under way")

// waiting is a request to a node whose answer is awaited.
type waiting struct {
	session *session
	done    chan string // capacity 1
}

// Hurry asks the node that has the camera to bring its footage up to until into the archive, and returns when that is
// done. It returns ctx's error if the node does not answer in time, and ErrUnknown or ErrNodeDown if none can be asked.
func (h *Hub) Hurry(ctx context.Context, camera string, until time.Time) error {
	s, id, done, err := h.await(camera)
	if err != nil {
		return fmt.Errorf("hurry %s: %w", camera, err)
	}
	defer h.forget(id)
	within := hurryDefault
	if t, ok := ctx.Deadline(); ok {
		within = time.Until(t)
	}
	// A write that is cancelled half-way would end the link: who asked may go away, the link stays.
	err = send(context.WithoutCancel(ctx), s.conn, Message{Type: TypeHurry, Hurry: &Hurry{
		ID: id, Camera: camera, Until: until.UTC(), WithinMS: within.Milliseconds(),
	}})
	if err != nil {
		return fmt.Errorf("hurry %s: %w", camera, err)
	}
	select {
	case text := <-done:
		if text != "" {
			return fmt.Errorf("hurry %s: node %s: %s", camera, s.node, text)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hurry %s: %w", camera, ctx.Err())
	}
}

// await registers a request to the camera's node.
func (h *Hub) await(camera string) (*session, uint64, <-chan string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.owner(camera, func(Camera) bool { return true })
	switch {
	case n == nil:
		return nil, 0, nil, ErrUnknown
	case n.session == nil:
		return nil, 0, nil, ErrNodeDown
	case len(h.waiting) >= maxWaiting:
		return nil, 0, nil, ErrTooMany
	}
	h.request++
	w := waiting{session: n.session, done: make(chan string, 1)}
	h.waiting[h.request] = w
	return n.session, h.request, w.done, nil
}

func (h *Hub) forget(id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, id)
}

// hurried takes a node's answer, if it is that of a node that was asked.
func (h *Hub) hurried(s *session, m *Hurried) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.waiting[m.ID]
	if !ok || w.session != s {
		return
	}
	delete(h.waiting, m.ID)
	w.done <- m.Error[:min(len(m.Error), hurryText)]
}

// hurries are the requests a node works on.
type hurries struct {
	client *Client
	places chan struct{}
	run    sync.WaitGroup
}

func newHurries(c *Client) *hurries {
	return &hurries{client: c, places: make(chan struct{}, maxHurries)}
}

// take works on a request in the background and answers it. Called by one goroutine.
func (h *hurries) take(ctx context.Context, conn *websocket.Conn, m *Hurry) {
	select {
	case h.places <- struct{}{}:
	default:
		h.run.Go(func() { h.answer(ctx, conn, m, ErrTooMany) })
		return
	}
	h.run.Go(func() {
		defer func() { <-h.places }()
		h.answer(ctx, conn, m, h.do(ctx, m))
	})
}

func (h *hurries) do(ctx context.Context, m *Hurry) error {
	if h.client.o.Hurry == nil {
		return errors.New("this node ships nothing")
	}
	within := time.Duration(m.WithinMS) * time.Millisecond
	if within <= 0 || within > hurryLongest {
		within = hurryLongest
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return h.client.o.Hurry(ctx, m.Camera, m.Until)
}

func (h *hurries) answer(ctx context.Context, conn *websocket.Conn, m *Hurry, err error) {
	out := &Hurried{ID: m.ID}
	if err != nil {
		out.Error = err.Error()
	}
	if err := send(ctx, conn, Message{Type: TypeHurried, Hurried: out}); err != nil {
		h.client.log.Debug("answer not sent", "camera", m.Camera, "err", err)
	}
}

// wait returns when all are done; the context given to take must have ended.
func (h *hurries) wait() { h.run.Wait() }
