package rtsp

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"skein/internal/strangers"
)

// strangerBytes is what a connection that has not passed Auth may send in all. The requests that lead there, an SDP
// among them, take a few kilobytes.
const strangerBytes = 256 << 10

var (
	errTalkative = errors.New("sent more than 256 KiB without credentials")
	errTunnel    = errors.New("RTSP over HTTP and WebSocket is not offered")
	errCrowded   = errors.New("said too little for too long, others wait")
	errFull      = errors.New("all connections are in use")
)

// door is the listener under the library: it decides who gets in, and what those may do that have not passed Auth. The
// library reads what comes without a bound where it speaks HTTP (its tunnels), so nobody gets there.
type door struct {
	net.Listener
	cfg      *ServerConfig
	done     <-chan struct{}
	open     atomic.Int64
	lobby    *strangers.Lobby
	trusted  *strangers.Lobby // those from ServerConfig.Trusted
	refusals strangers.Refusals
}

func newDoor(l net.Listener, cfg *ServerConfig, done <-chan struct{}) *door {
	return &door{
		Listener: l, cfg: cfg, done: done, trusted: strangers.NewLobby(0, 0),
		lobby: strangers.NewLobby(cfg.MaxUnauthenticated, cfg.MaxUnauthenticatedPerSource),
	}
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

// admit takes a connection in, at the cost of a stranger if need be. It returns nil if all places are taken by clients
// that are known.
func (d *door) admit(c net.Conn) *guest {
	addr := strangers.RemoteOf(c)
	if d.open.Load() >= int64(d.cfg.MaxConns) && !d.lobby.Evict() && !d.trusted.Evict() {
		d.refusals.Note(addr.String(), errFull.Error())
		_ = c.Close()
		return nil
	}
	lobby := d.lobby
	if d.cfg.Trusted != nil && d.cfg.Trusted(addr.Addr()) {
		lobby = d.trusted
	}
	d.open.Add(1)
	g := &guest{Conn: c, door: d, left: strangerBytes}
	g.place, _ = lobby.Enter(addr.Addr(), func() { _ = g.refuse(errCrowded) })
	g.timer = time.AfterFunc(d.cfg.AuthTimeout, func() {
		if g.place.Leave() { // else it is known, or gone
			g.hangUp()
		}
	})
	return g
}

// guest is a connection that got in: a stranger until it is welcomed.
type guest struct {
	net.Conn
	door   *door
	place  *strangers.Guest
	timer  *time.Timer // closes it unless it is welcomed in time
	known  atomic.Bool
	closed sync.Once

	// owned by who reads
	left  int    // bytes it may still send as a stranger
	begin []byte // its first bytes, up to four
}

// welcome ends being a stranger. It may be called often.
func (g *guest) welcome() {
	if !g.known.Swap(true) {
		g.place.Leave()
		g.timer.Stop()
	}
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
	g.door.refusals.Note(strangers.RemoteOf(g).String(), why.Error())
	g.hangUp()
	return why
}

// hangUp ends the connection and waits for nobody.
func (g *guest) hangUp() {
	g.forget()
	strangers.HangUp(g.Conn)
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.forget()
	return g.Conn.Close()
}

// forget gives back the place of a connection that ends.
func (g *guest) forget() {
	g.closed.Do(func() {
		g.door.open.Add(-1)
		g.place.Leave()
		g.timer.Stop()
	})
}
