package oauthtest

// Remembered returns how many refresh tokens the server remembers, and how many
// of them can be spent.
func Remembered(s *Server) (all, live int) { return s.engine.Sessions.Remembered() }
