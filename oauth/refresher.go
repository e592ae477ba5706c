package oauth

import (
	"context"
	"net/http"
)

// A GrantRefresher renews pairs by asking for new ones: it needs no refresh token, and
// spends none. It is a refresh.Refresher, made by [Client.ClientCredentialsRefresher] or
// [Client.TokenExchangeRefresher]. It is safe for concurrent use if what it asks is.
type GrantRefresher struct {
	client *Client
	renew  func(context.Context) (*TokenPair, error)
}

// ClientCredentialsRefresher returns a refresher for pairs that
// [Client.ClientCredentials] obtained. A refresh.Manager that has it needs no pair
// to start with: it obtains the first by itself.
func (c *Client) ClientCredentialsRefresher() *GrantRefresher {
	return &GrantRefresher{c, c.askAgain}
}

// TokenExchangeRefresher returns a refresher for pairs that [Client.ExchangeToken]
// obtained. Before each exchange it asks source for one, with a subject token
// that lives, such as the current token of another session. An error of source is
// returned as it is.
//
// A refusal is never [ErrLoginRequired]: invalid_grant is about the subject token, of
// which source may have another one by the next time, and so [ErrMisconfigured] here.
func (c *Client) TokenExchangeRefresher(source func(context.Context) (TokenExchange, error)) *GrantRefresher {
	return &GrantRefresher{c, func(ctx context.Context) (*TokenPair, error) { return c.exchangeAgain(ctx, source) }}
}

// Refresh obtains a new pair in place of t, which may be nil and is not sent: a
// refresh token in it is neither needed nor spent. After an answer with
// Retry-After it fails with [ErrTransient] until then, without a request, like
// [Client.Refresh].
func (r *GrantRefresher) Refresh(ctx context.Context, _ *TokenPair) (*TokenPair, error) {
	return r.renew(ctx)
}

// RenewsWithoutRefreshToken tells a refresh.Manager that a pair needs no refresh
// token to be renewed.
func (r *GrantRefresher) RenewsWithoutRefreshToken() bool { return true }

// ConfigID is that of the client: see [Client.ConfigID].
func (r *GrantRefresher) ConfigID() string { return r.client.ConfigID() }

// Server names the authorization server; see [Client.Server].
func (r *GrantRefresher) Server() string { return r.client.Server() }

// ResourceTransport is that of the client: see [Client.ResourceTransport].
func (r *GrantRefresher) ResourceTransport() http.RoundTripper { return r.client.ResourceTransport() }

// CertificateThumbprint is that of the client: see [Client.CertificateThumbprint].
func (r *GrantRefresher) CertificateThumbprint() string { return r.client.CertificateThumbprint() }
