package refresh

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/oauth"
)

// GetRequestMetadata returns what carries the token of a call, as Config.Presentation
// says, by default the authorization header. That makes the
// manager a credentials.PerRPCCredentials of google.golang.org/grpc without
// importing it. It waits like TokenContext. DPoP tokens are refused as
// oauth.ErrMisconfigured: gRPC leaves no room for their proofs.
//
// uri is where the call goes, as gRPC tells it: https, the authority of the connection, and
// the service. The token goes where Config.AllowedOrigins lets it, or to the first origin used,
// as for [Transport]; otherwise the error matches oauth.ErrMisconfigured and names both.
// A program that calls it without a uri takes the token to where it likes, as from
// TokenContext; with AllowedOrigins that is refused.
func (m *Manager) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	targets, err := m.targetsOf(uri)
	if err != nil {
		return nil, err
	}
	s, err := m.m.Current(ctx)
	if err != nil {
		return nil, err
	}
	if s.Pair.Type() == "DPoP" {
		return nil, fmt.Errorf("%w: %w", errDPoPGRPC, oauth.ErrMisconfigured)
	}
	for _, u := range targets {
		first, err := m.destinations().use(u)
		if err != nil {
			return nil, err
		}
		first.ended(true) // gRPC asks once there is a connection
	}
	way := m.setup().way()
	if way == nil || !s.Bearer {
		return map[string]string{"authorization": s.Authorization}, nil
	}
	header := make(http.Header, 1)
	if err := way.Set(header, s.Pair.AccessToken); err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	metadata := make(map[string]string, 1)
	for name, values := range header {
		metadata[strings.ToLower(name)] = values[0]
	}
	return metadata, nil
}

// targetsOf returns where a call goes, or an error if the token may not go there.
func (m *Manager) targetsOf(uri []string) ([]*url.URL, error) {
	to := m.destinations()
	if len(uri) == 0 && len(to.limits.list) > 0 {
		return nil, fmt.Errorf("refresh: GetRequestMetadata was not told where the call goes, and Config.AllowedOrigins bounds that: %w", oauth.ErrMisconfigured)
	}
	targets := make([]*url.URL, 0, len(uri))
	for _, text := range uri {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("refresh: the call's URI is not an address: %w", oauth.ErrMisconfigured)
		}
		if m.setup().InsecurePlaintextGRPC {
			u = to.limits.withSchemeOf(u)
		} else if err := checkSecure(u); err != nil {
			return nil, err
		}
		if err := to.check(u); err != nil {
			return nil, err
		}
		targets = append(targets, u)
	}
	return targets, nil
}

// withSchemeOf returns u with the scheme under which the list has its host and port, if it
// does. gRPC says https of connections in the clear too.
func (l originLimits) withSchemeOf(u *url.URL) *url.URL {
	target := origin.Of(u)
	for _, a := range l.list {
		if a.SameHost(target) {
			same := *u
			same.Scheme, same.Host = a.scheme, a.written
			return &same
		}
	}
	return u
}

// RequireTransportSecurity is true, unless Config.InsecurePlaintextGRPC is: tokens travel
// over TLS only.
func (m *Manager) RequireTransportSecurity() bool { return !m.setup().InsecurePlaintextGRPC }
