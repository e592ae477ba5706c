package oauth

import (
	"context"
)

const opClientCredentials = "client_credentials"

// ClientCredentials obtains a token for the client itself, with no person behind
// it (RFC 6749 section 4.4), for Config.Scopes. There is normally no refresh token
// in the answer: to keep such a session alive, give a refresh.Manager
// [Client.ClientCredentialsRefresher].
//
// It sends one request. Errors are of type [*Error]; a wrong secret is
// [ErrMisconfigured]. Safe for concurrent use.
func (c *Client) ClientCredentials(ctx context.Context) (*TokenPair, error) {
	form := scopeForm(c.cfg.Scopes)
	form.Set("grant_type", "client_credentials")
	return c.grant(ctx, opClientCredentials, form)
}

// A ClientCredentialsRefresher renews a pair by asking for a new one: the
// client's own secret is all that it takes. It is safe for concurrent use.
type ClientCredentialsRefresher struct{ client *Client }

// ClientCredentialsRefresher returns a refresher for pairs that
// [Client.ClientCredentials] obtained.
func (c *Client) ClientCredentialsRefresher() *ClientCredentialsRefresher {
	return &ClientCredentialsRefresher{client: c}
}

// Refresh obtains a new pair in place of t, which may be nil and is not sent: a
// refresh token in it is neither needed nor spent. After an answer with
// Retry-After it fails with [ErrTransient] until then, without a request, like
// [Client.Refresh].
func (r *ClientCredentialsRefresher) Refresh(ctx context.Context, _ *TokenPair) (*TokenPair, error) {
	if until := r.client.waitUntil(); !until.IsZero() {
		return nil, mustWait(opClientCredentials, until)
	}
	pair, err := r.client.ClientCredentials(ctx)
	if err != nil {
		r.client.rememberWait(err)
		return nil, err
	}
	return pair, nil
}

// RenewsWithoutRefreshToken tells a refresh.Manager that a pair needs no refresh
// token to be renewed.
func (r *ClientCredentialsRefresher) RenewsWithoutRefreshToken() bool { return true }

// ConfigID is that of the client: see [Client.ConfigID].
func (r *ClientCredentialsRefresher) ConfigID() string { return r.client.ConfigID() }

// Server names the authorization server; see [Client.Server].
func (r *ClientCredentialsRefresher) Server() string { return r.client.Server() }
