package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A ProtectedResource is what an API publishes about itself (RFC 9728 section 2).
type ProtectedResource struct {
	// Resource is the resource's identifier as published: the URL asked about, or one
	// above it that covers it. Put it into Config.Resources, so that tokens are for this
	// resource alone.
	Resource string
	// AuthorizationServers are issuers for [Discover], at least one, in the
	// resource's order.
	AuthorizationServers []string
	// Scopes are what to ask for at a first login: what the challenge names, or else
	// ScopesSupported; none leaves them to the server, and so does a list of more than 4 KiB,
	// which would not fit into an address. The scope offline_access is never
	// among them, since no API needs a refresh token: see Config.OfflineAccess.
	Scopes []string
	// ScopesSupported are scopes that the resource knows. It need not list all.
	ScopesSupported []string
	// Assumed tells that the API publishes nothing, and that Config.AssumeEndpoints
	// made its origin the authorization server.
	Assumed bool
	// Raw holds every member as published.
	Raw map[string]json.RawMessage
}

// DiscoverResource finds out which authorization servers the API at resourceURL
// takes tokens from (RFC 9728). It sends the API a GET without a token, and goes on as
// [DiscoverChallenged] does with the challenge of its 401, if that is the answer. A
// program that the API has refused already, and perhaps for another method than GET,
// hands that answer to DiscoverChallenged.
//
// It sends at most four requests, and one more each for a query and for a slash at the end of the
// path, each within Config.Timeout.
func DiscoverResource(ctx context.Context, resourceURL string, cfg Config) (*ProtectedResource, error) {
	u, err := resourceAddress(resourceURL)
	if err != nil {
		return nil, misconfigured(opDiscoverResource, err)
	}
	c := stranger(cfg)
	header, fail := c.askBare(ctx, resourceURL)
	if fail != nil {
		return nil, fail
	}
	return c.discoverResource(ctx, u, resourceURL, header)
}

// DiscoverChallenged finds out which authorization servers the API at resourceURL
// takes tokens from, by the header of a 401 (or 403) that it has answered with, which
// may be nil. It looks for the API's metadata where the challenge says
// (resource_metadata, RFC 9728 section 5.1), then where the URL's path puts it
// (/.well-known/oauth-protected-resource/path, section 3.1), with the URL's query and without
// it, and without a slash at the end of the path, and then at the root of the origin, where the Model Context Protocol has servers publish
// it too. Then it is for the caller to trust one of the servers, and to use it with [Discover].
//
// The metadata must name resourceURL as its resource, character by character but for how the
// origin is spelled (section 3.3); otherwise one API could have tokens made for another. It may name the origin,
// a path above resourceURL, or resourceURL without its query, only at that resource's own
// well-known address, which the owner of the origin decides about. A resource_metadata on another origin than the API is
// passed over, and no redirect is followed. Servers that are neither https nor loopback
// are left out, and so are those on this machine (see [Discover]) if the API is elsewhere.
//
// Of cfg only AssumeEndpoints, HTTPClient, Timeout and Now are used; it needs no
// ClientID. Errors are of type [*Error]: [ErrTransient] when the API could not be asked
// or has trouble, [ErrMisconfigured] when it has no metadata, when that is about another
// resource, or when it names no server that can be used. It sends at most three requests, and
// one more each for a query and for a slash at the end of the path, each within Config.Timeout.
func DiscoverChallenged(ctx context.Context, resourceURL string, header http.Header, cfg Config) (*ProtectedResource, error) {
	u, err := resourceAddress(resourceURL)
	if err != nil {
		return nil, misconfigured(opDiscoverResource, err)
	}
	return stranger(cfg).discoverResource(ctx, u, resourceURL, header)
}

// resourceAddress returns the URL of an API, or why it cannot be one.
func resourceAddress(resourceURL string) (*url.URL, error) {
	if err := wire.CheckEndpoint("the resource", resourceURL); err != nil {
		return nil, err
	}
	u, err := url.Parse(resourceURL)
	if err != nil {
		return nil, errors.New("the resource is not an absolute URL")
	}
	return u, nil
}

