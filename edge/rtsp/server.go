package rtsp

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"

	"skein/edge/stream"
)

// Server accepts publications and serves readers over RTSP. It is made by NewServer and runs once.
type Server struct {
	cfg  ServerConfig
	lib  *gortsplib.Server
	ln   net.Listener
	door *door             // over ln
	udp  [2]net.PacketConn // RTP and RTCP, nil without UDP
	ctx  context.Context   //nolint:containedctx // the library calls back without one
	stop context.CancelFunc
	wg   sync.WaitGroup // feeds

	mu       sync.Mutex // guards the fields below; never held while calling out
	conns    map[*gortsplib.ServerConn]*client
	sessions int
	players  map[string]int // playing sessions by user
	feeds    map[*stream.Stream]*feed
	pubs     map[*publishing]struct{}
	watched  map[*gortsplib.ServerSession]Request // sessions that are asked about, see ServerConfig.Auth
}

// NewServer checks cfg and binds its sockets; nothing is served before Run. Close releases them if Run is never called.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, conns: map[*gortsplib.ServerConn]*client{}, feeds: map[*stream.Stream]*feed{},
		players: map[string]int{},
		pubs:    map[*publishing]struct{}{}, watched: map[*gortsplib.ServerSession]Request{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	ln, err := (&net.ListenConfig{}).Listen(s.ctx, "tcp", cfg.Listen)
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("rtsp: %w", err)
	}
	s.ln, s.door = ln, newDoor(ln, &s.cfg, s.ctx.Done())
	s.lib = &gortsplib.Server{
		RTSPAddress: ln.Addr().String(), TLSConfig: cfg.TLS, Handler: (*handler)(s),
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: 2 * writeTimeout, WriteQueueSize: sendQueue,
		Listen:       func(string, string) (net.Listener, error) { return s.door, nil },
		TLSListen:    s.door.secure,
		ListenPacket: s.handUDP,
	}
	if cfg.UDP != "" {
		if err := s.bindUDP(); err != nil {
			_ = ln.Close()
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

// Addr returns the TCP address in use.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Close releases the sockets of a server that never ran. After Run it does nothing.
func (s *Server) Close() {
	s.stop()
	_ = s.ln.Close()
	for _, pc := range s.udp {
		if pc != nil {
			_ = pc.Close()
		}
	}
}

// Run serves until ctx ends or the listener fails. When it returns, all sessions are closed and every goroutine ended.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	if err := s.lib.Start(); err != nil {
		return fmt.Errorf("rtsp: start server: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.lib.Wait() }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var err error
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case err = <-ended:
			ended <- err
			err = fmt.Errorf("rtsp: server: %w", err)
			running = false
		case now := <-tick.C:
			s.sampleRates(now)
			s.askAgain()
			s.door.refusals.Tell(now, s.cfg.Logger, "RTSP connections refused")
		}
	}
	s.stop()
	s.lib.Close()
	<-ended
	s.wg.Wait()
	return err
}

// watch makes askAgain look at a session until it ends.
func (s *Server) watch(session *gortsplib.ServerSession, r Request) {
	if r.still == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[session] = r
}

// askAgain ends the sessions of clients that may no longer do what they do.
func (s *Server) askAgain() {
	s.mu.Lock()
	all := maps.Clone(s.watched)
	s.mu.Unlock()
	for session, r := range all {
		if !r.lapsed() {
			continue
		}
		s.cfg.Logger.Info("RTSP session ended: no longer permitted", "action", string(r.Action), "path", r.Path,
			"remote", r.Remote.String(), "user", r.User)
		session.Close()
	}
}

func (s *Server) sampleRates(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.pubs {
		p.rates.sample(p.stats, now)
	}
}

// bindUDP opens the RTP socket on an even port and the RTCP socket above it.
func (s *Server) bindUDP() error {
	host, port, err := net.SplitHostPort(s.cfg.UDP)
	if err != nil {
		return fmt.Errorf("rtsp: UDP address %q: %w", s.cfg.UDP, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n%2 != 0 {
		return fmt.Errorf("rtsp: UDP port %q: want an even port, or 0", port)
	}
	var lc net.ListenConfig
	for try := 0; ; try++ {
		rtp, err := lc.ListenPacket(s.ctx, "udp", net.JoinHostPort(host, strconv.Itoa(int(n))))
		if err != nil {
			return fmt.Errorf("rtsp: %w", err)
		}
		got := rtp.LocalAddr().(*net.UDPAddr).Port
		if got%2 == 0 {
			rtcp, err := lc.ListenPacket(s.ctx, "udp", net.JoinHostPort(host, strconv.Itoa(got+1)))
			if err == nil {
				s.udp = [2]net.PacketConn{rtp, rtcp}
				break
			}
			if n != 0 || try == 50 {
				_ = rtp.Close()
				return fmt.Errorf("rtsp: %w", err)
			}
		}
		_ = rtp.Close()
	}
	for _, pc := range s.udp {
		_ = pc.(*net.UDPConn).SetReadBuffer(udpBuffer)
	}
	s.lib.UDPRTPAddress, s.lib.UDPRTCPAddress = s.udp[0].LocalAddr().String(), s.udp[1].LocalAddr().String()
	return nil
}

// handUDP gives the library the sockets that are bound already.
func (s *Server) handUDP(_, address string) (net.PacketConn, error) {
	for _, pc := range s.udp {
		if pc != nil && pc.LocalAddr().String() == address {
			return pc, nil
		}
	}
	_, port, _ := net.SplitHostPort(address)
	for _, pc := range s.udp {
		if pc != nil && strconv.Itoa(pc.LocalAddr().(*net.UDPAddr).Port) == port {
			return pc, nil
		}
	}
	return nil, fmt.Errorf("no UDP socket for %s", address)
}
