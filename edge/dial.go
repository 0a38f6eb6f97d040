package edge

import (
	"context"
	"net/url"
	"sync"
)

// dialLimit bounds connection attempts, in total and per host.
type dialLimit struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex // guards hosts
	hosts map[string]*hostLimit
}

type hostLimit struct {
	slots chan struct{}
	users int
}

func newDialLimit(total, perHost int) *dialLimit {
	return &dialLimit{all: make(chan struct{}, total), perHost: perHost, hosts: map[string]*hostLimit{}}
}

// acquire waits for a place to dial rawURL's host; release gives it back and may be called once.
func (d *dialLimit) acquire(ctx context.Context, rawURL string) (release func(), err error) {
	host := ""
	if u, err := url.Parse(rawURL); err == nil {
		host = u.Host
	}
	h := d.enter(host)
	// The host's place first: an attempt that waits for a busy host must not hold a place of all.
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		d.leave(host)
		return nil, ctx.Err()
	}
	select {
	case d.all <- struct{}{}:
	case <-ctx.Done():
		<-h.slots
		d.leave(host)
		return nil, ctx.Err()
	}
	return func() {
		<-d.all
		<-h.slots
		d.leave(host)
	}, nil
}

func (d *dialLimit) enter(host string) *hostLimit {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hosts[host]
	if h == nil {
		h = &hostLimit{slots: make(chan struct{}, d.perHost)}
		d.hosts[host] = h
	}
	h.users++
	return h
}

func (d *dialLimit) leave(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hosts[host]
	if h.users--; h.users == 0 {
		delete(d.hosts, host)
	}
}
