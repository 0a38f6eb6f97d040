// Package strangers gives places to connections of clients that have not said yet who they are.
//
// A port that anybody reaches has a bounded number of such places, and whoever connects and says nothing can take them
// all. So nobody is refused here because others wait: where places are short, the one that has waited longest goes, of
// the source that has the most. A source is an IPv4 address or an IPv6 /64. The owner of a port enters each connection
// and lets it leave when its client is known, or when it ends.
package strangers

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// haste is how long a client may take for its first words when others of its address do too: players that come up
// together are not cut off while they sign in.
const haste = time.Second

// Lobby holds the guests of one port. Its methods may be called by several goroutines.
type Lobby struct {
	most, each int

	mu     sync.Mutex // guards the fields below; never held while evicting
	guests []*Guest   // oldest first
	from   map[netip.Prefix]int
}

// NewLobby returns a lobby for most guests, of which each source may have so many for longer than a moment. 0 is no
// bound.
func NewLobby(most, each int) *Lobby {
	return &Lobby{most: most, each: each, from: map[netip.Prefix]int{}}
}

// Guest is one place of a Lobby.
type Guest struct {
	lobby  *Lobby
	source netip.Prefix
	since  time.Time
	evict  func()
}

// Enter gives a place to a client at addr. If that takes another's, its evict is called before Enter returns, and
// evicted tells so. evict of the new guest may be called as soon as it is in, by any goroutine, at most once and never
// after Leave has returned true.
func (l *Lobby) Enter(addr netip.Addr, evict func()) (g *Guest, evicted bool) {
	g = &Guest{lobby: l, source: sourceOf(addr), since: time.Now(), evict: evict}
	l.mu.Lock()
	var victim *Guest
	switch {
	case l.most > 0 && len(l.guests) >= l.most:
		victim = l.longest()
	case l.each > 0 && l.from[g.source] >= l.each:
		if old := l.oldest(g.source); g.since.Sub(old.since) > haste {
			victim = old
		}
	}
	l.remove(victim)
	l.guests = append(l.guests, g)
	l.from[g.source]++
	l.mu.Unlock()
	if victim != nil {
		victim.evict()
	}
	return g, victim != nil
}

// Evict takes the place of the guest that goes first. It reports whether there was one.
func (l *Lobby) Evict() bool {
	l.mu.Lock()
	victim := l.longest()
	l.remove(victim)
	l.mu.Unlock()
	if victim == nil {
		return false
	}
	victim.evict()
	return true
}

// Guests returns how many there are.
func (l *Lobby) Guests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.guests)
}

// Leave gives the place back; false if it was lost before. It may be called often.
func (g *Guest) Leave() bool {
	g.lobby.mu.Lock()
	defer g.lobby.mu.Unlock()
	return g.lobby.remove(g)
}

// longest returns the oldest guest of the source with the most, or nil. The caller holds l.mu.
func (l *Lobby) longest() *Guest {
	var source netip.Prefix
	for p, n := range l.from {
		if n > l.from[source] {
			source = p
		}
	}
	return l.oldest(source)
}

// oldest returns the oldest guest of a source, or nil. The caller holds l.mu.
func (l *Lobby) oldest(source netip.Prefix) *Guest {
	i := slices.IndexFunc(l.guests, func(g *Guest) bool { return g.source == source })
	if i < 0 {
		return nil
	}
	return l.guests[i]
}

// remove forgets a guest, if it is there. The caller holds l.mu.
func (l *Lobby) remove(g *Guest) bool {
	i := slices.Index(l.guests, g)
	if i < 0 {
		return false
	}
	l.guests = slices.Delete(l.guests, i, i+1)
	if l.from[g.source]--; l.from[g.source] == 0 {
		delete(l.from, g.source)
	}
	return true
}

// sourceOf returns who shares places with an address: itself for IPv4, its /64 for IPv6, of which one machine has all.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero Addr only, which is a source too
	return p
}

// RemoteOf returns the address of a connection's far end, the zero one if it has none.
func RemoteOf(c net.Conn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// HangUp closes a connection at once. TLS would say goodbye first, and wait for a client that takes nothing.
func HangUp(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}
