package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

const opDiscover = "discover"

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
	// EndSessionURL is where a browser logs out (OpenID Connect RP-Initiated
	// Logout). See [Client.EndSessionURL].
	EndSessionURL string
	// Raw holds every member as published.
	Raw map[string]json.RawMessage
}

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
// chosen from what the server lists: basic if it may, else post. A client with a
// key or certificate gets the method and algorithm for it, fails if the server
// lists others only, and with a certificate uses the server's
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
	doc, issuer, fail := probe.issuerMetadata(ctx, issuer)
	if fail != nil {
		return nil, fail
	}
	cfg.Issuer = issuer
	if err := doc.fitClientAuth(&cfg); err != nil {
		fail := misconfigured(opDiscover, err)
		fail.Hint = "register the client for what the server offers; if it is known to accept this nevertheless, configure the endpoints and use NewClient"
		return nil, fail
	}
	if err := doc.fill(&cfg); err != nil {
		fail := misconfigured(opDiscover, err)
		fail.Hint = "name the endpoint in Config to replace the published one"
		return nil, fail
	}
	client := NewClient(cfg)
	client.meta = doc.extras()
	return client, nil
}

// issuerMetadata returns what the server at address, which is an issuer or where
// the metadata of one is, publishes, and the issuer as the server spells it.
func (c *Client) issuerMetadata(ctx context.Context, address string) (metadata, string, *Error) {
	if err := checkEndpoint("the issuer", address); err != nil {
		return nil, "", misconfigured(opDiscover, err)
	}
	issuers := []string{IssuerOf(address)}
	addresses, err := metadataURLs(issuers[0])
	if err != nil {
		return nil, "", misconfigured(opDiscover, err)
	}
	if address != issuers[0] {
		issuers = append(issuers, issuers[0]+"/")
		others := slices.DeleteFunc(addresses, func(other string) bool { return other == address })
		addresses = append([]string{address}, others...)
	}
	doc, fail := c.findMetadata(ctx, issuers, addresses)
	if fail != nil {
		return nil, "", fail
	}
	if found := textField(doc, "issuer"); slices.Contains(issuers, found) {
		return doc, found, nil
	}
	return doc, issuers[0], nil // the document has Config.IssuerTemplate
}

