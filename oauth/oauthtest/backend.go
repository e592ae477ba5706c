package oauthtest

import (
	"github.com/evertoken/evertoken/internal/authserver/backend"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// A Backend is a home-grown JSON backend that the server plays beside its OAuth
// endpoints: other paths, fields and errors for the same users, sessions and
// protected resource, with the same faults and auditor. It is named by the path
// of its base URL below the issuer.
type Backend string

const (
	// KratosBackend speaks dialect.Kratos. Its refresh tokens are JWTs with
	// Config.JWTRefreshTokens.
	KratosBackend Backend = backend.Kratos
	// SanicJWTBackend speaks dialect.SanicJWT. It never rotates.
	SanicJWTBackend Backend = backend.SanicJWT
	// GinJWTBackend speaks dialect.GinJWT, by JSON, form and cookie. The
	// original detects no reuse: see Config.NoReuseDetection. It answers every
	// logout alike, and a token that is not live ends nothing.
	GinJWTBackend Backend = backend.GinJWT
	// ASPNETBackend speaks dialect.ASPNET.
	ASPNETBackend Backend = backend.ASPNET
	// CookieBackend speaks dialect.Cookie.
	CookieBackend Backend = backend.Cookie
)

// DialectConfig returns a configuration for dialect.NewClient to talk to b.
// After New it has the in-process Client; after NewServer it uses sockets.
func (s *Server) DialectConfig(b Backend) dialect.Config {
	cfg := dialect.Config{BaseURL: s.Endpoint(Endpoint(b))}
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