// discoverResource asks wherever metadata of the API at u can be. Of several failures the
// first is returned that is more than an absence.
func (c *Client) discoverResource(ctx context.Context, u *url.URL, resourceURL string, header http.Header) (*ProtectedResource, error) {
	var first *Error
	for _, address := range resourceMetadataURLs(u, header) {
		if first != nil && first.Kind == ErrTransient && (address != resourceMetadataURL(u) || address == rootMetadataURL(u)) {
			break // what could not be read may name another server than what is above it does
		}
		a, fail := c.get(ctx, opDiscoverResource, address, "")
		if fail != nil {
			return nil, fail // no answer: the other addresses are on the same host
		}
		resource, fail := judgeResource(a, resourceURL, address)
		if fail == nil {
			resource.Scopes = firstScopes(header, resource.ScopesSupported)
			return resource, nil
		}
		if first == nil || errors.Is(first.Err, errNoResourceMetadata) {
			first = fail
		}
	}
	if c.cfg.AssumeEndpoints && errors.Is(first.Err, errNoResourceMetadata) {
		return &ProtectedResource{
			Resource: resourceURL, AuthorizationServers: []string{u.Scheme + "://" + u.Host},
			Scopes: firstScopes(header, nil), Assumed: true,
		}, nil
	}
	return nil, first
}

// maxWanted bounds, in bytes, what an API may have a login ask for: its scopes, and kinds of
// login. They go into the address that the browser opens, of which servers read some eight
// kilobytes.
const maxWanted = 4 << 10

// firstScopes returns what to ask for at a first login, by the API's challenge and what
// it publishes (the Model Context Protocol's scope selection strategy). Lists that no server
// would read leave the choice to the server.
func firstScopes(header http.Header, supported []string) []string {
	scopes := supported
	if c, found := wanting(header); found {
		scopes = c.Scopes()
	}
	scopes = slices.DeleteFunc(UnionScopes(scopes), func(scope string) bool { return scope == scopeOffline })
	return fitting(scopes)
}

// wanting returns the challenge that names scopes, if there is one. APIs that bind tokens
// to keys say so in theirs (RFC 9449 section 7.1).
func wanting(header http.Header) (challenge.Challenge, bool) {
	for _, c := range challenge.Parse(header) {
		if bearer := strings.EqualFold(c.Scheme, "Bearer") || strings.EqualFold(c.Scheme, "DPoP"); bearer && len(c.Scopes()) > 0 {
			return c, true
		}
	}
	return challenge.Challenge{}, false
}

// stranger returns a client for requests that need no client ID.
func stranger(cfg Config) *Client {
	cfg = cfg.withDefaults()
	return &Client{cfg: cfg, sender: wire.NewSender(cfg.HTTPClient, cfg.Timeout, cfg.Now)}
}

// askBare asks for address without a token, and returns the answer's header if it
// is a 401. The body is not read: it may be a stream without end.
func (c *Client) askBare(ctx context.Context, address string) (http.Header, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, misconfigured(opDiscoverResource, wire.CleanCause(err))
	}
	resp, err := c.sender.HTTP.Do(req)
	if err != nil {
		return nil, (*Error)(wire.Unanswered(opDiscoverResource, err, !wire.IsConnectError(err)))
	}
	_ = resp.Body.Close() // unread, and so of no interest
	if resp.StatusCode != http.StatusUnauthorized {
		return nil, nil
	}
	return resp.Header, nil
}

// wellKnownResource is where APIs publish metadata, before the path of their URL.
const wellKnownResource = "/.well-known/oauth-protected-resource"

