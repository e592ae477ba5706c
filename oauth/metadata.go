package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Metadata is what a server publishes about itself beyond what [Config] holds
// (RFC 8414 section 2, OpenID Connect Discovery section 3). Servers leave out
// what they do and list what they refuse, so it serves for display and guesses.
type Metadata struct {
	// ScopesSupported are scopes that may be asked for.
	ScopesSupported []string
	// GrantTypesSupported are the grants, empty if not told.
	GrantTypesSupported []string
	// JWKSURL is where the keys are that ID tokens are signed with.
	JWKSURL string
	// ClientIDMetadataDocument tells that a client may be the https URL of a document
	// that describes it (client_id_metadata_document_supported), with which no
	// registration is needed. See the package register.
	ClientIDMetadataDocument bool
	// EndSessionURL is where a browser logs out (OpenID Connect RP-Initiated
	// Logout). See [Client.EndSessionURL].
	EndSessionURL string
	// Raw holds every member as published.
	Raw map[string]json.RawMessage
}

// extras returns what Metadata says of a document.
func extras(m member.Fields) *Metadata {
	return &Metadata{
		ScopesSupported:     m.List("scopes_supported"),
		GrantTypesSupported: m.List("grant_types_supported"),
		JWKSURL:             m.Text("jwks_uri"),

		ClientIDMetadataDocument: m.Says("client_id_metadata_document_supported"),
		EndSessionURL:            m.Text("end_session_endpoint"),
		Raw:                      m,
	}
}

