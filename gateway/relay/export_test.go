package relay

import (
	"maps"
	"slices"
)

// Running tells whether Run has begun to take offers.
func Running(r *Relay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transport != nil
}

// FragmentOf and RewriteICE let a test client restart ICE.
func FragmentOf(sdp string) Fragment           { return fragmentOf(sdp) }
func RewriteICE(sdp string, f Fragment) string { return rewriteICE(sdp, f) }

// Kept is what a session keeps of its offer.
func Kept(r *Relay, id string) string {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	s.ice.Lock()
	defer s.ice.Unlock()
	return s.offer
}

// Queued is how much waits for all ICE-TCP viewers together.
func Queued(r *Relay) (n int) {
	for _, c := range tcpConns(r) {
		c.mu.Lock()
		n += c.bytes
		c.mu.Unlock()
	}
	return n
}

// TCPConns is how many ICE-TCP connections there are.
func TCPConns(r *Relay) int { return len(tcpConns(r)) }

func tcpConns(r *Relay) []*tcpConn {
	r.mu.Lock()
	l := r.transport.tcp.tcpListener
	r.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.conns))
}
