package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// FindOrAssume is Find for oauth.Config.AssumeEndpoints: for servers of which nothing is
// known but their origin, as the Model Context Protocol had it in 2025-03-26. An issuer that
// is an origin may publish the metadata of an issuer below it, whose name no client could know
// before; and where it publishes nothing, the endpoints are those of that
// specification, and published is false. It sends at most one request more than Find.
func FindOrAssume(ctx context.Context, s *wire.Sender, address, template string) (doc member.Fields, issuer string, published bool, _ *wire.Failure) {
	doc, issuer, fail := Find(ctx, s, address, template)
	if fail == nil {
		return doc, issuer, true, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.EscapedPath() != "" && u.EscapedPath() != "/" {
		return nil, "", false, fail
	}
	origin := u.Scheme + "://" + u.Host
	switch {
	case errors.Is(fail.Err, errNoMetadata):
		return assumed(origin), address, false, nil
	case errors.Is(fail.Err, errOtherIssuer):
		a, unanswered := s.Get(ctx, OpDiscover, origin+wellKnownOAuth, "")
		if unanswered != nil {
			return nil, "", false, unanswered
		}
		doc := a.Fields()
		if found := doc.Text("issuer"); wire.IsSuccess(a.Status) && isBelow(found, origin) {
			return doc, found, true, nil
		}
	}
	return nil, "", false, fail
}

// isBelow reports whether an issuer is at an origin.
func isBelow(issuer, origin string) bool {
	u, err := url.Parse(issuer)
	return err == nil && wire.CheckEndpoint("the issuer", issuer) == nil && u.RawQuery == "" && !u.ForceQuery && wire.Origin(issuer) == wire.Origin(origin)
}

// assumed returns the endpoints that a server has without telling, by their names in
// metadata.
func assumed(origin string) member.Fields {
	doc := make(member.Fields)
	for name, path := range map[string]string{
		"authorization_endpoint": "/authorize", "token_endpoint": "/token", "registration_endpoint": "/register",
	} {
		doc[name], _ = json.Marshal(origin + path) // a string
	}
	return doc
}