// Metadata returns a copy of what [Discover] found, or nil for a Client that
// NewClient made, or whose endpoints were assumed.
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
// changes nothing: only cfg.DisablePKCE turns PKCE off. With cfg.AssumeEndpoints, an
// issuer that is an origin and publishes nothing has the endpoints /authorize, /token and
// /register, and one that publishes the metadata of an issuer below it is that one.
//
// Errors are of type [*Error]: [ErrTransient] when the server could not be
// asked or has trouble, [ErrMisconfigured] when it has no metadata (configure
// the endpoints and use [NewClient]), when its issuer is another, when it does
// not offer the way in which the client has to authenticate, when an
// endpoint is neither https nor loopback, or when one is on this machine and the issuer is
// not: such services trust every process that reaches them, and a server elsewhere must not choose what
// is sent to them. "This machine" is localhost and names below it, loopback and unspecified
// addresses, in every spelling; for names that the DNS leads there, see [PublicOnly]. It sends at most two requests, three for an
// address of metadata in a form that is neither standard's, each within
// Config.Timeout.
func Discover(ctx context.Context, issuer string, cfg Config) (*Client, error) {
	probe := NewClient(cfg)
	if probe.err != nil {
		return nil, misconfigured(opDiscover, probe.err)
	}
	doc, issuer, published, fail := findMetadata(ctx, probe.sender, issuer, cfg)
	if fail != nil {
		return nil, fail
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
	if published {
		client.meta = extras(doc)
	}
	return client, nil
}

// findMetadata returns what the server at issuer publishes, or else what
// Config.AssumeEndpoints makes up for it.
func findMetadata(ctx context.Context, sender *wire.Sender, issuer string, cfg Config) (doc member.Fields, spelled string, published bool, _ *Error) {
	if cfg.AssumeEndpoints {
		doc, spelled, published, fail := metadata.FindOrAssume(ctx, sender, issuer, cfg.IssuerTemplate)
		return doc, spelled, published, (*Error)(fail)
	}
	doc, spelled, fail := metadata.Find(ctx, sender, issuer, cfg.IssuerTemplate)
	return doc, spelled, fail == nil, (*Error)(fail)
}

// IssuerOf returns the issuer whose metadata is published at a well-known address:
// with the well-known part before the issuer's path (RFC 8414 sections 3.1 and 5) or
// behind it (OpenID Connect Discovery section 4.1). Any other address is returned as
// it is. [Discover] takes either. A slash at the end of an issuer leaves no trace in
// its well-known addresses; the result has none.
func IssuerOf(address string) string { return metadata.IssuerOf(address) }

// fitClientAuth completes cfg.ClientAuth from what the server lists, and returns an
// error if the client authenticates by key or certificate and the server offers something
// else. Secrets are not judged: of those, servers accept what they do not list.
func fitClientAuth(m member.Fields, cfg *Config) error {
	methods := m.List("token_endpoint_auth_methods_supported")
	a := cfg.auth()
	if a.open {
		cfg.ClientAuth = chosen(a, methods)
		if a.secret == cfg.ClientSecret {
			cfg.ClientAuth.secret = "" // it stays where the program has put it
		}
		a = cfg.auth()
	}
	if a.method != authPrivateKeyJWT && !a.mutualTLS() {
		return nil
	}
	if len(methods) > 0 && !slices.Contains(methods, a.method) {
		return fmt.Errorf("the server does not offer client authentication by %s; it lists %s", a.method, printableList(methods))
	}
	if a.method == authPrivateKeyJWT {
		return fitAlgorithm(m, &cfg.ClientAuth.key)
	}
	return nil
}

// chosen returns a with the one of its methods that the server lists. A list that has
// neither way to send a secret is not believed: RFC 8414 section 2 makes basic the
// default.
func chosen(a ClientAuth, methods []string) ClientAuth {
	others := map[string]string{authBasic: authPost, authMTLS: authSelfSignedMTLS}
	if other := others[a.method]; !slices.Contains(methods, a.method) && slices.Contains(methods, other) {
		a.method = other
	}
	a.open = false
	return a
}

// fitAlgorithm chooses an algorithm that both the key and the server can, or checks
// the one that is configured.
func fitAlgorithm(m member.Fields, key *AssertionKey) error {
	offered := m.List("token_endpoint_auth_signing_alg_values_supported")
	if len(offered) == 0 {
		return nil
	}
	able := []string{key.Algorithm}
	if key.Algorithm == "" {
		able = key.algorithms()
	}
	for _, alg := range able {
		if slices.Contains(offered, alg) {
			key.Algorithm = alg
			return nil
		}
	}
	return fmt.Errorf("the server does not accept assertions signed with %s; it lists %s", strings.Join(able, ", "), printableList(offered))
}

// printableList returns what may be shown of a server's list of names.
func printableList(names []string) string {
	const most = 12 // more than there are registered methods
	shown := make([]string, 0, most)
	for _, name := range names {
		if len(shown) < most && printableName(name) {
			shown = append(shown, name)
		}
	}
	return strings.Join(shown, ", ")
}

func printableName(name string) bool {
	return name != "" && len(name) <= 40 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// endpointsFor returns m with the endpoints for clients that present a
// certificate, if the client does (RFC 8705 section 5). A browser presents none.
func endpointsFor(m member.Fields, auth ClientAuth) member.Fields {
	var aliases member.Fields
	if !auth.mutualTLS() && auth.cert == nil ||
		json.Unmarshal(m["mtls_endpoint_aliases"], &aliases) != nil {
		return m
	}
	m = maps.Clone(m)
	for name := range aliases {
		if strings.HasSuffix(name, "_endpoint") && name != "authorization_endpoint" && aliases.Text(name) != "" {
			m[name] = aliases[name]
		}
	}
	return m
}

// fill puts what the metadata says into cfg, without replacing what is there.
func fill(m member.Fields, cfg *Config) error {
	m = endpointsFor(m, cfg.auth())
	endpoints := []struct {
		member, field string
		target        *string
	}{
		{"authorization_endpoint", "AuthURL", &cfg.AuthURL},
		{"token_endpoint", "TokenURL", &cfg.TokenURL},
		{"device_authorization_endpoint", "DeviceAuthURL", &cfg.DeviceAuthURL},
		{"revocation_endpoint", "RevocationURL", &cfg.RevocationURL},
		{"introspection_endpoint", "Endpoints.Introspection", &cfg.Endpoints.Introspection},
		{"userinfo_endpoint", "Endpoints.Userinfo", &cfg.Endpoints.Userinfo},
		{"pushed_authorization_request_endpoint", "Endpoints.PushedAuth", &cfg.Endpoints.PushedAuth},
		{"end_session_endpoint", "Endpoints.EndSession", &cfg.Endpoints.EndSession},
		{"registration_endpoint", "Endpoints.Registration", &cfg.Endpoints.Registration},
	}
	for _, e := range endpoints {
		check := wire.CheckEndpoint
		if *e.target == "" {
			*e.target = m.Text(e.member)
			check = func(name, endpoint string) error { return wire.CheckPublished(name, endpoint, cfg.Issuer) }
		}
		if *e.target == "" && e.member != "token_endpoint" {
			continue
		}
		if err := check("("+e.member+")", *e.target); err != nil {
			return wire.Wrong(e.field, "%w", err)
		}
	}
	if keys := m.Text("jwks_uri"); cfg.Endpoints.JWKS == "" {
		if wire.LeadsHere(keys, cfg.Issuer) {
			return wire.Wrong("Endpoints.JWKS", "(jwks_uri) is on this machine, and the server that publishes it is not")
		}
		cfg.Endpoints.JWKS = keys // whether it is https is checked when it is needed, which is seldom
	}
	if m.Says("authorization_response_iss_parameter_supported") {
		cfg.RequireIss = true
	}
	if m.Says("require_pushed_authorization_requests") {
		cfg.RequirePushedAuth = true
	}
	return nil
}
