package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"skein/config"
	principal "skein/gateway/access"
	"skein/internal/caller"
)

const (
	recorderDial = 3 * time.Second  // until a recorder that does not answer is passed by
	recorderRest = 15 * time.Second // for how long it is then asked last
)

// archiveProxy hands archive requests to the first recorder that can be reached, with the node's token; nil without
// recorders.
func archiveProxy(cfg *config.Config) (http.Handler, error) {
	if len(cfg.Recorder.URLs) == 0 {
		return nil, nil
	}
	recorders := &anyRecorder{down: map[*url.URL]time.Time{}}
	for _, raw := range cfg.Recorder.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, errors.New("recorder.urls: malformed URL")
		}
		recorders.urls = append(recorders.urls, u)
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented type
	t.DialContext = (&net.Dialer{Timeout: recorderDial}).DialContext
	recorders.next = t
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = ""
			r.Out.Header.Del("Cookie")
			r.Out.Header.Set("Authorization", "Bearer "+cfg.Recorder.Token.Reveal())
			r.Out.Header.Del(caller.Header)
			if p, ok := person(r.In); ok {
				r.Out.Header.Set(caller.Header, p.Encode())
			}
		},
		Transport:     recorders,
		FlushInterval: -1, // clips are streamed while they are built
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(`{"title":"Bad Gateway","status":502,"detail":"the recorder does not answer"}`))
		},
	}, nil
}

// person tells for whom a request to the archive is made: the recorder lets nobody read who is not named.
func person(r *http.Request) (caller.Person, bool) {
	p, ok := principal.FromContext(r.Context())
	if !ok {
		return caller.Person{}, false
	}
	out := caller.Person{
		Name: p.Name, Kind: string(p.Kind), Role: string(p.Role), Unit: p.Unit,
		Retrieval: r.URL.Query().Get("retrieval"), Reason: r.URL.Query().Get("reason"),
	}
	if r.RemoteAddr != "" { // none: the gateway itself asks, for somebody's wall
		out.Address = principal.RemoteIP(r)
	}
	return out, true
}

// anyRecorder asks the recorders of one archive in the order given, those that could not be reached lately last. Only
// what has not been sent at all is asked of another.
type anyRecorder struct {
	urls []*url.URL
	next http.RoundTripper

	mu   sync.Mutex // guards the field below
	down map[*url.URL]time.Time
}

// RoundTrip implements http.RoundTripper.
func (a *anyRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	var errs []error
	for _, u := range a.order() {
		out := httputil.ProxyRequest{In: r, Out: r.Clone(r.Context())}
		out.SetURL(u)
		resp, err := a.next.RoundTrip(out.Out)
		var op *net.OpError
		unreached := errors.As(err, &op) && op.Op == "dial" && r.Context().Err() == nil
		a.note(u, unreached)
		if !unreached {
			return resp, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (a *anyRecorder) order() []*url.URL {
	a.mu.Lock()
	defer a.mu.Unlock()
	var up, down []*url.URL
	for _, u := range a.urls {
		if at, ok := a.down[u]; ok && time.Since(at) < recorderRest {
			down = append(down, u)
		} else {
			up = append(up, u)
		}
	}
	return append(up, down...)
}

func (a *anyRecorder) note(u *url.URL, unreached bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if unreached {
		a.down[u] = time.Now()
	} else {
		delete(a.down, u)
	}
}
