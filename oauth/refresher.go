package oauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A GrantRefresher renews pairs by asking for new ones: it needs no refresh token, and
// spends none. It is a refresh.Refresher, made by [Client.ClientCredentialsRefresher],
// [Client.JWTBearerRefresher], [Client.IdentityAssertionRefresher] or
// [Client.TokenExchangeRefresher]. It is safe for concurrent use if what it asks is. It
// prints without the client's secret.
type GrantRefresher struct {
	client *Client
	renew  func(context.Context) (*TokenPair, error)
}

// String describes the refresher by its client, without secrets.
func (r *GrantRefresher) String() string { return "oauth.GrantRefresher{" + r.client.String() + "}" }

// Format implements fmt.Formatter: every verb prints what String returns.
func (r *GrantRefresher) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// ClientCredentialsRefresher returns a refresher for pairs that
// [Client.ClientCredentials] obtained. A refresh.Manager that has it needs no pair
// to start with: it obtains the first by itself.
func (c *Client) ClientCredentialsRefresher() *GrantRefresher {
	return &GrantRefresher{c, c.ClientCredentials}
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

// JWTBearerRefresher returns a refresher for pairs that [Client.JWTBearer] obtained, and
// obtains the first by itself. It asks assertion for one before each request, since they
// end soon and many servers take each once: [AssertionFile] reads one that the platform
// keeps in a file, the package workload gets those of CI services and other platforms, and
// [Client.SelfSigned] signs one. An error of assertion is returned as
// it is; it must not hold the assertion.
//
// A refusal is never [ErrLoginRequired], and leads to no other grant: assertion may give
// one that is good by the next time.
func (c *Client) JWTBearerRefresher(assertion func(context.Context) (string, error)) *GrantRefresher {
	return &GrantRefresher{c, func(ctx context.Context) (*TokenPair, error) {
		token, err := assertion(ctx)
		if err != nil {
			return nil, err
		}
		return c.JWTBearer(ctx, token)
	}}
}

// IdentityAssertionRefresher returns a refresher for pairs that [Client.IdentityAssertion]
// obtained, and obtains the first by itself. Each time it takes both steps. An error of
// IdentityAssertion.Subject is returned as it is: one that matches [ErrLoginRequired] means a
// login at the company's identity provider, after which the session goes on.
func (c *Client) IdentityAssertionRefresher(x IdentityAssertion) *GrantRefresher {
	return &GrantRefresher{c, func(ctx context.Context) (*TokenPair, error) { return c.IdentityAssertion(ctx, x) }}
}

// Refresh obtains a new pair in place of t, which may be nil and is not sent: a
// refresh token in it is neither needed nor spent.
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

// grant sends a login's token request, with a key of its own if Config.DPoP is
// on, and judges the answer. c.cfg.Resources, or what ctx carries instead, goes
// with it.
func (c *Client) grant(ctx context.Context, op string, form url.Values) (*TokenPair, error) {
	return c.grantWith(ctx, op, form, c.loginKey())
}

// grantWith is grant with a key that may be there already.
func (c *Client) grantWith(ctx context.Context, op string, form url.Values, key DPoPKey) (*TokenPair, error) {
	pair, err := c.requestPair(ctx, op, form, key, 0)
	if err != nil {
		return nil, err
	}
	if fail := c.checkBound(op, pair); fail != nil {
		return nil, fail
	}
	if pair.RefreshToken != "" {
		pair.GrantedAt = pair.IssuedAt
		c.limitLife(pair, "")
	}
	return pair, nil
}

// requestPair sends one token request, with a proof of key unless that is zero,
// and judges the answer. The pair has the key. skew is for postProven. There are both a
// pair and an error only where judge gives both.
func (c *Client) requestPair(ctx context.Context, op string, form url.Values, key DPoPKey, skew time.Duration) (*TokenPair, error) {
	if err := c.ready(op, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	for _, resource := range c.resources(ctx) {
		form.Add("resource", resource)
	}
	c.addTokenParams(form)
	send := func() (*wire.Answer, *Error) { return c.post(ctx, op, c.cfg.TokenURL, form) }
	if !key.IsZero() {
		send = func() (*wire.Answer, *Error) { return c.postProven(ctx, op, c.cfg.TokenURL, form, key, skew) }
	}
	a, fail := send()
	if fail != nil {
		return nil, fail
	}
	a.Settings.Spent = form.Get("refresh_token")
	pair, fail := judge(a)
	if pair != nil {
		pair.DPoPKey = key
	}
	if fail != nil {
		return pair, fail
	}
	return pair, nil
}

// addTokenParams adds Config.TokenParams to a request for the token endpoint.
func (c *Client) addTokenParams(form url.Values) {
	for name, values := range c.cfg.TokenParams {
		if !form.Has(name) {
			form[name] = values
		}
	}
}
