package rtsp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

// target is a parsed RTSP URL.
type target struct {
	url      *base.URL
	host     string // name or address, without brackets
	addr     string // host:port
	secure   bool
	password string
}

// errURL says what is wrong without repeating the URL, which may hold a password.
var errURL = errors.New("not an RTSP URL: want rtsp://[user:password@]host[:port]/path")

// parseURL parses an rtsp or rtsps URL. Credentials may hold any character, escaped or not: the user name ends at the
// first colon, the password at the last @ behind which a host follows.
func parseURL(s string) (target, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(s), "://")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "rtsp" && scheme != "rtsps") {
		return target{}, errURL
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return target{}, fmt.Errorf("%w: it holds a control character", errURL)
	}
	user, rest := splitUser(rest)
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, port, err := splitHost(authority)
	if err != nil {
		return target{}, err
	}
	t := target{host: host, secure: scheme == "rtsps"}
	if port == "" {
		port = "554"
		if t.secure {
			port = "322"
		}
	}
	t.addr = net.JoinHostPort(host, port)
	// A fragment is never sent; a # in a camera's path is meant literally.
	path = strings.ReplaceAll(path, "#", "%23")
	pathPart, query, hasQuery := strings.Cut(path, "?")
	u := &url.URL{Scheme: scheme, Host: authority, RawQuery: query, ForceQuery: hasQuery && query == ""}
	if u.Path, err = url.PathUnescape(pathPart); err != nil {
		u.Path = pathPart
	} else {
		u.RawPath = pathPart
	}
	if user != "" {
		name, pass, _ := strings.Cut(user, ":")
		t.password = unescape(pass)
		u.User = url.UserPassword(unescape(name), t.password)
	}
	t.url = (*base.URL)(u)
	return t, nil
}

// splitUser cuts the credentials off what follows the scheme.
func splitUser(rest string) (user, hostAndPath string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	host, port, err := splitHost(rest[at+1 : end])
	if err == nil && (port != "" || strings.ContainsAny(host, ".:") || at < 0) {
		// The plain reading. An @ further on belongs to the path.
		return rest[:max(at, 0)], rest[at+1:]
	}
	// What should be the host is doubtful or none: the password may hold a slash. Take the last @ behind which a host
	// follows for certain, that is an address or a name with a port, or any host if there is no plain reading.
	for i := strings.LastIndexByte(rest, '@'); i > at; i = strings.LastIndexByte(rest[:i], '@') {
		authority := rest[i+1:]
		if j := strings.IndexAny(authority, "/?#"); j >= 0 {
			authority = authority[:j]
		}
		h, p, e := splitHost(authority)
		if e == nil && (err != nil || p != "" || net.ParseIP(h) != nil) {
			return rest[:i], rest[i+1:]
		}
	}
	return rest[:max(at, 0)], rest[at+1:]
}

func splitHost(authority string) (host, port string, err error) {
	host = authority
	if strings.HasPrefix(authority, "[") {
		i := strings.IndexByte(authority, ']')
		if i < 0 {
			return "", "", fmt.Errorf("%w: missing ]", errURL)
		}
		host, authority = authority[1:i], authority[i+1:]
		if net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil || (authority != "" && authority[0] != ':') {
			return "", "", fmt.Errorf("%w: bad address in brackets", errURL)
		}
		port = strings.TrimPrefix(authority, ":")
	} else if i := strings.IndexByte(authority, ':'); i >= 0 {
		host, port = authority[:i], authority[i+1:]
		if port == "" {
			return "", "", fmt.Errorf("%w: empty port", errURL)
		}
	}
	if host == "" {
		return "", "", fmt.Errorf("%w: no host", errURL)
	}
	if strings.ContainsAny(host, " @\\\"<>") {
		return "", "", fmt.Errorf("%w: bad host", errURL)
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", "", fmt.Errorf("%w: bad port", errURL)
		}
	}
	return host, port, nil
}

// unescape decodes percent escapes; what is no valid escape stays as it is.
func unescape(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// Redact returns an RTSP URL without its credentials, for logs and messages. What it cannot parse it hides.
func Redact(s string) string {
	t, err := parseURL(s)
	if err != nil {
		return "(invalid url)"
	}
	return t.redacted()
}

// CheckURL tells whether s is an RTSP URL that Pull and Publish accept. The error never repeats s.
func CheckURL(s string) error {
	_, err := parseURL(s)
	return err
}

func (t target) redacted() string { return t.url.CloneWithoutCredentials().String() }

// clean makes sure that the text of err holds neither the password nor the credentials of a URL.
func (t target) clean(err error) error {
	if err == nil || t.password == "" {
		return err
	}
	msg := err.Error()
	for _, secret := range []string{
		t.password, url.QueryEscape(t.password), url.PathEscape(t.password), t.url.User.String(),
	} {
		if len(secret) > 2 && strings.Contains(msg, secret) {
			return redacted(strings.ReplaceAll(msg, secret, "***"))
		}
	}
	return err
}
