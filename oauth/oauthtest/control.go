package oauthtest

import (
	"context"
	"maps"

	"github.com/golang-jwt/jwt/v5"
)

// RevokeAll ends all sessions of user from the server's side, as a change of
// password does. The auditor does not hold the next refresh against the client.
func (s *Server) RevokeAll(user string) { s.engine.Sessions.EndUser(context.Background(), user) }

// EndUser removes user from the server, with all sessions.
func (s *Server) EndUser(user string) {
	s.engine.Users.Remove(user)
	s.RevokeAll(user)
}

// ExpireAccess makes the server reject the access tokens that user has now,
// however long they were to live. Refresh tokens stay valid.
func (s *Server) ExpireAccess(user string) { s.engine.Sessions.ExpireAccess(user) }

// Sessions returns how many sessions of user have not ended or expired.
func (s *Server) Sessions(user string) int { return s.engine.Sessions.Count(user) }

// SetClientSecret gives a client of the configuration another secret. The one before
// is refused from now on, as invalid_client; OAuthConfig has the new one. It does
// nothing without such a client.
func (s *Server) SetClientSecret(clientID, secret string) {
	s.engine.Clients.SetSecret(clientID, secret)
}

// SignIDToken returns an ID token with these claims and no others, signed with
// the server's newest key. It is for answers that a Fault.Edit changes.
func (s *Server) SignIDToken(claims map[string]any) string {
	return s.engine.Keys.Sign("JWT", jwt.MapClaims(maps.Clone(claims)))
}

// RotateKeys makes the server sign with a new key from now on. What was signed
// with earlier keys stays valid, and the JWKS endpoint shows them too.
func (s *Server) RotateKeys() { s.engine.Keys.Rotate() }
