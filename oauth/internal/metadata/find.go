// Package metadata finds what authorization servers publish about themselves (RFC 8414,
// OpenID Connect Discovery), and compares issuers.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// OpDiscover is the operation that errors name.
const OpDiscover = "discover"

// Find returns what the server at address, which is an issuer or where the metadata of
// one is, publishes, and the issuer as the server spells it. template is
// oauth.Config.IssuerTemplate. It sends at most three requests.
func Find(ctx context.Context, s *wire.Sender, address, template string) (member.Fields, string, *wire.Failure) {
	if err := wire.CheckEndpoint("the issuer", address); err != nil {
		return nil, "", wire.Misconfigured(OpDiscover, err)
	}
	issuers := []string{IssuerOf(address)}
	addresses, err := URLs(issuers[0])
	if err != nil {
		return nil, "", wire.Misconfigured(OpDiscover, err)
	}
	if address != issuers[0] {
		issuers = append(issuers, issuers[0]+"/")
		others := slices.DeleteFunc(addresses, func(other string) bool { return other == address })
		addresses = append([]string{address}, others...)
	}
	doc, fail := find(ctx, s, issuers, addresses, template)
	if fail != nil {
		return nil, "", fail
	}
	if found := doc.Text("issuer"); slices.Contains(issuers, found) {
		return doc, found, nil
	}
	return doc, issuers[0], nil // the document has Config.IssuerTemplate
}

// URLs returns where metadata of the issuer can be: RFC 8414 section 3.1
// puts the well-known part before the issuer's path, OpenID Connect Discovery
// section 4.1 behind it.
func URLs(issuer string) ([]string, error) {
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

// find asks at each address until one has the metadata of one of issuers. A
// document of another issuer is the most telling failure, then a server in
// trouble, then one without metadata.
func find(ctx context.Context, s *wire.Sender, issuers, addresses []string, template string) (member.Fields, *wire.Failure) {
	var mismatch, trouble, absent *wire.Failure
	for _, address := range addresses {
		a, fail := s.Get(ctx, OpDiscover, address, "")
		if fail != nil {
			return nil, fail // no answer: the other address is on the same host
		}
		doc, fail := judge(a, issuers, template)
		switch {
		case fail == nil:
			return doc, nil
		case errors.Is(fail.Err, errOtherIssuer):
			mismatch = fail
		case fail.Kind == wire.ErrTransient:
			trouble = fail
		default:
			absent = fail
		}
	}
	for _, fail := range []*wire.Failure{mismatch, trouble} {
		if fail != nil {
			return nil, fail
		}
	}
	return nil, absent
}

var (
	errOtherIssuer = errors.New("the server's metadata is for another issuer")
	errNoMetadata  = errors.New("the server publishes no metadata")
)

// judge decides what an answer under a well-known address is: exactly
// one of document and error. It is to be of one of issuers, or have template, which
// is Config.IssuerTemplate. It goes by content, since servers answer 200 with a login
// page for addresses they do not know.
func judge(a *wire.Answer, issuers []string, template string) (member.Fields, *wire.Failure) {
	fail := &wire.Failure{Op: OpDiscover, Kind: wire.ErrMisconfigured, Status: a.Status, Sent: true}
	doc := a.Fields()
	found := doc.Text("issuer")
	switch {
	case wire.IsSuccess(a.Status) && (slices.Contains(issuers, found) || IsPattern(found) && found == template):
		return doc, nil
	case wire.IsSuccess(a.Status) && IsPattern(found):
		fail.Err = fmt.Errorf("%w: got %q, want %q", errOtherIssuer, PrintableIssuer(found), issuers[0])
		fail.Field, fail.Hint = "IssuerTemplate", "set Config.IssuerTemplate to what the metadata says, or ask for the issuer of one tenant"
	case wire.IsSuccess(a.Status) && found != "":
		fail.Err = fmt.Errorf("%w: got %q, want %q", errOtherIssuer, PrintableIssuer(found), issuers[0])
		fail.Field, fail.Hint = "Issuer", "use the server's own spelling of its issuer, to the last slash"
	case wire.IsSuccess(a.Status) && a.IsCut():
		fail.Kind, fail.Err = wire.ErrTransient, wire.ErrCut
	case wire.IsSuccess(a.Status), wire.IsRefusal(a.Status):
		fail.Err = errNoMetadata
		fail.Field, fail.Hint = "TokenURL", "configure the endpoints (Config.AuthURL, Config.TokenURL, …) and use NewClient"
	case a.Status >= 300 && a.Status <= 399:
		fail.Err = wire.ErrRedirect
		fail.Hint = "use the issuer that the server redirects to, or configure the endpoints"
	default:
		fail.Kind, fail.RetryAt = wire.ErrTransient, a.RetryAt(nil)
	}
	return nil, fail
}

// PrintableIssuer returns what may be shown of a server's issuer: an address
// without query or user information, not longer than fits a line.
func PrintableIssuer(issuer string) string {
	if len(issuer) > 200 || wire.CheckEndpoint("issuer", issuer) != nil {
		return "(no usable address)"
	}
	return outside.ShowAddress(wire.WithoutQuery(issuer))
}
