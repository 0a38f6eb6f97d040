package rtsp

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// handler receives the library's callbacks; a type of its own keeps them out of Server's API.
type handler Server

// client is one TCP connection to the Server.
type client struct {
	timer *time.Timer // closes it unless Auth passes in time

	mu      sync.Mutex // guards the fields below
	known   bool
	allowed map[grant]Request
	held    map[string]*playing
}

type grant struct {
	action Action
	path   string
}

// OnConnOpen admits a connection, within the limits.
func (h *handler) OnConnOpen(ctx *gortsplib.ServerHandlerOnConnOpenCtx) {
	s := (*Server)(h)
	c := &client{allowed: map[grant]Request{}, held: map[string]*playing{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[ctx.Conn] = c
	s.strange++
	if len(s.conns) > s.cfg.MaxConns || s.strange > s.cfg.MaxUnauthenticated {
		s.cfg.Logger.Warn("RTSP connection refused: too many", "remote", ctx.Conn.NetConn().RemoteAddr(),
			"connections", len(s.conns), "unauthenticated", s.strange)
		ctx.Conn.Close()
		return
	}
	c.timer = time.AfterFunc(s.cfg.AuthTimeout, ctx.Conn.Close)
}

// OnConnClose forgets a connection and what it held.
func (h *handler) OnConnClose(ctx *gortsplib.ServerHandlerOnConnCloseCtx) {
	s := (*Server)(h)
	s.mu.Lock()
	c := s.conns[ctx.Conn]
	delete(s.conns, ctx.Conn)
	s.mu.Unlock()
	if c == nil {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Lock()
	held, known := c.held, c.known
	c.held = nil
	c.mu.Unlock()
	if !known {
		s.mu.Lock()
		s.strange--
		s.mu.Unlock()
	}
	for _, p := range held {
		p.release()
	}
}

func (s *Server) client(conn *gortsplib.ServerConn) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[conn]
}

// authorize asks the Auth callback, once per connection, action and path. An error comes with its response.
func (s *Server) authorize(conn *gortsplib.ServerConn, req *base.Request, r Request) (Request, *base.Response, error) {
	c := s.client(conn)
	if c == nil {
		return r, respond(base.StatusServiceUnavailable), nil
	}
	c.mu.Lock()
	was, ok := c.allowed[grant{r.Action, r.Path}]
	c.mu.Unlock()
	if ok && !was.lapsed() {
		r.User, r.still = was.User, was.still
		return r, nil, nil
	}
	r = s.credentials(conn, req, r)
	err := ErrForbidden
	if s.cfg.Auth != nil {
		r.still, err = s.cfg.Auth(s.ctx, r)
	}
	if err != nil {
		if !errors.Is(err, ErrUnauthorized) || r.User != "" {
			s.cfg.Logger.Warn("RTSP request refused", "action", string(r.Action), "path", r.Path, "remote", r.Remote.String(),
				"user", r.User, "err", err)
		}
		res, err := refuse(err)
		return r, res, err
	}
	c.mu.Lock()
	first := !c.known
	c.known = true
	c.allowed[grant{r.Action, r.Path}] = r
	c.mu.Unlock()
	if first {
		s.mu.Lock()
		s.strange--
		s.mu.Unlock()
		if c.timer != nil {
			c.timer.Stop()
		}
	}
	return r, nil, nil
}

// credentials fills in who the client says it is, and how to check that.
func (s *Server) credentials(conn *gortsplib.ServerConn, req *base.Request, r Request) Request {
	conn.VerifyCredentials(req, "-", "") // makes the connection's digest nonce
	if a, ok := conn.NetConn().RemoteAddr().(*net.TCPAddr); ok {
		r.Remote = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	}
	var auth headers.Authorization
	if auth.Unmarshal(req.Header["Authorization"]) == nil {
		r.User = auth.Username
		if auth.Method == headers.AuthMethodBasic {
			r.Password, r.HasPassword = auth.BasicPass, true
		}
	}
	r.Verify = func(user, password string) bool {
		if r.HasPassword {
			u := subtle.ConstantTimeCompare([]byte(user), []byte(r.User))
			return u&subtle.ConstantTimeCompare([]byte(password), []byte(r.Password)) == 1
		}
		return r.User != "" && conn.VerifyCredentials(req, user, password)
	}
	return r
}

func respond(code base.StatusCode) *base.Response {
	return &base.Response{StatusCode: code, Header: base.Header{}}
}

// refuse turns a callback's error into a response.
func refuse(err error) (*base.Response, error) {
	if errors.Is(err, ErrUnauthorized) {
		return respond(base.StatusUnauthorized), liberrors.ErrServerAuth{}
	}
	res := respond(base.StatusInternalServerError)
	for _, c := range []struct {
		err  error
		code base.StatusCode
	}{
		{ErrForbidden, base.StatusForbidden}, {ErrNotFound, base.StatusNotFound},
		{ErrBusy, base.StatusNotEnoughBandwidth}, {errUnsupported, base.StatusUnsupportedMediaType},
		{errNoPicture, base.StatusServiceUnavailable}, {ErrUnavailable, base.StatusServiceUnavailable},
	} {
		if errors.Is(err, c.err) {
			res.StatusCode = c.code
			break
		}
	}
	if errors.Is(err, errNoPicture) {
		res.StatusMessage = errNoPicture.Error()
	}
	var why *Refusal
	if errors.As(err, &why) {
		res.StatusMessage = why.Reason
	}
	return res, nil
}

func cleanPath(p string) string { return strings.Trim(p, "/") }

// enter counts a session in, within the limit.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.cfg.MaxSessions {
		return ErrBusy
	}
	s.sessions++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
}
