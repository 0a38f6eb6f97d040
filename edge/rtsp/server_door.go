package rtsp

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of strangers: connections that have not passed Auth.
const (
	// strangerBytes is what one may send in all. The requests that lead to Auth, an SDP among them, take a few kilobytes.
	strangerBytes = 256 << 10
	// strangerHaste is how long a client that is none of the many of its address may take for its first requests: a wall
	// of decoders that comes up at once is not cut off while it logs in.
	strangerHaste = time.Second
	// refusalsEvery is how often refusals are told in the log, with their number.
	refusalsEvery = 10 * time.Second
)

var (
	errTalkative = errors.New("sent more than 256 KiB without credentials")
	errTunnel    = errors.New("RTSP over HTTP and WebSocket is not offered")
)

// door is the listener under the library: it decides who gets in, and what those may do that have not passed Auth. The
// library reads what comes without a bound on a connection's memory where it speaks HTTP (its tunnels), so nobody gets
// there.
//
// When places for strangers are short, the oldest stranger of the address with the most goes, not the newest comer: who
// connects and says nothing keeps nobody out.
type door struct {
	net.Listener
	cfg  *ServerConfig
	done <-chan struct{}

	mu        sync.Mutex // guards the fields below
	conns     int
	strangers []*guest             // oldest first
	from      map[netip.Prefix]int // how many of them, by source; without those of trusted addresses
	strange   int                  // their sum
	refused   int                  // since told
	last      string               // the last one refused, and why
	told      time.Time
}

func newDoor(l net.Listener, cfg *ServerConfig, done <-chan struct{}) *door {
	return &door{Listener: l, cfg: cfg, done: done, from: map[netip.Prefix]int{}}
}

// secure is what the library calls for a listener with TLS: the door must see what is inside.
func (d *door) secure(_, _ string, cfg *tls.Config) (net.Listener, error) {
	d.Listener = tls.NewListener(d.Listener, cfg)
	return d, nil
}

// Accept outlives a shortage of file descriptors: it returns an error only when the listener is closed, for the library
// ends the whole server at the first one.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			select {
			case <-d.done:
				return nil, err
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if g := d.admit(c); g != nil {
			return g, nil
		}
	}
}

// admit takes a connection in, at the cost of another stranger if need be. It returns nil if all places are taken by
// clients that are known.
func (d *door) admit(c net.Conn) *guest {
	g := &guest{Conn: c, door: d, left: strangerBytes, since: time.Now()}
	addr := remoteAddr(c).Addr()
	g.source = sourceOf(addr)
	g.trusted = d.cfg.Trusted != nil && d.cfg.Trusted(addr)
	victim, ok := d.place(g)
	if victim != nil {
		_ = victim.Close()
	}
	if !ok {
		_ = c.Close()
		return nil
	}
	return g
}

// place gives g a place. victim is who loses it for that, ok tells whether there is one.
func (d *door) place(g *guest) (victim *guest, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.conns >= d.cfg.MaxConns:
		if victim = d.dispensable(true); victim == nil {
			d.note(g, "all connections are in use")
			return nil, false
		}
	case g.trusted:
	case d.strange >= d.cfg.MaxUnauthenticated:
		victim = d.dispensable(false)
	case d.from[g.source] >= d.cfg.MaxUnauthenticatedPerSource:
		if old := d.oldest(g.source); g.since.Sub(old.since) > strangerHaste {
			victim = old
		}
	}
	if victim != nil {
		d.note(victim, "made way for another: it sent no credentials yet")
		d.remove(victim)
	}
	d.conns++
	d.strangers = append(d.strangers, g)
	if !g.trusted {
		d.from[g.source]++
		d.strange++
	}
	g.timer = time.AfterFunc(d.cfg.AuthTimeout, func() { _ = g.Close() })
	return victim, true
}

// dispensable returns the oldest stranger of the source with the most, nil if there are no strangers. Those of trusted
// addresses come last, and only if they may be chosen at all. The caller holds d.mu.
func (d *door) dispensable(trusted bool) *guest {
	var most netip.Prefix
	for p, n := range d.from {
		if n > d.from[most] {
			most = p
		}
	}
	if g := d.oldest(most); g != nil {
		return g
	}
	if trusted && len(d.strangers) > 0 {
		return d.strangers[0]
	}
	return nil
}

// oldest returns the oldest stranger of a source that is not trusted, or nil. The caller holds d.mu.
func (d *door) oldest(source netip.Prefix) *guest {
	i := slices.IndexFunc(d.strangers, func(g *guest) bool { return g.source == source && !g.trusted })
	if i < 0 {
		return nil
	}
	return d.strangers[i]
}

// remove gives back a stranger's place among the strangers; false if it has none any more. The caller holds d.mu.
func (d *door) remove(g *guest) bool {
	i := slices.Index(d.strangers, g)
	if i < 0 {
		return false
	}
	d.strangers = slices.Delete(d.strangers, i, i+1)
	if !g.trusted {
		d.strange--
		if d.from[g.source]--; d.from[g.source] == 0 {
			delete(d.from, g.source)
		}
	}
	g.timer.Stop()
	return true
}

// note counts a refusal, to be told by and by. The caller holds d.mu.
func (d *door) note(g *guest, why string) {
	d.refused++
	d.last = remoteAddr(g).String() + ": " + why
}

// tell logs what was refused since the last time: one line, however many there were.
func (d *door) tell(now time.Time, log *slog.Logger) {
	d.mu.Lock()
	n, last, strangers := d.refused, d.last, len(d.strangers)
	if n == 0 || now.Sub(d.told) < refusalsEvery {
		d.mu.Unlock()
		return
	}
	d.refused, d.told = 0, now
	d.mu.Unlock()
	log.Warn("RTSP connections refused", "connections", n, "last", last, "unauthenticated", strangers)
}

// guest is a connection that got in: a stranger until it is welcomed.
type guest struct {
	net.Conn
	door    *door
	source  netip.Prefix
	trusted bool // comes from an address that is never short of places
	since   time.Time
	timer   *time.Timer // closes it unless it is welcomed in time
	known   atomic.Bool
	closed  sync.Once

	// owned by who reads
	left  int    // bytes it may still send as a stranger
	begin []byte // its first bytes, up to four
}

// welcome ends being a stranger. It may be called often.
func (g *guest) welcome() {
	if g.known.Swap(true) {
		return
	}
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.door.remove(g)
}

// Read implements net.Conn.
func (g *guest) Read(b []byte) (int, error) {
	if g.known.Load() {
		return g.Conn.Read(b)
	}
	if g.left == 0 {
		return 0, g.refuse(errTalkative)
	}
	n, err := g.Conn.Read(b[:min(len(b), g.left)])
	g.left -= n
	if more := 4 - len(g.begin); more > 0 {
		g.begin = append(g.begin, b[:min(n, more)]...)
		if s := string(g.begin); s == "GET " || s == "POST" {
			return 0, g.refuse(errTunnel)
		}
	}
	return n, err
}

// refuse ends the connection and returns why.
func (g *guest) refuse(why error) error {
	g.door.mu.Lock()
	g.door.note(g, why.Error())
	g.door.mu.Unlock()
	_ = g.Close()
	return why
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.closed.Do(func() {
		g.door.mu.Lock()
		defer g.door.mu.Unlock()
		g.door.conns--
		g.door.remove(g)
	})
	return g.Conn.Close()
}

// sourceOf returns who shares places with an address: itself for IPv4, its /64 for IPv6, of which one machine has all.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero Addr only, which is a source too
	return p
}

func remoteAddr(c net.Conn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
