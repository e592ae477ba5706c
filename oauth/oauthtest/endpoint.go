package oauthtest

import (
	"net/http"
	"strings"
)

// An Endpoint is one of the server's endpoints, by its path below the issuer.
type Endpoint string

// The endpoints. Metadata of RFC 8414 has its path in front of the issuer's, that
// of RFC 9728 in front of the resource's.
const (
	TokenEndpoint               Endpoint = "/token"
	AuthorizeEndpoint           Endpoint = "/authorize"
	LoginEndpoint               Endpoint = "/login"
	DeviceAuthorizationEndpoint Endpoint = "/device_authorization"
	DeviceEndpoint              Endpoint = "/device"
	RevocationEndpoint          Endpoint = "/revoke"
	IntrospectionEndpoint       Endpoint = "/introspect"
	UserinfoEndpoint            Endpoint = "/userinfo"
	PushedAuthorizationEndpoint Endpoint = "/par"
	EndSessionEndpoint          Endpoint = "/logout"
	RegistrationEndpoint        Endpoint = "/register"
	ResourceEndpoint            Endpoint = "/resource"
	JWKSEndpoint                Endpoint = "/jwks"
	MetadataEndpoint            Endpoint = "/.well-known/oauth-authorization-server"
	OpenIDEndpoint              Endpoint = "/.well-known/openid-configuration"
	ResourceMetadataEndpoint    Endpoint = "/.well-known/oauth-protected-resource"
	styleEndpoint               Endpoint = "/style.css"

	// AnyEndpoint stands for all of them.
	AnyEndpoint Endpoint = "*"
)

// endpointOf returns the endpoint that path belongs to, or "".
func (s *Server) endpointOf(path string) Endpoint {
	if path == string(MetadataEndpoint)+s.cfg.IssuerPath {
		return MetadataEndpoint
	}
	if path == string(ResourceMetadataEndpoint)+s.base+string(ResourceEndpoint) {
		return ResourceMetadataEndpoint
	}
	below, ok := strings.CutPrefix(path, s.base)
	if !ok {
		return ""
	}
	e := Endpoint(below)
	if strings.HasPrefix(below, string(ResourceEndpoint)+"/") {
		e = ResourceEndpoint
	}
	if e == MetadataEndpoint || e == ResourceMetadataEndpoint || s.handler(e) == nil {
		return ""
	}
	return e
}

// handler returns what serves e, or nil.
func (s *Server) handler(e Endpoint) func(*http.Request) *answer {
	switch e {
	case TokenEndpoint:
		return s.serveTokenDPoP
	case AuthorizeEndpoint:
		return s.serveAuthorize
	case LoginEndpoint:
		return s.serveLogin
	case DeviceAuthorizationEndpoint:
		return s.serveDeviceAuthorization
	case DeviceEndpoint:
		return s.serveDevice
	case RevocationEndpoint:
		return s.serveRevocation
	case IntrospectionEndpoint:
		return s.serveIntrospection
	case UserinfoEndpoint:
		return s.protected(s.serveUserinfo)
	case PushedAuthorizationEndpoint:
		return s.servePushedAuthorization
	case EndSessionEndpoint:
		return s.serveEndSession
	case RegistrationEndpoint:
		return s.serveRegistration
	case ResourceMetadataEndpoint:
		return s.serveResourceMetadata
	case ResourceEndpoint:
		return s.protected(s.serveResource)
	case JWKSEndpoint:
		return s.serveJWKS
	case MetadataEndpoint, OpenIDEndpoint:
		return s.serveMetadata
	case styleEndpoint:
		return s.serveStyle
	}
	return s.backendHandler(e)
}

// methods lists what e answers to.
func (e Endpoint) methods() []string {
	switch e {
	case TokenEndpoint, LoginEndpoint, DeviceAuthorizationEndpoint, RevocationEndpoint, IntrospectionEndpoint,
		PushedAuthorizationEndpoint:
		return []string{http.MethodPost}
	case AuthorizeEndpoint, DeviceEndpoint, UserinfoEndpoint, EndSessionEndpoint:
		return []string{http.MethodGet, http.MethodPost}
	case RegistrationEndpoint:
		return []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
	case ResourceEndpoint:
		return nil // all
	}
	if _, found := backendAt(e); found {
		return []string{http.MethodPost}
	}
	return []string{http.MethodGet, http.MethodHead}
}
