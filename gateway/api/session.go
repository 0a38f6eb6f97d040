package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/gateway/access"
)

type loginInput struct {
	Body struct {
		User     string `json:"user" doc:"name of the user"`
		Password string `json:"password" format:"password"`
	}
}

type loginOutput struct {
	Cookie http.Cookie `header:"Set-Cookie"`
	Body   loginBody
}

type loginBody struct {
	Token   string      `json:"token" doc:"bearer token of the session"`
	Expires time.Time   `json:"expires" doc:"when the session ends if it is not used"`
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Unit    string      `json:"unit" doc:"scope: this unit and everything below; empty: everything"`

	May []access.Action `json:"may" doc:"what the role allows"`
}

type logoutOutput struct {
	Cookie http.Cookie `header:"Set-Cookie"`
}

type meOutput struct {
	Body meBody
}

type meBody struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Unit    string      `json:"unit"`
	Kind    access.Kind `json:"kind"`
	Expires *time.Time  `json:"expires,omitempty" doc:"when the session ends if it is not used; absent for tokens"`
	Now     time.Time   `json:"now" doc:"the gateway's clock"`

	May []access.Action `json:"may" doc:"what the role allows"`
}

func (s *Server) registerSession() {
	huma.Register(s.huma, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/v1/login", Summary: "Open a session",
		MaxBodyBytes: 4 << 10, Security: []map[string][]string{},
		Errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable},
	}, s.login)
	huma.Register(s.huma, huma.Operation{
		OperationID: "logout", Method: http.MethodPost, Path: "/v1/logout", Summary: "End the session",
		DefaultStatus: http.StatusNoContent,
	}, s.logout)
	huma.Register(s.huma, huma.Operation{
		OperationID: "me", Method: http.MethodGet, Path: "/v1/me", Summary: "Who am I",
	}, s.me)
}

func (s *Server) login(ctx context.Context, in *loginInput) (*loginOutput, error) {
	c := callerOf(ctx)
	l, err := s.o.Access.Login(ctx, in.Body.User, in.Body.Password, c.addr)
	if err != nil {
		return nil, s.loginError(err)
	}
	return &loginOutput{
		Cookie: *access.SessionCookie(l.Token, l.Ends, c.tls),
		Body: loginBody{
			Token: l.Token, Expires: l.Expires.UTC(), Name: l.Who.Name, Role: l.Who.Role, Unit: l.Who.Unit,
			May: l.Who.Actions(),
		},
	}, nil
}

func (s *Server) loginError(err error) error {
	retry := func(status int, d time.Duration) error {
		secs := max(1, int(math.Ceil(d.Seconds())))
		return huma.ErrorWithHeaders(huma.NewError(status, err.Error()),
			http.Header{"Retry-After": {strconv.Itoa(secs)}})
	}
	if wait, ok := access.IsLimit(err); ok {
		return retry(http.StatusTooManyRequests, wait)
	}
	switch {
	case errors.Is(err, access.ErrBusy):
		return retry(http.StatusServiceUnavailable, time.Second)
	case errors.Is(err, access.ErrLogin):
		return huma.Error401Unauthorized(err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return huma.Error503ServiceUnavailable("the login was interrupted")
	}
	s.log.Error("login failed for a reason of our own", "err", err)
	return huma.Error500InternalServerError("the login could not be checked")
}

func (s *Server) logout(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
	c := callerOf(ctx)
	p, ok := access.FromContext(ctx)
	if !ok {
		return nil, huma.Error401Unauthorized(access.ErrNoCredential.Error())
	}
	if err := s.o.Access.Logout(p, c.addr); err != nil {
		s.log.Warn("session not ended on disk; a restart may bring it back", "err", err)
	}
	if s.o.LoggedOut != nil && p.Kind == access.User {
		s.o.LoggedOut(p.Key())
	}
	return &logoutOutput{Cookie: *access.SessionCookie("", time.Time{}, c.tls)}, nil
}

func (s *Server) me(ctx context.Context, _ *struct{}) (*meOutput, error) {
	p, ok := access.FromContext(ctx)
	if !ok {
		return nil, huma.Error401Unauthorized(access.ErrNoCredential.Error())
	}
	out := &meOutput{Body: meBody{
		Name: p.Name, Role: p.Role, Unit: p.Unit, Kind: p.Kind, Now: s.now().UTC(), May: p.Actions(),
	}}
	if !p.Expires.IsZero() {
		t := p.Expires.UTC()
		out.Body.Expires = &t
	}
	return out, nil
}
