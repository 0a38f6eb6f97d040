package link

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"skein/edge/media"
	"skein/edge/status"
)

// HubOptions configure the gateway's end.
type HubOptions struct {
	// Node tells from which node an authenticated request comes; false: it comes from none, and is refused.
	Node func(*http.Request) (node string, ok bool)
	// Allow tells whether a node may offer a camera; nil: any may offer any. What it may not offer is ignored. It is asked
	// whenever somebody wants the camera, with a lock held: it must be quick and not call the hub.
	Allow func(node, camera string) bool
	// RTSP is the address told to nodes to publish to; see Welcome.RTSP.
	RTSP string
	// Silent is how long a link may be down before its cameras are shown as edge_silent. Default 10 s.
	Silent time.Duration
	// Resend is how often the desired publications are sent again. Default 5 s.
	Resend time.Duration
	// Ping is how often a node is pinged, Pong how long it may take to answer. Defaults 5 s and 10 s.
	Ping, Pong time.Duration
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
}

// Hub is the gateway's end of all links: the handler of GET /v1/link. It knows the nodes, their cameras and states.
type Hub struct {
	o       HubOptions
	log     *slog.Logger
	live    liveness
	metrics *hubMetrics
	watch   func(node string, f *Failed) // a publication failed, or (nil) the link came up; set by NewStreams

	serving sync.WaitGroup
	stop    chan struct{} // closed by Run: end all links

	mu      sync.Mutex // guards the fields below and those of every node; never held while sending
	nodes   map[string]*node
	stopped bool
	waiting map[uint64]waiting // for answers to Hurry, by request
	request uint64             // number of the last one
}

// node is what the hub knows of one node. The hub's mu guards it.
type node struct {
	id       string
	session  *session // nil while the link is down
	since    time.Time
	software string
	remote   string
	clock    time.Duration // node minus gateway, as of the hello

	cameras map[string]Camera
	states  map[string]status.Camera
	report  map[string]status.Camera // a full report being received

	desired []Publish
}

// NewHub returns a hub without nodes.
func NewHub(o HubOptions) *Hub {
	if o.Silent <= 0 {
		o.Silent = 10 * time.Second
	}
	if o.Resend <= 0 {
		o.Resend = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		o: o, log: o.Logger, live: liveness{every: o.Ping, within: o.Pong}.withDefaults(),
		stop: make(chan struct{}), nodes: map[string]*node{},
		watch: func(string, *Failed) {}, waiting: map[uint64]waiting{},
	}
	h.metrics = newHubMetrics(o.Registerer)
	return h
}

// Run waits for ctx to end, then closes all links and waits for them. A server's Shutdown does not: it knows nothing of
// WebSockets.
func (h *Hub) Run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	first := !h.stopped
	h.stopped = true
	h.mu.Unlock()
	if first {
		close(h.stop)
	}
	h.serving.Wait()
	return nil
}

// ServeHTTP takes the link of one node. The caller's middleware has authenticated it.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, ok := h.o.Node(r)
	if !ok {
		http.Error(w, "only nodes may dial the link", http.StatusForbidden)
		return
	}
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		http.Error(w, "the gateway stops", http.StatusServiceUnavailable)
		return
	}
	h.serving.Add(1)
	h.mu.Unlock()
	defer h.serving.Done()

	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		h.log.Warn("link not accepted", "node", id, "remote", r.RemoteAddr, "err", err)
		return
	}
	c.SetReadLimit(MaxMessage)
	// The request's context ends with the server's; links are ended by Run, in order.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	s := &session{hub: h, node: id, conn: c, kick: make(chan struct{}, 1), cancel: cancel}
	err = s.run(ctx, r.RemoteAddr)
	closeWith(c, err)
	h.metrics.ended.Inc()
	h.log.Info("link ended", "node", id, "remote", r.RemoteAddr, "err", err)
}

// SetDesired replaces what the node is to publish. It does not wait: the node is told as soon as it can be.
func (h *Hub) SetDesired(id string, ps []Publish) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.node(id)
	n.desired = slices.Clone(ps)
	if n.session != nil {
		n.session.wake()
	}
}

// node returns the node's entry, a new one if needed. The caller holds mu.
func (h *Hub) node(id string) *node {
	n := h.nodes[id]
	if n == nil {
		n = &node{id: id, since: time.Now(), cameras: map[string]Camera{}, states: map[string]status.Camera{}}
		h.nodes[id] = n
	}
	return n
}

