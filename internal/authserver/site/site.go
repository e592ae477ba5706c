// Package site knows where the authorization server is reached.
package site

import (
	"strings"
)

// The endpoints by their paths below the issuer. Metadata of RFC 8414 has its path
// in front of the issuer's, that of RFC 9728 in front of the resource's.
const (
	Token               = "/token"
	Authorize           = "/authorize"
	Login               = "/login"
	DeviceAuthorization = "/device_authorization"
	Device              = "/device"
	Revocation          = "/revoke"
	Introspection       = "/introspect"
	Userinfo            = "/userinfo"
	PushedAuthorization = "/par"
	EndSession          = "/logout"
	Registration        = "/register"
	Resource            = "/resource"
	JWKS                = "/jwks"
	Metadata            = "/.well-known/oauth-authorization-server"
	OpenID              = "/.well-known/openid-configuration"
	ResourceMetadata    = "/.well-known/oauth-protected-resource"
	Style               = "/style.css"
)

// A Site is the place of a server.
type Site struct {
	Origin string // with neither a path nor a final slash
	Path   string // of the issuer, such as "/tenant"; or ""
	AtRoot bool   // the resource's metadata is at the origin's well-known address
}

// Base is the issuer's path without a final slash.
func (s Site) Base() string { return strings.TrimSuffix(s.Path, "/") }

// Issuer is the issuer identifier (RFC 8414 section 2).
func (s Site) Issuer() string { return s.Origin + s.Path }

// URL returns the address of an endpoint.
func (s Site) URL(endpoint string) string {
	switch endpoint {
	case Metadata: // RFC 8414 section 3.1
		return s.Origin + endpoint + s.Path
	case ResourceMetadata:
		return s.Origin + s.resourceMetadata()
	}
	return s.Origin + s.Base() + endpoint
}

// resourceMetadata is the path of the resource's metadata: that of RFC 9728 section 3.1, or
// the origin's, where the Model Context Protocol has servers put it too.
func (s Site) resourceMetadata() string {
	if s.AtRoot {
		return ResourceMetadata
	}
	return ResourceMetadata + s.Base() + Resource
}

// EndpointOf returns the endpoint that a path would be, or "". Every path below the
// resource belongs to it.
func (s Site) EndpointOf(path string) string {
	switch path {
	case Metadata + s.Path:
		return Metadata
	case s.resourceMetadata():
		return ResourceMetadata
	}
	below, ok := strings.CutPrefix(path, s.Base())
	switch {
	case !ok, below == Metadata, below == ResourceMetadata:
		return ""
	case strings.HasPrefix(below, Resource+"/"):
		return Resource
	}
	return below
}