// metadataURLs returns where metadata of the issuer can be: RFC 8414 section 3.1
// puts the well-known part before the issuer's path, OpenID Connect Discovery
// section 4.1 behind it.
func metadataURLs(issuer string) ([]string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.RawQuery != "" || u.ForceQuery {
		return nil, errors.New("the issuer must have no query")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	return []string{
		origin + wellKnownOAuth + path,
		origin + path + wellKnownOpenID,
	}, nil
}

// findMetadata asks at each address until one has the metadata of one of issuers. A
// document of another issuer is the most telling failure, then a server in
// trouble, then one without metadata.
func (c *Client) findMetadata(ctx context.Context, issuers, addresses []string) (metadata, *Error) {
	var mismatch, trouble, absent *Error
	for _, address := range addresses {
		a, fail := c.get(ctx, opDiscover, address, "")
		if fail != nil {
			return nil, fail // no answer: the other address is on the same host
		}
		doc, fail := judgeMetadata(a, issuers, c.cfg.IssuerTemplate)
		switch {
		case fail == nil:
			return doc, nil
		case errors.Is(fail.Err, errOtherIssuer):
			mismatch = fail
		case fail.Kind == ErrTransient:
			trouble = fail
		default:
			absent = fail
		}
	}
	for _, fail := range []*Error{mismatch, trouble} {
		if fail != nil {
			return nil, fail
		}
	}
	return nil, absent
}

// metadata is a server's metadata document.
type metadata map[string]json.RawMessage

var (
	errOtherIssuer = errors.New("the server's metadata is for another issuer")
	errNoMetadata  = errors.New("the server publishes no metadata")
)

// judgeMetadata decides what an answer under a well-known address is: exactly
// one of document and error. It is to be of one of issuers, or have template, which
// is Config.IssuerTemplate. It goes by content, since servers answer 200 with a login
// page for addresses they do not know.
func judgeMetadata(a answer, issuers []string, template string) (metadata, *Error) {
	fail := &Error{Op: opDiscover, Kind: ErrMisconfigured, Status: a.status, Sent: true}
	doc := metadata(a.fields())
	found := textField(doc, "issuer")
	switch {
	case isSuccess(a.status) && (slices.Contains(issuers, found) || strings.Contains(found, tenantMark) && found == template):
		return doc, nil
	case isSuccess(a.status) && strings.Contains(found, tenantMark):
		fail.Err = fmt.Errorf("%w: it says %q, asked was %q", errOtherIssuer, printableIssuer(found), issuers[0])
		fail.Hint = "set Config.IssuerTemplate to what the metadata says, or ask for the issuer of one tenant"
	case isSuccess(a.status) && found != "":
		fail.Err = fmt.Errorf("%w: it says %q, asked was %q", errOtherIssuer, printableIssuer(found), issuers[0])
		fail.Hint = "use the server's own spelling of its issuer, to the last slash"
	case isSuccess(a.status), isRefusal(a.status):
		fail.Err = errNoMetadata
		fail.Hint = "configure the endpoints (Config.AuthURL, Config.TokenURL, …) and use NewClient"
	case a.status >= 300 && a.status <= 399:
		fail.Err = errRedirect
		fail.Hint = "use the issuer that the server redirects to, or configure the endpoints"
	default:
		fail.Kind, fail.RetryAt = ErrTransient, a.retryAt(nil)
	}
	return nil, fail
}

// printableIssuer returns what may be shown of a server's issuer: an address
// without query or user information, not longer than fits a line.
func printableIssuer(issuer string) string {
	if len(issuer) > 200 || checkEndpoint("issuer", issuer) != nil {
		return "(no usable address)"
	}
	return withoutQuery(issuer)
}

// fill puts what the metadata says into cfg, without replacing what is there.
func (m metadata) fill(cfg *Config) error {
	m = m.endpointsFor(cfg)
	endpoints := []struct {
		member, name string
		target       *string
	}{
		{"authorization_endpoint", "Config.AuthURL", &cfg.AuthURL},
		{"token_endpoint", "Config.TokenURL", &cfg.TokenURL},
		{"device_authorization_endpoint", "Config.DeviceAuthURL", &cfg.DeviceAuthURL},
		{"revocation_endpoint", "Config.RevocationURL", &cfg.RevocationURL},
		{"introspection_endpoint", "Config.IntrospectionURL", &cfg.IntrospectionURL},
		{"userinfo_endpoint", "Config.UserinfoURL", &cfg.UserinfoURL},
		{"pushed_authorization_request_endpoint", "Config.PushedAuthURL", &cfg.PushedAuthURL},
		{"end_session_endpoint", "Config.EndSessionURL", &cfg.EndSessionURL},
		{"registration_endpoint", "Config.RegistrationURL", &cfg.RegistrationURL},
	}
	for _, e := range endpoints {
		if *e.target == "" {
			*e.target = textField(m, e.member)
		}
		if *e.target == "" && e.member != "token_endpoint" {
			continue
		}
		if err := checkEndpoint(fmt.Sprintf("%s (%s)", e.name, e.member), *e.target); err != nil {
			return err
		}
	}
	if cfg.JWKSURL == "" {
		cfg.JWKSURL = textField(m, "jwks_uri") // checked when it is needed, which is seldom
	}
	if cfg.ClientAuth == "" && cfg.ClientKey == nil && cfg.ClientSecret != "" {
		cfg.ClientAuth = m.clientAuth()
	}
	if m.says("authorization_response_iss_parameter_supported") {
		cfg.RequireIss = true
	}
	if m.says("require_pushed_authorization_requests") {
		cfg.RequirePushedAuth = true
	}
	return nil
}

// says reports whether a member is true.
func (m metadata) says(name string) bool {
	var announced bool
	return json.Unmarshal(m[name], &announced) == nil && announced
}

// clientAuth chooses how a client with a secret authenticates. A list that has
// neither way is not believed: RFC 8414 section 2 makes basic the default.
func (m metadata) clientAuth() ClientAuth {
	methods := m.list("token_endpoint_auth_methods_supported")
	if !slices.Contains(methods, string(AuthBasic)) && slices.Contains(methods, string(AuthPost)) {
		return AuthPost
	}
	return AuthBasic
}

// list returns a member that is an array of strings, or nil.
func (m metadata) list(name string) []string {
	var values []string
	if json.Unmarshal(m[name], &values) != nil {
		return nil
	}
	return values
}

func (m metadata) extras() *Metadata {
	return &Metadata{
		ScopesSupported:     m.list("scopes_supported"),
		GrantTypesSupported: m.list("grant_types_supported"),
		JWKSURL:             textField(m, "jwks_uri"),
		EndSessionURL:       textField(m, "end_session_endpoint"),
		Raw:                 m,
	}
}
