package session

import (
	"context"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// Revoke ends the session of a client's token, or of an access token only that token
// (RFC 7009). It reports whether the token is one of the client's; with
// UnknownRevocationFails the refresh token of an ended session does not count as one.
func (s *Sessions) Revoke(ctx context.Context, clientID, token string) bool {
	return s.RevokeRefresh(ctx, clientID, token) || s.revokeAccess(ctx, clientID, token)
}

// RevokeRefresh is Revoke for refresh tokens alone.
func (s *Sessions) RevokeRefresh(ctx context.Context, clientID, token string) bool {
	se := s.sessionOf(ctx, token)
	if se == nil || se.Client != clientID {
		return false
	}
	s.OnRevoked(secret.Hash(token))
	s.mu.Lock()
	known := !se.ended || !s.cfg.UnknownRevocationFails
	se.revoked = true
	s.mu.Unlock()
	s.end(ctx, func(other *session) bool { return other == se })
	return known
}

func (s *Sessions) revokeAccess(ctx context.Context, clientID, token string) bool {
	claims, err := s.Keys.Verify(token)
	if err != nil || claims.ClientID != clientID {
		return false
	}
	if s.cfg.AccessRevocationEndsSession {
		s.EndSession(ctx, claims.Session)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if se := s.sessions[claims.Session]; se != nil {
		if se.killed == nil {
			se.killed = make(map[string]bool)
		}
		se.killed[claims.ID] = true
	}
	return true
}
