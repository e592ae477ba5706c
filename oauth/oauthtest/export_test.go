package oauthtest

// Remembered returns how many refresh tokens the server remembers, and how many
// of them can be spent.
func Remembered(s *Server) (all, live int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		live += len(se.live)
	}
	return len(s.tokens), live
}
