package oauthtest

import (
	"github.com/evertoken/evertoken/internal/authserver/backend"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// A Backend is a home-grown JSON backend that the server plays beside its OAuth
// endpoints: other paths, fields and errors for the same users, sessions and
// protected resource, with the same faults and auditor. It is named by the path
// of its base URL below the issuer.
//
// Those of a framework are its twins: they give the same answers as were seen of the
// framework itself, and [BackendSettings] are what its users set.
type Backend string

const (
	// KratosBackend is a backend that speaks dialect.Kratos by encoders of its own: names
	// as in the protocol buffers, errors under "error". Its refresh tokens are JWTs with
	// Config.JWTRefreshTokens.
	KratosBackend Backend = backend.Kratos
	// GoKratosBackend is the twin of go-kratos 2.8 by HTTP, as the framework is by default:
	// names in camel case, 64-bit numbers as strings, errors at the top, a media type on
	// every request. A logout wants an access token that lives. It has an API at /api/v1/me.
	GoKratosBackend Backend = backend.GoKratos
	// SanicJWTBackend is the twin of sanic-jwt 1.8, and speaks dialect.SanicJWT. It never
	// rotates, a login overwrites the refresh token that the person had before, and it
	// has no logout. It has an API at /auth/verify.
	SanicJWTBackend Backend = backend.SanicJWT
	// GinJWTBackend is the twin of gin-jwt 3.5, and speaks dialect.GinJWT, by JSON, form and
	// cookie. The original detects no reuse: see Config.NoReuseDetection. It answers every
	// logout alike, and a token that is not live ends nothing. It has an API at /auth/hello.
	GinJWTBackend Backend = backend.GinJWT
	// GinJWT2Backend is the twin of gin-jwt 2.10, and speaks dialect.GinJWT2: access tokens
	// renew themselves. It has an API at /auth/hello.
	GinJWT2Backend Backend = backend.GinJWT2
	// ASPNETBackend speaks dialect.ASPNET, as servers do that follow a tutorial.
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

// LoginEndpoint is where b takes name and password, if the server sets no other path.
func (b Backend) LoginEndpoint() Endpoint { return Endpoint(backend.DefaultPaths(string(b)).Login) }

// RefreshEndpoint is where b takes refresh tokens, if the server sets no other path.
func (b Backend) RefreshEndpoint() Endpoint {
	return Endpoint(backend.DefaultPaths(string(b)).Refresh)
}

// LogoutEndpoint is where b ends sessions; empty if it cannot.
func (b Backend) LogoutEndpoint() Endpoint { return Endpoint(backend.DefaultPaths(string(b)).Logout) }

// APIEndpoint is where b has an API of its own that wants an access token, as the framework
// does, if the server sets no other path; empty if there is none. The server's Resource
// takes the tokens of all backends, in the words of RFC 6750.
func (b Backend) APIEndpoint() Endpoint { return Endpoint(backend.DefaultPaths(string(b)).API) }

// BackendEndpoints are where the server has the four endpoints of b, by its settings. Those
// that b has not are empty.
func (s *Server) BackendEndpoints(b Backend) (login, refresh, logout, api Endpoint) {
	p := s.engine.BackendPaths(string(b))
	return Endpoint(p.Login), Endpoint(p.Refresh), Endpoint(p.Logout), Endpoint(p.API)
}
