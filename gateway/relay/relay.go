// Package relay is the live plane's last leg: it sends camera streams to WebRTC viewers.
//
// One goroutine per camera stream (feed) reads the stream once, packetises each access unit once and writes it to all
// its viewers in one batch. Every viewer's packets are the shared ones under its own SSRC, with sequence number and
// timestamp shifted; so one packet history per stream serves catch-up, retransmission and key frame requests.
//
// pion does ICE, DTLS, RTCP and data channels. SRTP of outgoing media is done here, straight into the batch that is
// handed to the kernel (see keys.go and protect.go). Nothing outside this package sees a pion type.
//
// Locks nest in this order: Relay.mu, wall.tuning, tile.mu, wall.mu, feeds.mu, line.join, slot.mu, line.mu.
// session.ice is held with none of them.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// socketBuffer is asked for both directions of the media socket.
const socketBuffer = 8 << 20

// Relay serves WHEP sessions and walls.
type Relay struct {
	// static after New
	cfg     Config
	streams Streams
	log     *slog.Logger
	metrics *metrics
	conn    *net.UDPConn
	tcp     net.Listener // nil without ICE-TCP
	outlet  *outlet
	feeds   *feeds

	catchingUp atomic.Int64 // sessions whose pacer is active
	parts      Parts

	replays    chan struct{} // one for each replay under way
	transcodes chan struct{} // one for each transcoding under way

	publishers sync.Map // feedKey to *publishing: who to ask for a key frame

	mu        sync.Mutex      // guards the fields below
	transport *transport      // nil while not running
	ctx       context.Context //nolint:containedctx // the life of sessions, set by Run
	sessions  map[string]*session
	places    *places        // sessions open or being opened
	run       sync.WaitGroup // one for each place
}

// New validates cfg and binds its sockets; it starts nothing. logger and reg may be nil.
func New(cfg Config, streams Streams, logger *slog.Logger, reg prometheus.Registerer) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	addr, err := net.ResolveUDPAddr("udp", cfg.UDP)
	if err != nil {
		return nil, fmt.Errorf("listen webrtc.udp %s: %w", cfg.UDP, err)
	}
	network := "udp"
	if addr.IP.To4() != nil {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, fmt.Errorf("listen webrtc.udp %s: %w", cfg.UDP, err)
	}
	if n := widen(conn, socketBuffer); n < socketBuffer/8 {
		logger.Warn("the system grants the media socket a small send buffer: packets get lost when many pictures leave "+
			"at once; raise net.core.wmem_max or give CAP_NET_ADMIN", "bytes", n, "wanted", socketBuffer)
	}
	out := newOutlet(conn)
	r := &Relay{
		cfg: cfg.withDefaults(), streams: streams, log: logger, metrics: newMetrics(reg, out.errors.Load), conn: conn,
		replays: make(chan struct{}, maxReplays), transcodes: make(chan struct{}, cfg.Transcodes),
		outlet: out, sessions: map[string]*session{}, places: newPlaces(cfg.withDefaults()),
	}
	r.feeds = &feeds{relay: r, byKey: map[feedKey]*feed{}}
	if reg != nil {
		reg.MustRegister(newStreamCollector(r))
	}
	if cfg.TCP != "" {
		if r.tcp, err = net.Listen("tcp", cfg.TCP); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen webrtc.tcp %s: %w", cfg.TCP, err)
		}
	}
	return r, nil
}

// Use gives the relay its optional parts. It must be called before Run.
func (r *Relay) Use(p Parts) { r.parts = p }

// Addr returns the UDP address bound.
func (r *Relay) Addr() net.Addr { return r.conn.LocalAddr() }

// TCPAddr returns the ICE-TCP address bound, or nil.
func (r *Relay) TCPAddr() net.Addr {
	if r.tcp == nil {
		return nil
	}
	return r.tcp.Addr()
}

// Run serves until ctx ends, and returns after everything it started has ended. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	t, err := newTransport(r)
	if err != nil {
		return err
	}
	// Sessions and feeds outlive ctx by their own closing only.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.feeds.begin(ctx)
	r.mu.Lock()
	r.transport, r.ctx = t, ctx
	r.mu.Unlock()
	r.log.Info("relay serves viewers", "udp", r.conn.LocalAddr().String(), "tcp", r.cfg.TCP,
		"segmentation_offload", r.outlet.gso.Load())
	<-ctx.Done()
	r.mu.Lock()
	r.transport = nil
	r.mu.Unlock()
	r.run.Wait()
	r.feeds.run.Wait()
	t.close()
	return nil
}

// pace tells whether v may have another offer answered now.
func (r *Relay) pace(v Viewer, offer string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.places.hasty(v.Name, offer) {
		r.metrics.refused.Inc()
		return fail(CodeTooFast, "you begin more than %d pictures a second: wait a moment", begunRate)
	}
	return nil
}

// open reserves a place for a session of v with so many pictures. Every success is followed by drop.
func (r *Relay) open(v Viewer, pictures int) (*session, *transport, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transport == nil {
		return nil, nil, fail(CodeStopped, "the gateway is not serving viewers now")
	}
	s := r.newSession(v, pictures)
	evicted, err := r.places.take(s)
	if err != nil {
		r.metrics.refused.Inc()
		return nil, nil, err
	}
	for _, old := range evicted {
		old.end("made way for another session: it was not connected yet")
	}
	r.run.Add(1)
	r.metrics.sessions.Inc()
	return s, r.transport, nil
}

// connected tells that a session's viewer is there.
func (r *Relay) connected(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places.connected(s)
}

// begin publishes a session whose answer is ready and runs it.
func (r *Relay) begin(s *session) {
	r.mu.Lock()
	r.sessions[s.id] = s
	ctx := r.ctx
	r.mu.Unlock()
	r.metrics.started.Inc()
	go s.run(ctx)
}

// drop gives a session's place back. Called by session.close.
func (r *Relay) drop(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s.id)
	r.places.giveBack(s)
	r.metrics.sessions.Dec()
	r.run.Done()
}

// find returns the session id of viewer v.
func (r *Relay) find(id string, v Viewer) (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[id]; s != nil && s.viewer.Key == v.Key {
		return s, nil
	}
	return nil, fail(CodeUnknownSession, "there is no such session")
}

// End ends a session of the viewer.
func (r *Relay) End(_ context.Context, id string, v Viewer) error {
	s, err := r.find(id, v)
	if err != nil {
		return err
	}
	s.end("ended by the viewer")
	return nil
}

// EndViewer ends all sessions of a login, such as one that logged out, and returns how many there were.
func (r *Relay) EndViewer(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.sessions {
		if s.viewer.Key == key {
			s.end("login ended")
			n++
		}
	}
	return n
}

// Sessions returns a snapshot of all sessions, oldest first.
func (r *Relay) Sessions() []SessionStats {
	r.mu.Lock()
	all := make([]*session, 0, len(r.sessions))
	for _, s := range r.sessions {
		all = append(all, s)
	}
	r.mu.Unlock()
	out := make([]SessionStats, 0, len(all))
	for _, s := range all {
		out = append(out, s.snapshot())
	}
	slices.SortFunc(out, func(a, b SessionStats) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Close releases the sockets of a relay that was never run.
func (r *Relay) Close() error {
	err := r.conn.Close()
	if r.tcp != nil {
		err = errors.Join(err, r.tcp.Close())
	}
	return err
}
