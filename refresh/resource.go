package refresh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
)

// A Resource hands out access tokens for one resource indicator (RFC 8707) out of
// a session: every resource has an access token of its own, all of them renewed
// with the session's one refresh token, one after another. Get it from
// [Manager.Resource]. Its tokens are obtained when they are asked for and live in
// memory. Safe for concurrent use.
type Resource struct {
	m   *Manager
	uri string
	cur atomic.Pointer[snapshot]
}

// Resource returns the token source for a resource indicator, the same one for
// the same uri. Config.OAuthClient must honour oauth.ResourceFrom, as
// *oauth.Client does.
func (m *Manager) Resource(uri string) *Resource {
	c := m.hold()
	defer c.release() // which does not rest any more
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.resources == nil {
		c.resources = make(map[string]*Resource)
	}
	if c.resources[uri] == nil {
		c.resources[uri] = &Resource{m: m, uri: uri}
	}
	return c.resources[uri]
}

// Token returns an access token for the resource, to be kept no longer than
// [Manager.Token] says.
func (r *Resource) Token() (*oauth2.Token, error) {
	s, err := r.current(context.Background())
	if err != nil {
		return nil, err
	}
	return r.m.handOut(s), nil
}

// TokenContext returns an access token for the resource; see
// [Manager.TokenContext]. The refresh token in it is not to be used.
func (r *Resource) TokenContext(ctx context.Context) (*oauth.TokenPair, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	return s.pair, nil
}

// Transport is [Manager.Transport] with the resource's token.
func (r *Resource) Transport(base http.RoundTripper) *Transport {
	return &Transport{m: r.m, base: base, resource: r.uri, current: r.current}
}

// String describes the resource without tokens.
func (r *Resource) String() string {
	return fmt.Sprintf("refresh.Resource{uri:%q %v}", r.uri, r.m)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r *Resource) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// current serves a living token; one that is due for renewal is renewed behind.
func (r *Resource) current(ctx context.Context) (*snapshot, error) {
	s, now := r.cur.Load(), r.m.now()
	if !s.alive(now) {
		return r.m.await(ctx, r.uri)
	}
	if s.isDue(now) {
		c := r.m.hold()
		_, _ = c.fly(want{stale: s, resource: r.uri})
		c.release()
	}
	return s, nil
}

// currentFor returns what is current for a resource indicator; empty means the
// session's own token.
func (m *Manager) currentFor(resource string) *snapshot {
	if resource == "" {
		return m.cur.Load()
	}
	return m.Resource(resource).cur.Load()
}

// forgetResources drops the tokens of a login that is no longer the session.
func (m *managed) forgetResources() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.resources {
		r.cur.Store(nil)
	}
}

// publishResource shows a resource's new token. The caller has the turn.
func (m *managed) publishResource(resource string, pair *oauth.TokenPair) {
	t := m.timing(pair)
	t.Idle, t.RefreshExpires = 0, pair.ExpiresAt // the session looks after the refresh token
	m.generation++
	s := newSnapshot(pair, t, m.now())
	s.generation = m.generation
	m.Resource(resource).cur.Store(s)
}
