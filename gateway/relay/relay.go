// Package relay is the live plane's last leg: it sends camera streams to WebRTC viewers.
//
// One goroutine per camera stream (feed) reads the stream once, packetises each access unit once and writes it to all
// its viewers in one batch. Every viewer's packets are the shared ones under its own SSRC, with sequence number and
// timestamp shifted; so one packet history per stream serves catch-up, retransmission and key frame requests.
//
// pion does ICE, DTLS, RTCP and data channels. SRTP of outgoing media is done here, straight into the batch that is
// handed to the kernel (see keys.go and protect.go). Nothing outside this package sees a pion type.
//
// Locks nest in this order: Relay.mu, session.mu, slot.mu, line.mu.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Relay serves WHEP sessions and walls.
type Relay struct {
	// static after New
	cfg     Config
	streams Streams
	log     *slog.Logger
	metrics *metrics
	conn    *net.UDPConn
	tcp     *net.TCPListener

	mu       sync.Mutex // guards the fields below
	running  bool
	sessions map[string]*session
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
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen webrtc.udp %s: %w", cfg.UDP, err)
	}
	return &Relay{
		cfg: cfg.withDefaults(), streams: streams, log: logger, metrics: newMetrics(reg), conn: conn,
		sessions: map[string]*session{},
	}, nil
}

// Addr returns the UDP address bound.
func (r *Relay) Addr() net.Addr { return r.conn.LocalAddr() }

// Run serves until ctx ends, and returns after everything it started has ended. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	return r.conn.Close()
}

// Answer starts a WHEP session.
func (r *Relay) Answer(ctx context.Context, o Offer) (Session, error) {
	return Session{}, errors.ErrUnsupported
}

// Wall starts a wall.
func (r *Relay) Wall(ctx context.Context, o WallOffer) (Session, error) {
	return Session{}, errors.ErrUnsupported
}

// Candidate applies a trickle ICE fragment or restarts ICE.
func (r *Relay) Candidate(ctx context.Context, p Patch) (PatchResult, error) {
	return PatchResult{}, errors.ErrUnsupported
}

// End ends a session of the viewer.
func (r *Relay) End(ctx context.Context, id string, v Viewer) error { return errors.ErrUnsupported }

type session struct{}

type metrics struct{}

func newMetrics(prometheus.Registerer) *metrics { return &metrics{} }
