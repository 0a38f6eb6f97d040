package rtsp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// Action is what a client of the Server wants to do.
type Action string

// The actions.
const (
	ActionPublish Action = "publish" // ANNOUNCE and RECORD
	ActionPlay    Action = "play"    // DESCRIBE and PLAY
)

// Request is what the callbacks of a Server decide upon.
type Request struct {
	Action Action
	Path   string // without leading slash
	Query  string
	Remote netip.AddrPort
	// User is the name the client claims; empty if it sent no credentials.
	User string
	// Password is set only if the client used basic authentication, and then HasPassword is true. With digest
	// nothing but Verify can tell.
	Password    string
	HasPassword bool
	// Verify reports whether the request carries these credentials (basic, or digest with MD5 or SHA-256), in
	// constant time for basic.
	Verify func(user, password string) bool

	still func() bool // see ServerConfig.Auth
}

// lapsed tells whether what was allowed is so no longer.
func (r *Request) lapsed() bool { return r.still != nil && !r.still() }

// Publication takes what a client publishes.
type Publication struct {
	// Sink receives the access units, from one goroutine at a time.
	Sink Sink
	// TrustClock takes wall times from the client's sender reports: for our own edges, whose clock is the archive's.
	TrustClock bool
	// Epochs numbers the epochs; a new one is opened. Share it between the publications of one source. May be nil.
	Epochs *media.Epochs
	// Stats is kept up to date, if not nil.
	Stats *Stats
	// Withdrawn, if not nil, is closed when nobody takes the publication any more; it is ended then.
	Withdrawn <-chan struct{}
	// Done is called once when the publication ended, with the reason. May be nil.
	Done func(err error)
}

// ServerConfig configures a Server. Callbacks run on the connection's goroutine and may block a little.
type ServerConfig struct {
	// Listen is the TCP address.
	Listen string
	// UDP is the "host:port" of the RTP socket for clients that want UDP (the RTCP socket is the port above): an even
	// port, or 0 for any. Empty offers TCP only.
	UDP string
	// PublishTCP refuses UDP (461) to who publishes; clients then go on with TCP.
	PublishTCP bool
	// TLS makes every connection RTSPS.
	TLS *tls.Config

	// Auth decides whether r is allowed: a nil error is yes; ErrUnauthorized asks for (other) credentials; any other error
	// refuses. A nil Auth refuses everything: default deny. still, if not nil, is asked every second while the client
	// plays or publishes, from another goroutine, and must be quick; once it says no, the session ends.
	Auth func(ctx context.Context, r Request) (still func() bool, err error)
	// OnPublish takes a publication, after Auth. Nil refuses all.
	OnPublish func(ctx context.Context, r Request) (Publication, error)
	// OnPlay finds a stream to play, after Auth; release is called once when the reader has left. Nil refuses all.
	OnPlay func(ctx context.Context, r Request) (s *stream.Stream, release func(), err error)

	MaxConns    int // TCP connections; default 2048
	MaxSessions int // publishing and playing sessions; default 1024, of which players may have three quarters

	// MaxUnauthenticated is how many connections may be open that have not passed Auth yet; default 256. Of one source (an
	// IPv4 address, an IPv6 /64) there may be MaxUnauthenticatedPerSource for longer than a moment; default 8. Beyond
	// either, the oldest of the source with the most is closed. AuthTimeout is how long a connection may stay so; default
	// 10 s.
	MaxUnauthenticated          int
	MaxUnauthenticatedPerSource int
	AuthTimeout                 time.Duration
	// Trusted tells whether connections from an address always get in: they are not counted among the unauthenticated.
	// It must be quick. Nil trusts none.
	Trusted func(netip.Addr) bool

	// ReadTimeout ends a publication that sends nothing; default 10 s.
	ReadTimeout time.Duration

	// Logger may be nil.
	Logger *slog.Logger
}

func (c ServerConfig) withDefaults() ServerConfig {
	setInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	setInt(&c.MaxConns, 2048)
	setInt(&c.MaxSessions, 1024)
	setInt(&c.MaxUnauthenticated, 256)
	setInt(&c.MaxUnauthenticatedPerSource, 8)
	if c.AuthTimeout <= 0 {
		c.AuthTimeout = 10 * time.Second
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = 10 * time.Second
	}
	c.Logger = orDiscard(c.Logger)
	return c
}
