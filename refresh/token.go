package refresh

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
)

// Token returns the current access token, making the manager an
// oauth2.TokenSource. It is TokenContext without a context: it waits at most
// Config.MaxWait. The token is shared and must not be modified.
//
// Token is for libraries that take nothing but a TokenSource: oauth2.NewClient,
// option.WithTokenSource of google.golang.org/api. They keep the token, until
// shortly before its Expiry or until then. So Expiry is not when the token dies but
// when a renewal is due, which ends the old access token at some servers. While that
// is less than ten seconds away, or has not come yet, Token hands out one that
// x/oauth2 calls valid, and that its cache keeps until the renewal is due or for a
// tenth of a second; so each token is valid until the last ten seconds of its life.
// Until then it is the same each time. Programs that save the token when it has
// changed should compare AccessToken.
//
// Its extra field "expires_at" (RFC 3339) has the real end, which oauth.FromOAuth2
// reads; GetExpiresAt tells it too. An end that is not known is a zero Expiry.
//
// No Expiry can help when the token is replaced before its renewal was due: by
// ForceRefresh, UpdateTokens, or another process that shares the session. A cache
// then goes on with the old one until its Expiry, and fails where the server has
// ended it. A library that takes an *http.Client or an http.RoundTripper should get
// Client or Transport instead: they ask for each request, and send one that was
// rejected with 401 once more.
func (m *Manager) Token() (*oauth2.Token, error) {
	now := m.m.Now()
	if s := m.m.Living(now); s != nil { // one look at the clock is enough
		return s.HandOut(now), nil
	}
	s, err := m.m.Current(context.Background())
	if err != nil {
		return nil, err
	}
	return s.HandOut(m.m.Now()), nil
}

// TokenContext returns the current pair. While its access token lives, that costs
// a few atomic loads and a look at the clock, whatever the refresher is going
// through. Otherwise it waits for a refresh, through failed
// attempts if need be, until ctx ends or Config.MaxWait is over; it returns at once
// with the reason when waiting cannot help: an error that matches
// oauth.ErrLoginRequired, oauth.ErrMisconfigured, or oauth.ErrTransient for a server
// that wants to be left alone for longer. Without a living token a manager that is
// not running returns ErrStopped.
//
// The pair is shared and must not be modified; see GetTokens for a copy.
func (m *Manager) TokenContext(ctx context.Context) (*oauth.TokenPair, error) {
	s, err := m.m.Current(ctx)
	if err != nil {
		return nil, err
	}
	return s.Pair, nil
}
