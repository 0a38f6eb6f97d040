package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// What pages of other origins may use of the API, and what of its answers their scripts may read.
const (
	corsMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST"
	corsHeaders = "Accept, Authorization, Content-Type, If-Match, If-None-Match, Range"
	corsExposed = "Accept-Patch, Accept-Post, Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Range, " +
		"ETag, Link, Location, Retry-After, Skein-Age-Ms, Skein-Clip-From, Skein-Clip-To, Skein-Frame-Time, " +
		"Skein-Warning, WWW-Authenticate"
	corsMaxAge = "600" // seconds for which a browser need not ask again
)

// origins are those whose pages may call the API from scripts (CORS, Fetch standard section 3.2): with a bearer token,
// which a browser never sends by itself. No answer ever allows credentials mode, and what a cookie opened is not shared
// at all, so that a login in the console gives nothing to those pages. The nil map shares nothing.
type origins map[string]bool

func newOrigins(list []string) origins {
	if len(list) == 0 {
		return nil
	}
	o := origins{}
	for _, s := range list {
		o[s] = true
	}
	return o
}

// of returns the request's origin if its pages may call what the request asks for, else "". It tells caches that the
// answer depends on it.
func (o origins) of(h http.Header, r *http.Request) string {
	if o == nil || !strings.HasPrefix(r.URL.Path, "/v1/") {
		return ""
	}
	h.Add("Vary", "Origin")
	if sent := r.Header.Values("Origin"); len(sent) == 1 && o[sent[0]] {
		return sent[0]
	}
	return ""
}

// preflight answers a browser that asks before a call, which it does without a credential, and reports whether the
// request was that.
func (o origins) preflight(w http.ResponseWriter, r *http.Request, origin string) bool {
	if origin == "" || r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}

// share lets the scripts of the origin read the answer.
func share(h http.Header, origin string) {
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
}

// checkOrigin reports why s cannot be an origin as browsers send it (RFC 6454 section 6.2). They are compared to the
// letter, so what a browser would write otherwise would never match.
func checkOrigin(s string) error {
	if strings.Contains(s, "*") || s == "null" {
		return errors.New("want the one origin of a page, such as https://duty.example; there is no origin for all")
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
		return errors.New("want scheme and host of a page, such as https://duty.example")
	}
	want := u.Scheme + "://" + hostOf(u)
	for _, c := range []byte(u.Hostname()) {
		if c > 0x7e || c <= ' ' {
			return errors.New("write the host as browsers send it, in ASCII (xn--…)")
		}
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
			return fmt.Errorf("%s is no port", p)
		}
	}
	if s != want {
		return fmt.Errorf("write it as browsers send it: %s", want)
	}
	return nil
}

// hostOf is the host as browsers write it in an origin: lower case, without the scheme's own port.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		if ip, err := netip.ParseAddr(host); err == nil {
			host = ip.String()
		}
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" && p != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + p
	}
	return host
}
