package stream

// LockForTest holds the stream's mutex until the returned func is called.
func LockForTest(s *Stream) (unlock func()) {
	s.mu.Lock()
	return s.mu.Unlock
}
