package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"

	"github.com/golang-jwt/jwt/v5"
)

// SignIDToken returns an ID token with these claims and no others, signed with
// the server's newest key. It is for answers that a Fault.Edit changes.
func (s *Server) SignIDToken(claims map[string]any) string {
	return s.keys.sign("JWT", jwt.MapClaims(maps.Clone(claims)))
}

// RotateKeys makes the server sign with a new key from now on. What was signed
// with earlier keys stays valid, and the JWKS endpoint shows them too.
func (s *Server) RotateKeys() { s.keys.rotate() }

// leftHalf is at_hash for ES256 (OpenID Connect Core section 3.1.3.6).
func leftHalf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
