package sim

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"

	"skein/edge/media"
)

// Server serves simulated cameras over RTSP. New opens its listeners; Run does everything else.
type Server struct {
	cfg      Config
	lib      *library
	sounds   map[media.Codec]*audioLoop
	rtsp     *gortsplib.Server
	addr     net.Addr
	streams  map[string]*stream // by path
	ordered  []*stream
	controls map[string]*Control
	poke     chan struct{} // a reader came
	scratch  scratch       // of the scheduler
}

// New checks cfg and listens. The caller must call Run, which also closes what New opened.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	lib, err := newLibrary()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, lib: lib, sounds: map[media.Codec]*audioLoop{},
		streams: map[string]*stream{}, controls: map[string]*Control{}, poke: make(chan struct{}, 1),
	}
	for i := range cfg.Cameras {
		if err := s.add(&s.cfg.Cameras[i], i); err != nil {
			return nil, err
		}
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	for _, st := range s.ordered {
		if err := s.open(st); err != nil {
			s.rtsp.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) listen() error {
	s.rtsp = &gortsplib.Server{
		Handler:                  &handler{server: s},
		RTSPAddress:              s.cfg.Listen,
		WriteQueueSize:           s.queue(),
		DisableRTCPSenderReports: true, // ours follow the camera's clock
		AuthMethods:              []auth.VerifyMethod{auth.VerifyMethodDigestMD5},
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err != nil {
				return nil, err
			}
			s.addr = l.Addr()
			return batchListener{l}, nil
		},
	}
	if !s.cfg.UDP {
		if err := s.rtsp.Start(); err != nil {
			return fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", s.cfg.Listen, err)
	}
	for range 50 { // a pair may be taken between looking and opening
		port := 20000 + int(random32()%20000)/2*2
		s.rtsp.UDPRTPAddress = net.JoinHostPort(host, strconv.Itoa(port))
		s.rtsp.UDPRTCPAddress = net.JoinHostPort(host, strconv.Itoa(port+1))
		if err = s.rtsp.Start(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("listen on %s and a pair of UDP ports: %w", s.cfg.Listen, err)
}

// queue is how many packets wait for a reader at most, a power of two: several pictures' worth.
func (s *Server) queue() int {
	n := 2048
	for i := range s.cfg.Cameras {
		for n < 2*s.cfg.Cameras[i].KeyBytes/maxPayload {
			n *= 2
		}
	}
	return n
}

// Addr returns the RTSP address listened on.
func (s *Server) Addr() net.Addr { return s.addr }

// Camera returns the control of a camera, nil if there is none of that id.
func (s *Server) Camera(id string) *Control { return s.controls[id] }

// URL returns the RTSP URL of a profile with the server's credentials in it, "" if there is no such profile.
func (s *Server) URL(id string, profile media.Profile) string {
	p := path(id, profile)
	if s.streams[p] == nil {
		return ""
	}
	u := url.URL{Scheme: "rtsp", Host: s.addr.String(), Path: p}
	if s.cfg.User != "" {
		u.User = url.UserPassword(s.cfg.User, s.cfg.Password)
	}
	return u.String()
}

func path(id string, profile media.Profile) string {
	if profile == media.Sub {
		return "/" + id + "/sub"
	}
	return "/" + id
}

// Run sends until ctx ends; then it ends all sessions, closes the listeners and returns nil. It returns an error when
// the RTSP server fails.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.rtsp.Wait() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.rtsp.Close()
			<-failed
			return nil
		case err := <-failed:
			return fmt.Errorf("serve rtsp on %s: %w", s.addr, err)
		case <-s.poke:
		case <-timer.C:
		}
		timer.Reset(s.round())
	}
}

// grid is the granularity of the schedule: waking up seldom is what makes many cameras cheap. Frame periods and phases
// are multiples of it where they can be.
const grid = 4 * time.Millisecond

// idle is how long the scheduler sleeps when nobody reads; a new reader wakes it.
const idle = time.Hour

// round sends everything that is due and returns how long to sleep.
func (s *Server) round() time.Duration {
	now := s.cfg.Now()
	var next time.Time
	for _, st := range s.ordered {
		if !st.wake(now, s.cfg.KeyOnPlay) {
			continue
		}
		if t := st.run(now, s.cfg.ReportInterval); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if next.IsZero() {
		return idle
	}
	if up := next.Truncate(grid); up.Before(next) {
		next = up.Add(grid)
	}
	return max(next.Sub(s.cfg.Now()), 0)
}

func (s *Server) find(p string) *stream {
	p = "/" + strings.Trim(p, "/")
	return s.streams[strings.TrimSuffix(p, "/main")]
}
