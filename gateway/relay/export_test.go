package relay

// Running tells whether Run has begun to take offers.
func Running(r *Relay) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transport != nil
}
