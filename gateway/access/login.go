package access

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// CookieName is the session cookie's name.
const CookieName = "skein_session"

// Login is a session just opened.
type Login struct {
	Token   string    // bearer token, also the cookie's value; nowhere stored
	Expires time.Time // if it is not used
	Ends    time.Time // however much it is used
	Who     Principal
}

// Login checks user and password and opens a session. It returns ErrLogin, ErrBusy, a *LimitError, or what the disk
// said. Every attempt is a row of the audit log.
func (a *Access) Login(ctx context.Context, user, password, addr string) (Login, error) {
	if !validName(user) || password == "" || len(password) > maxPassword {
		user = "?" // whatever was sent may be a password in the wrong field
	}
	if wait := a.limits.begin(user, addr); wait > 0 {
		a.metrics.loginLimited.Inc()
		return Login{}, &LimitError{Wait: wait}
	}
	u, exists := a.users.get(user)
	ok, err := a.hasher.verify(ctx, u.Password, password)
	if err != nil {
		a.limits.cancel(user, addr)
		a.metrics.loginBusy.Inc()
		return Login{}, err
	}
	e := Event{Actor: user, Kind: User, Action: ActLogin, Outcome: Failed, Address: addr}
	if !ok || !exists {
		a.metrics.loginFailed.Inc()
		a.record(e)
		return Login{}, ErrLogin
	}
	a.limits.succeed(user, addr)
	token, expires, err := a.sessions.start(user)
	if err != nil {
		a.log.Warn("session not saved; it will not survive a restart", "err", err)
	}
	who := principalOf(u, digestOf(token), expires)
	e.Outcome = Done
	a.record(e.By(who, addr))
	a.metrics.loginOK.Inc()
	return Login{Token: token, Expires: expires, Ends: a.now().Add(a.cfg.SessionMax).UTC(), Who: who}, nil
}

// Logout ends p's session. For tokens and nodes it does nothing.
func (a *Access) Logout(p Principal, addr string) error {
	if p.Kind != User {
		return nil
	}
	a.record(Event{Action: ActLogout, Outcome: Done}.By(p, addr))
	return a.sessions.end(p.session)
}

// record writes an audit row where a failing disk must not keep people from their work: it is logged and counted.
func (a *Access) record(e Event) {
	if _, err := a.audit.Append(e); err != nil {
		a.log.Error("audit row lost", "action", e.Action, "actor", e.Actor, "err", err)
	}
}

func principalOf(u Account, d digest, expires time.Time) Principal {
	return Principal{Name: u.Name, Role: u.Role, Unit: u.Unit, Kind: User, Expires: expires, session: d}
}

// Authenticate returns who sends the request: by its bearer token if it has an Authorization header, else by its
// session cookie. It returns ErrNoCredential or ErrBadCredential.
func (a *Access) Authenticate(r *http.Request) (Principal, error) {
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		scheme, token, _ := strings.Cut(h[0], " ")
		if len(h) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return Principal{}, ErrBadCredential
		}
		return a.byToken(strings.TrimSpace(token))
	}
	c, err := r.Cookie(CookieName)
	if err != nil || c.Value == "" {
		return Principal{}, ErrNoCredential
	}
	p, err := a.bySession(digestOf(c.Value))
	p.byCookie = true
	return p, err
}

// CheckToken returns whose token it is: a program's, a node's or a session's. For protocols other than HTTP.
func (a *Access) CheckToken(token string) (Principal, error) { return a.byToken(token) }

func (a *Access) byToken(token string) (Principal, error) {
	if token == "" || len(token) > 4096 {
		return Principal{}, ErrBadCredential
	}
	d := digestOf(token)
	if p, ok := a.tokens.find(d); ok {
		return p, nil
	}
	return a.bySession(d)
}

func (a *Access) bySession(d digest) (Principal, error) {
	s, expires, ok := a.sessions.use(d)
	if !ok {
		return Principal{}, ErrBadCredential
	}
	u, ok := a.users.get(s.User)
	if !ok || s.Created.Before(u.Changed) {
		return Principal{}, ErrBadCredential
	}
	return principalOf(u, d, expires), nil
}

// Current returns p as it is now, with the user's present role and unit. ok is false once the login is over: ended,
// expired, or its user removed, disabled or changed. It is for what goes on after the request that began it, and counts
// as no use of the session.
func (a *Access) Current(p Principal) (now Principal, ok bool) {
	if p.Kind != User {
		return p, true // of the configuration, which changes with a restart only
	}
	s, expires, ok := a.sessions.look(p.session)
	if !ok {
		return Principal{}, false
	}
	u, ok := a.users.get(s.User)
	if !ok || s.Created.Before(u.Changed) {
		return Principal{}, false
	}
	return principalOf(u, p.session, expires), true
}

// Account returns p as its account is now, for principals that authenticated at a moment without a session, as RTSP
// clients do. ok is false if the user was removed, disabled or changed since.
func (a *Access) Account(p Principal, since time.Time) (now Principal, ok bool) {
	if p.Kind != User {
		return p, true // of the configuration, which changes with a restart only
	}
	u, ok := a.users.get(p.Name)
	if !ok || since.Before(u.Changed) {
		return Principal{}, false
	}
	return principalOf(u, p.session, p.Expires), true
}

// CheckPassword checks user and password without opening a session, with the same limits and audit rows as Login. For
// protocols that authenticate every request, as RTSP does.
func (a *Access) CheckPassword(ctx context.Context, user, password, addr string) (Principal, error) {
	l, err := a.Login(ctx, user, password, addr)
	if err != nil {
		return Principal{}, err
	}
	if err := a.sessions.end(l.Who.session); err != nil {
		a.log.Warn("session not ended on disk", "err", err)
	}
	return l.Who, nil
}

// RemoteIP returns the IP address the request came from.
func RemoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// IsLimit returns how long to wait if err is a *LimitError.
func IsLimit(err error) (time.Duration, bool) {
	var l *LimitError
	if errors.As(err, &l) {
		return l.Wait, true
	}
	return 0, false
}

// SessionCookie returns the cookie that carries a login; an empty token makes the one that removes it. secure is set
// when the request came over TLS.
func SessionCookie(token string, expires time.Time, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: CookieName, Value: token, Path: "/", Expires: expires,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
	if token == "" {
		c.MaxAge, c.Expires = -1, time.Time{}
	}
	return c
}
