package oauthtest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

type certificateKey struct{}

// certificateIn returns the thumbprint of the certificate that the access tokens
// of a token request are bound to, or "".
func certificateIn(ctx context.Context) string {
	thumbprint, _ := ctx.Value(certificateKey{}).(string)
	return thumbprint
}

// withCertificate returns r for a client whose access tokens are bound to the
// certificate of the connection (RFC 8705 section 3), or a refusal.
func withCertificate(r *http.Request, c RegisteredClient) (*http.Request, *answer) {
	if !c.CertificateBound {
		return r, nil
	}
	thumbprint := certificateOf(r)
	if thumbprint == "" {
		return nil, badRequest("invalid_request", "the client's tokens are bound to a certificate, and there is none")
	}
	return r.WithContext(context.WithValue(r.Context(), certificateKey{}, thumbprint)), nil
}

// certificateOf returns the SHA-256 thumbprint (x5t#S256) of the certificate of r's
// connection, or "".
func certificateOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// checkCertificate refuses a living access token that is bound to another
// certificate than that of r's connection, or returns nil.
func (s *Server) checkCertificate(r *http.Request, token string, claims *accessClaims) *answer {
	if claims.Confirmation == nil || claims.Confirmation.Certificate == "" {
		return nil
	}
	presented := certificateOf(r)
	if presented == "" {
		s.audit.note(PresentedBare, hashOf(token)[:12])
	}
	if presented != claims.Confirmation.Certificate {
		return s.challenge(http.StatusUnauthorized, "invalid_token", "The access token is bound to another certificate", "")
	}
	return nil
}
