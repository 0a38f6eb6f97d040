package rtsp

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"skein/internal/strangers"
)

// handler receives the library's callbacks; a type of its own keeps them out of Server's API.
type handler Server

// client is one TCP connection to the Server.
type client struct {
	mu      sync.Mutex // guards the fields below
	allowed map[grant]Request
	held    map[string]*playing
}

type grant struct {
	action Action
	path   string
}

// OnConnOpen notes a connection that the door let in.
func (h *handler) OnConnOpen(ctx *gortsplib.ServerHandlerOnConnOpenCtx) {
	s := (*Server)(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[ctx.Conn] = &client{allowed: map[grant]Request{}, held: map[string]*playing{}}
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
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
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
	if g, ok := conn.NetConn().(*guest); ok {
		g.welcome()
	}
	c.mu.Lock()
	c.allowed[grant{r.Action, r.Path}] = r
	c.mu.Unlock()
	return r, nil, nil
}

// credentials fills in who the client says it is, and how to check that.
func (s *Server) credentials(conn *gortsplib.ServerConn, req *base.Request, r Request) Request {
	conn.VerifyCredentials(req, "-", "") // makes the connection's digest nonce
	r.Remote = strangers.RemoteOf(conn.NetConn())
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

// enter counts the session of r in, within the limits. Players leave a quarter of the places to publications, and one
// user a third of the rest to others.
func (s *Server) enter(r Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.cfg.MaxSessions {
		return &Refusal{Err: ErrBusy, Reason: fmt.Sprintf("all %d sessions of this server are in use", s.cfg.MaxSessions)}
	}
	if r.Action == ActionPlay {
		playing := 0
		for _, n := range s.players {
			playing += n
		}
		all := max(s.cfg.MaxSessions-s.cfg.MaxSessions/4, 1)
		each := max(all-all/3, 1)
		switch {
		case playing >= all:
			return &Refusal{Err: ErrBusy, Reason: fmt.Sprintf("all %d places for players of this server are in use", all)}
		case s.players[r.User] >= each:
			return &Refusal{Err: ErrBusy, Reason: fmt.Sprintf("this user plays %d streams already", each)}
		}
		s.players[r.User]++
	}
	s.sessions++
	return nil
}

func (s *Server) leave(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	if r.Action == ActionPlay {
		if s.players[r.User]--; s.players[r.User] == 0 {
			delete(s.players, r.User)
		}
	}
}
