package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/challenge"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A ProtectedResource is what an API publishes about itself (RFC 9728 section 2).
type ProtectedResource struct {
	// Resource is the resource's identifier: the URL asked about. Put it into
	// Config.Resources, so that tokens are for this resource alone.
	Resource string
	// AuthorizationServers are issuers for [Discover], at least one, in the
	// resource's order.
	AuthorizationServers []string
	// ScopesSupported are scopes that the resource knows. It need not list all.
	ScopesSupported []string
	// Raw holds every member as published.
	Raw map[string]json.RawMessage
}

// DiscoverResource finds out which authorization servers the API at resourceURL
// takes tokens from (RFC 9728). It sends the API a GET without a token, and reads
// the metadata that the challenge of its 401 points to (resource_metadata, section
// 5.1), or else what it publishes under /.well-known/oauth-protected-resource.
// Then it is for the caller to trust one of the servers, and to use it with
// [Discover].
//
// The metadata must name resourceURL as its resource, character by character
// (section 3.3); otherwise one API could have tokens made for another. A
// resource_metadata on another origin than the API is passed over, and no redirect
// is followed. Servers that are neither https nor loopback are left out.
//
// Of cfg only HTTPClient, Timeout and Now are used; it needs no ClientID. Errors
// are of type [*Error]: [ErrTransient] when the API could not be asked or has
// trouble, [ErrMisconfigured] when it has no metadata, when that is about another
// resource, or when it names no server that can be used. It sends at most three
// requests, each within Config.Timeout.
func DiscoverResource(ctx context.Context, resourceURL string, cfg Config) (*ProtectedResource, error) {
	if err := wire.CheckEndpoint("the resource", resourceURL); err != nil {
		return nil, misconfigured(opDiscoverResource, err)
	}
	u, err := url.Parse(resourceURL)
	if err != nil {
		return nil, misconfigured(opDiscoverResource, errors.New("the resource is not an absolute URL"))
	}
	c := stranger(cfg)
	header, fail := c.askBare(ctx, resourceURL)
	if fail != nil {
		return nil, fail
	}
	var first *Error
	for _, address := range resourceMetadataURLs(u, header) {
		a, fail := c.get(ctx, opDiscoverResource, address, "")
		if fail != nil {
			return nil, fail // no answer: the other address is on the same host
		}
		resource, fail := judgeResource(a, resourceURL)
		if fail == nil {
			return resource, nil
		}
		if first == nil || errors.Is(first.Err, errNoResourceMetadata) {
			first = fail
		}
	}
	return nil, first
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

// resourceMetadataURLs returns where metadata of the resource u can be: where a
// challenge in header says, if that is on the same origin, and the well-known
// address. A challenge from elsewhere would let any API make us ask any host.
func resourceMetadataURLs(u *url.URL, header http.Header) []string {
	path := u.EscapedPath()
	if path == "/" {
		path = "" // RFC 9728 section 3.1
	}
	wellKnown := u.Scheme + "://" + u.Host + "/.well-known/oauth-protected-resource" + path
	if u.RawQuery != "" {
		wellKnown += "?" + u.RawQuery
	}
	announced := challenge.Param(header, "resource_metadata")
	target, err := url.Parse(announced)
	if err != nil || announced == wellKnown || wire.CheckEndpoint("resource_metadata", announced) != nil ||
		target.Scheme != u.Scheme || !strings.EqualFold(target.Host, u.Host) {
		return []string{wellKnown}
	}
	return []string{announced, wellKnown}
}

var (
	errOtherResource      = errors.New("the metadata is for another resource")
	errNoResourceMetadata = errors.New("the resource publishes no metadata")
	errNoServer           = errors.New("the resource names no authorization server that can be used")
)

// judgeResource decides what an answer under an address of resourceMetadataURLs
// is: exactly one of metadata and error.
func judgeResource(a *wire.Answer, resource string) (*ProtectedResource, *Error) {
	fail := &Error{Op: opDiscoverResource, Kind: ErrMisconfigured, Status: a.Status, Sent: true}
	doc := a.Fields()
	found, servers := doc.Text("resource"), usableIssuers(doc.List("authorization_servers"))
	switch {
	case wire.IsSuccess(a.Status) && found == resource && len(servers) > 0:
		return &ProtectedResource{
			Resource:             resource,
			AuthorizationServers: servers,
			ScopesSupported:      doc.List("scopes_supported"),
			Raw:                  doc,
		}, nil
	case wire.IsSuccess(a.Status) && found == resource:
		fail.Err = errNoServer
		fail.Hint = "ask the API's maker which authorization server to use, and give that to Discover"
	case wire.IsSuccess(a.Status) && found != "":
		fail.Err = fmt.Errorf("%w: got %q, want %q", errOtherResource, metadata.PrintableIssuer(found), metadata.PrintableIssuer(resource))
		fail.Hint = "use the API's own spelling of its address, to the last slash"
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

// usableIssuers returns those of a list that Discover would ask.
func usableIssuers(list []string) []string {
	var usable []string
	for _, issuer := range list {
		if wire.CheckEndpoint("the issuer", issuer) == nil && member.UsableToken(issuer) && !strings.Contains(issuer, "?") {
			usable = append(usable, issuer)
		}
	}
	return usable
}