// resourceMetadataURLs returns where metadata of the resource u can be: where a
// challenge in header says, if that is on the same origin, and the well-known
// addresses. A challenge from elsewhere would let any API make us ask any host.
func resourceMetadataURLs(u *url.URL, header http.Header) []string {
	var addresses []string
	announced := challenge.Param(header, "resource_metadata")
	target, err := url.Parse(announced)
	if err == nil && wire.CheckEndpoint("resource_metadata", announced) == nil && sameOrigin(target, u) {
		addresses = append(addresses, announced)
	}
	bare := *u
	bare.RawQuery = "" // what a query chooses is most often no resource of its own
	above := bare
	above.Path, above.RawPath = strings.TrimRight(bare.Path, "/"), strings.TrimRight(bare.RawPath, "/") // people add a slash
	for _, address := range []string{resourceMetadataURL(u), resourceMetadataURL(&bare), resourceMetadataURL(&above), rootMetadataURL(u)} {
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// resourceMetadataURL is the well-known address of a resource (RFC 9728 section 3.1).
func resourceMetadataURL(u *url.URL) string {
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	address := u.Scheme + "://" + u.Host + wellKnownResource + path
	if u.RawQuery != "" {
		address += "?" + u.RawQuery
	}
	return address
}

// rootMetadataURL is the well-known address of u's origin.
func rootMetadataURL(u *url.URL) string { return u.Scheme + "://" + u.Host + wellKnownResource }

func sameOrigin(a, b *url.URL) bool { return origin.Of(a) == origin.Of(b) }

// names reports whether metadata at address that is about the resource found may be about
// the API at the URL asked: found is that URL, whose origin can be spelled in several ways; or
// it is above that, and address is found's own (RFC 9728 section 3.3). Anything else would let
// one API of an origin have tokens made for its siblings.
func names(found, asked, address string) bool {
	if found == asked {
		return true
	}
	f, err := url.Parse(found)
	u, err2 := url.Parse(asked)
	at, err3 := url.Parse(address)
	if err != nil || err2 != nil || err3 != nil || wire.CheckEndpoint("the resource", found) != nil ||
		!sameOrigin(f, u) || !sameOrigin(at, u) {
		return false
	}
	if f.EscapedPath() == u.EscapedPath() && f.RawQuery == u.RawQuery && f.ForceQuery == u.ForceQuery {
		return true
	}
	if f.RawQuery != "" || f.ForceQuery {
		return false
	}
	own, err := url.Parse(resourceMetadataURL(f))
	return err == nil && own.EscapedPath() == at.EscapedPath() && at.RawQuery == "" && isAbove(f, u)
}

// isAbove reports whether the path of f is above that of u, or, but for a slash alone or a
// query of u, the same. Paths with dot segments lead elsewhere than they read, and are above
// nothing.
func isAbove(f, u *url.URL) bool {
	above, path := strings.TrimSuffix(f.EscapedPath(), "/"), u.EscapedPath()
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." || strings.ContainsRune(segment, '\\') {
			return false
		}
	}
	return above == "" || strings.HasPrefix(path, above+"/") || path == f.EscapedPath() && u.RawQuery != ""
}

var (
	errOtherResource      = errors.New("the metadata is for another resource")
	errNoResourceMetadata = errors.New("the resource publishes no metadata")
	errNoServer           = errors.New("the resource names no authorization server that can be used")
)

// judgeResource decides what an answer under address, one of resourceMetadataURLs,
// is: exactly one of metadata and error.
func judgeResource(a *wire.Answer, resource, address string) (*ProtectedResource, *Error) {
	fail := &Error{Op: opDiscoverResource, Kind: ErrMisconfigured, Status: a.Status, Sent: true}
	doc := a.Fields()
	found, servers := doc.Text("resource"), usableIssuers(doc.List("authorization_servers"), resource)
	switch {
	case wire.IsSuccess(a.Status) && names(found, resource, address) && len(servers) > 0:
		return &ProtectedResource{
			Resource:             found,
			AuthorizationServers: servers,
			ScopesSupported:      doc.List("scopes_supported"),
			Raw:                  doc,
		}, nil
	case wire.IsSuccess(a.Status) && names(found, resource, address):
		fail.Err = errNoServer
		fail.Hint = "ask the API's maker which authorization server to use, and give that to Discover"
	case wire.IsSuccess(a.Status) && found != "":
		fail.Err = fmt.Errorf("%w: got %q, want %q", errOtherResource, metadata.PrintableIssuer(found), metadata.PrintableIssuer(resource))
		fail.Hint = "use the API's own spelling of its address, to the last slash"
	case wire.IsSuccess(a.Status) && a.IsCut():
		fail.Kind, fail.Err = ErrTransient, wire.ErrCut
	case wire.IsSuccess(a.Status), wire.IsRefusal(a.Status):
		fail.Err = errNoResourceMetadata
		fail.Hint = "ask the API's maker which authorization server to use, and give that to Discover"
	case a.Status >= 300 && a.Status <= 399:
		fail.Err = wire.ErrRedirect
		fail.Hint = "use the address that the API redirects to"
	default:
		fail.Kind, fail.RetryAt = ErrTransient, a.RetryAt(nil)
	}
	return nil, fail
}

// usableIssuers returns those of a list that Discover would ask, and that the resource may
// name.
func usableIssuers(list []string, resource string) []string {
	var usable []string
	for _, issuer := range list {
		if wire.CheckPublished("the issuer", issuer, resource) == nil && member.UsableToken(issuer) && !strings.Contains(issuer, "?") {
			usable = append(usable, issuer)
		}
	}
	return usable
}
