package oauthtest

import "github.com/evertoken/evertoken/internal/authserver/site"

// An Endpoint is one of the server's endpoints, by its path below the issuer.
type Endpoint string

// The endpoints. Metadata of RFC 8414 has its path in front of the issuer's, that
// of RFC 9728 in front of the resource's.
const (
	TokenEndpoint               Endpoint = site.Token
	AuthorizeEndpoint           Endpoint = site.Authorize
	LoginEndpoint               Endpoint = site.Login
	DeviceAuthorizationEndpoint Endpoint = site.DeviceAuthorization
	DeviceEndpoint              Endpoint = site.Device
	RevocationEndpoint          Endpoint = site.Revocation
	IntrospectionEndpoint       Endpoint = site.Introspection
	UserinfoEndpoint            Endpoint = site.Userinfo
	PushedAuthorizationEndpoint Endpoint = site.PushedAuthorization
	EndSessionEndpoint          Endpoint = site.EndSession
	RegistrationEndpoint        Endpoint = site.Registration
	ResourceEndpoint            Endpoint = site.Resource
	JWKSEndpoint                Endpoint = site.JWKS
	MetadataEndpoint            Endpoint = site.Metadata
	OpenIDEndpoint              Endpoint = site.OpenID
	ResourceMetadataEndpoint    Endpoint = site.ResourceMetadata

	// AnyEndpoint stands for all of them.
	AnyEndpoint Endpoint = "*"
)
