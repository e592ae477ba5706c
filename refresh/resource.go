package refresh

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// A Resource hands out access tokens for one resource indicator (RFC 8707) out of
// a session: every resource has an access token of its own, all of them renewed
// with the session's one refresh token, one after another. Get it from
// [Manager.Resource]. Its tokens are obtained when they are asked for and live in
// memory. Safe for concurrent use.
type Resource struct {
	m    *Manager
	uri  string
	cell *snapshot.Cell
}

// Resource returns the token source for a resource indicator; those for the same uri
// have the same token. Config.OAuthClient must honour oauth.ResourceFrom, as
// *oauth.Client does.
func (m *Manager) Resource(uri string) *Resource {
	return &Resource{m: m, uri: uri, cell: m.m.Cell(uri)}
}

func (r *Resource) current(ctx context.Context) (*snapshot.Snapshot, error) {
	return r.m.m.CurrentFor(ctx, r.uri, r.cell)
}

// Token returns an access token for the resource, to be kept no longer than
// [Manager.Token] says.
func (r *Resource) Token() (*oauth2.Token, error) {
	s, err := r.current(context.Background())
	if err != nil {
		return nil, err
	}
	return s.HandOut(r.m.m.Now()), nil
}

// TokenContext returns an access token for the resource; see
// [Manager.TokenContext]. The refresh token in it is not to be used.
func (r *Resource) TokenContext(ctx context.Context) (*oauth.TokenPair, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	return s.Pair, nil
}

// Transport is [Manager.Transport] with the resource's token. If the resource indicator is
// an http or https URL, the token goes to its origin alone, whatever Config.AllowedOrigins
// lists, unless that is AnyOrigin. With another indicator it goes where the session's does.
func (r *Resource) Transport(base http.RoundTripper) *Transport {
	to := r.m.destinations()
	to.limits = to.limits.ofResource(r.uri)
	return &Transport{m: r.m, base: base, resource: r.uri, to: to, way: r.m.setup().way(), current: r.current}
}

// String describes the resource without tokens.
func (r *Resource) String() string {
	return fmt.Sprintf("refresh.Resource{uri:%q %v}", r.uri, r.m)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r *Resource) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }
