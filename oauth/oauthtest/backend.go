package oauthtest

import (
	"github.com/evertoken/evertoken/internal/authserver/backend"
	"github.com/evertoken/evertoken/oauth"
)

// A Backend is a home-grown JSON backend that the server plays beside its OAuth
// endpoints: other paths, fields and errors for the same users, sessions and
// protected resource, with the same faults and auditor. It is named by the path
// of its base URL below the issuer.
type Backend string

const (
	// KratosBackend speaks oauth.KratosDialect. Its refresh tokens are JWTs with
	// Config.JWTRefreshTokens.
	KratosBackend Backend = backend.Kratos
	// SanicJWTBackend speaks oauth.SanicJWTDialect. It never rotates.
	SanicJWTBackend Backend = backend.SanicJWT
	// GinJWTBackend speaks oauth.GinJWTDialect, by JSON, form and cookie. The
	// original detects no reuse: see Config.NoReuseDetection. It answers every
	// logout alike, and a token that is not live ends nothing.
	GinJWTBackend Backend = backend.GinJWT
	// ASPNETBackend speaks oauth.ASPNETDialect.
	ASPNETBackend Backend = backend.ASPNET
	// CookieBackend speaks oauth.CookieDialect.
	CookieBackend Backend = backend.Cookie
)

// DialectConfig returns a configuration for oauth.NewDialectClient to talk to b.
// After New it has the in-process Client; after NewServer it uses sockets.
func (s *Server) DialectConfig(b Backend) oauth.DialectConfig {
	cfg := oauth.DialectConfig{BaseURL: s.Endpoint(Endpoint(b))}
	if s.http == nil {
		cfg.HTTPClient = s.Client()
	}
	return cfg
}

// LoginEndpoint is where b takes name and password.
func (b Backend) LoginEndpoint() Endpoint {
	login, _, _ := backend.Paths(string(b))
	return Endpoint(login)
}

// RefreshEndpoint is where b takes refresh tokens.
func (b Backend) RefreshEndpoint() Endpoint {
	_, refresh, _ := backend.Paths(string(b))
	return Endpoint(refresh)
}

// LogoutEndpoint is where b ends sessions; empty if it cannot.
func (b Backend) LogoutEndpoint() Endpoint {
	_, _, logout := backend.Paths(string(b))
	return Endpoint(logout)
}