// NodeInfo describes a node for people.
type NodeInfo struct {
	ID       string    `json:"id"`
	Up       bool      `json:"up"`
	Since    time.Time `json:"since"` // of Up
	Software string    `json:"software,omitempty"`
	Remote   string    `json:"remote,omitempty"`
	ClockMS  int64     `json:"clock_ms"` // the node's clock minus ours, milliseconds, at its hello
	Cameras  int       `json:"cameras"`
}

// Nodes returns all nodes that ever dialled up, ordered by id.
func (h *Hub) Nodes() []NodeInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]NodeInfo, 0, len(h.nodes))
	for _, n := range h.nodes {
		out = append(out, NodeInfo{
			ID: n.id, Up: n.session != nil, Since: n.since.UTC(), Software: n.software, Remote: n.remote,
			ClockMS: n.clock.Milliseconds(), Cameras: h.speaksFor(n),
		})
	}
	slices.SortFunc(out, func(a, b NodeInfo) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Linked reports whether a node whose link is up dials from this address.
func (h *Hub) Linked(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.nodes {
		if n.session == nil {
			continue
		}
		if r, err := netip.ParseAddrPort(n.remote); err == nil && r.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// NodeOf returns the node to ask for a profile of a camera. known tells that some node offers it, up that its link is
// up.
func (h *Hub) NodeOf(k Key) (id string, known, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.owner(k.Camera, func(c Camera) bool { return slices.Contains(c.Profiles, k.Profile) })
	if n == nil {
		return "", false, false
	}
	return n.id, true, n.session != nil
}

// owner returns the node that speaks for the camera: one whose link is up before one whose link is down, then the first
// by id. The caller holds mu.
func (h *Hub) owner(camera string, with func(Camera) bool) *node {
	var best *node
	for _, n := range h.nodes {
		c, ok := n.cameras[camera]
		if !ok || !with(c) || !h.allowed(n.id, camera) {
			continue
		}
		if best == nil || (n.session != nil) != (best.session != nil) && n.session != nil ||
			(n.session != nil) == (best.session != nil) && n.id < best.id {
			best = n
		}
	}
	return best
}

func (h *Hub) allowed(node, camera string) bool { return h.o.Allow == nil || h.o.Allow(node, camera) }

// Cameras returns how the cameras of all nodes are, ordered by id. Those of a node whose link is down for too long are
// edge_silent, whatever they were before.
func (h *Hub) Cameras() []status.Camera {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	seen := map[string]bool{}
	var out []status.Camera
	for _, n := range h.nodes {
		for id := range n.cameras {
			if seen[id] {
				continue
			}
			seen[id] = true
			if o := h.owner(id, func(Camera) bool { return true }); o != nil {
				out = append(out, o.state(id, now, h.o.Silent))
			}
		}
	}
	slices.SortFunc(out, func(a, b status.Camera) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// state returns how a camera of the node is. The hub's mu is held.
func (n *node) state(id string, now time.Time, silent time.Duration) status.Camera {
	known := n.states[id]
	out := status.Camera{ID: id, Profiles: map[string]status.Profile{}, Recording: known.Recording}
	down := n.session == nil && now.Sub(n.since) >= silent
	for _, p := range n.cameras[id].Profiles {
		s, ok := known.Profiles[string(p)]
		if !ok {
			s = status.Profile{State: status.Connecting, Since: n.since.UTC(), Detail: "the edge has not reported yet"}
		}
		if down {
			s.State, s.Reason, s.Since = status.EdgeSilent, status.ReasonLink, n.since.UTC()
			s.Detail = fmt.Sprintf("no link to node %s", n.id)
			s.FPS, s.Kbps = 0, 0
		}
		out.Profiles[string(p)] = s
	}
	if down {
		out.Recording.Active = false // not known, so not green
		out.Recording.Loss, out.Recording.Held = nil, time.Time{}
		out.Recording.Detail = fmt.Sprintf("no link to node %s", n.id)
	}
	return out
}

// offers reports whether any profile of the camera is offered: what a status may be about.
func (n *node) offers(camera string, p media.Profile) bool {
	return slices.Contains(n.cameras[camera].Profiles, p)
}
