package access

import (
	"errors"
	"net/http"
	"strings"

	"skein/gateway/api/problem"
)

// Guard wraps next so that nothing answers without a credential except the requests public says so for. It must be the
// outermost handler: what it does not know, it denies, so a route that somebody adds is closed until it is opened.
//
// It also refuses requests that a browser sends on behalf of another site (CSRF), sets the security headers, and puts
// the [Principal] into the request's context. Pages of the configured origins may call the API from their scripts.
func (a *Access) Guard(public func(*http.Request) bool, next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header(), r)
		page := a.origins.of(w.Header(), r)
		if a.origins.preflight(w, r, page) {
			return
		}
		open := public(r)
		p, err := a.Authenticate(r)
		if err != nil || !p.byCookie {
			share(w.Header(), page)
		}
		if err != nil && !open {
			a.deny(w, r, err)
			return
		}
		// A bearer token is never sent by a browser on its own; a cookie is, and a login makes one.
		if err != nil || p.byCookie {
			if origin.Check(r) != nil {
				problem.Write(w, r, http.StatusForbidden, ErrCrossOrigin.Error())
				return
			}
		}
		if err == nil {
			r = r.WithContext(WithPrincipal(r.Context(), p))
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Access) deny(w http.ResponseWriter, r *http.Request, err error) {
	a.metrics.denied.Inc()
	challenge := `Bearer realm="skein"`
	if errors.Is(err, ErrBadCredential) {
		challenge += `, error="invalid_token"` // RFC 6750 section 3.1
	}
	w.Header().Set("WWW-Authenticate", challenge)
	problem.Write(w, r, http.StatusUnauthorized, err.Error())
}

// Require lets only principals pass whose role allows the action; others get 403. It belongs inside Guard.
func Require(act Action, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := FromContext(r.Context())
		if !ok {
			problem.Write(w, r, http.StatusUnauthorized, ErrNoCredential.Error())
			return
		}
		if !p.May(act) {
			problem.Write(w, r, http.StatusForbidden, "the role does not allow this")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// contentPolicy suits the console: its own scripts only, none inline; media and workers also from blobs (hls.js, maps);
// styles may be inline, as the component library writes them at run time.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; " +
	"worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"object-src 'none'"

func setHeaders(h http.Header, r *http.Request) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if strings.HasPrefix(r.URL.Path, "/v1/") || strings.HasPrefix(r.URL.Path, "/debug/") {
		h.Set("Cache-Control", "no-store")
	}
}
