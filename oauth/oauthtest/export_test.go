package oauthtest

// Remembered returns how many refresh tokens the server remembers, and how many
// of them can be spent.
func Remembered(s *Server) (all, live int) { return s.engine.Sessions.Remembered() }

// CutIn ends a body in the middle of a member.
func CutIn(body []byte, member string) []byte { return cutIn(body, member) }
