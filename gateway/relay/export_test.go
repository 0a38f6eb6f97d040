package relay

// Running tells whether Run has begun to take offers.
func Running(r *Relay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transport != nil
}

// FragmentOf and RewriteICE let a test client restart ICE.
func FragmentOf(sdp string) Fragment           { return fragmentOf(sdp) }
func RewriteICE(sdp string, f Fragment) string { return rewriteICE(sdp, f) }
