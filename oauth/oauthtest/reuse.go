package oauthtest

import (
	"context"
	"net/http"
)

// punish gives a refused request with a refresh token the consequences that
// Quirks have for it.
func (s *Server) punish(r *http.Request) {
	raw := r.PostForm.Get("refresh_token")
	if raw == "" {
		return
	}
	ctx := detached(r)
	if s.cfg.Quirks.RevokedIsReused && s.wasRevoked(raw) {
		user := s.sessionOf(ctx, raw).User
		s.endSessions(ctx, func(se *session) bool { return se.User == user })
	}
	if s.cfg.Quirks.FailureSpends {
		s.forfeit(ctx, raw)
	}
}

// wasRevoked reports whether raw is of a session whose client has revoked it.
func (s *Server) wasRevoked(raw string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[hashOf(raw)]
	return st != nil && st.session.revoked
}

// forfeit makes raw a refresh token that can no longer be spent. Its session goes
// on without it.
func (s *Server) forfeit(ctx context.Context, raw string) {
	hash := hashOf(raw)
	s.mu.Lock()
	if st := s.tokens[hash]; st != nil {
		delete(st.session.live, hash)
	}
	s.mu.Unlock()
	// A store that fails keeps a token that the session no longer lists.
	_ = s.cfg.RefreshTokens.Delete(ctx, hash)
}
