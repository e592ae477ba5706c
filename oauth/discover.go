package oauth

import (
	"context"
	"maps"
	"slices"

	"github.com/evertoken/evertoken/oauth/internal/metadata"
)

// Metadata returns a copy of what [Discover] found, or nil for a Client that
// NewClient made.
func (c *Client) Metadata() *Metadata {
	if c.meta == nil {
		return nil
	}
	m := *c.meta
	m.ScopesSupported = slices.Clone(m.ScopesSupported)
	m.GrantTypesSupported = slices.Clone(m.GrantTypesSupported)
	m.Raw = maps.Clone(m.Raw)
	for name, value := range m.Raw {
		m.Raw[name] = slices.Clone(value)
	}
	return &m
}

// Discover asks the server at issuer for its endpoints, and returns a client for
// them. It looks for RFC 8414 metadata first, then for OpenID Connect Discovery,
// and takes the first document whose issuer equals the given one exactly, or
// cfg.IssuerTemplate; HTML
// and other answers under these addresses are passed over. No redirect is
// followed.
//
// For issuer also serves the address of the metadata, which people copy from
// documentation: it is asked first, and the issuer is derived from it as [IssuerOf]
// does, or with a slash at its end if the server spells it so.
//
// Endpoints that cfg names are kept, and so is cfg.ClientAuth; otherwise that is
// chosen from what the server lists: a secret is sent by HTTP Basic if it may, else in
// the body. A client with a key or certificate gets the method and algorithm for it,
// fails if the server lists others only, and with a certificate uses the server's
// mtls_endpoint_aliases (RFC 8705 section 5). RequireIss is set when the server
// announces iss (RFC 9207), RequirePushedAuth when it takes no other requests (RFC
// 9126 section 5). cfg.Issuer is overwritten. That a server does not list S256
// changes nothing: only cfg.DisablePKCE turns PKCE off.
//
// Errors are of type [*Error]: [ErrTransient] when the server could not be
// asked or has trouble, [ErrMisconfigured] when it has no metadata (configure
// the endpoints and use [NewClient]), when its issuer is another, when it does
// not offer the way in which the client has to authenticate, or when an
// endpoint is neither https nor loopback. It sends at most two requests, three for an
// address of metadata in a form that is neither standard's, each within
// Config.Timeout.
func Discover(ctx context.Context, issuer string, cfg Config) (*Client, error) {
	probe := NewClient(cfg)
	if probe.err != nil {
		return nil, misconfigured(opDiscover, probe.err)
	}
	doc, issuer, found := metadata.Find(ctx, probe.sender, issuer, cfg.IssuerTemplate)
	if found != nil {
		return nil, (*Error)(found)
	}
	cfg.Issuer = issuer
	if err := fitClientAuth(doc, &cfg); err != nil {
		fail := misconfigured(opDiscover, err)
		fail.Hint = "register the client for what the server offers; if it is known to accept this nevertheless, configure the endpoints and use NewClient"
		return nil, fail
	}
	if err := fill(doc, &cfg); err != nil {
		fail := misconfigured(opDiscover, err)
		fail.Hint = "name the endpoint in Config to replace the published one"
		return nil, fail
	}
	client := NewClient(cfg)
	client.meta = extras(doc)
	return client, nil
}

// IssuerOf returns the issuer whose metadata is published at a well-known address:
// with the well-known part before the issuer's path (RFC 8414 sections 3.1 and 5) or
// behind it (OpenID Connect Discovery section 4.1). Any other address is returned as
// it is. [Discover] takes either. A slash at the end of an issuer leaves no trace in
// its well-known addresses; the result has none.
func IssuerOf(address string) string { return metadata.IssuerOf(address) }
