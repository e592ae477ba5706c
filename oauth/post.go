package oauth

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// send sends the request that build makes, within Config.Timeout, and returns what came
// back, or an Error if nothing did.
func (c *Client) send(ctx context.Context, op string, build func(context.Context) (*http.Request, error)) (*wire.Answer, *Error) {
	a, fail := c.sender.Send(ctx, op, build)
	return a, (*Error)(fail)
}

// get is send for one GET with the given Authorization header, which may be empty.
func (c *Client) get(ctx context.Context, op, endpoint, authorization string) (*wire.Answer, *Error) {
	a, fail := c.sender.Get(ctx, op, endpoint, authorization)
	return a, (*Error)(fail)
}

// post sends form to endpoint as one POST with the client's authentication, and
// returns what came back, or an Error if nothing did.
func (c *Client) post(ctx context.Context, op, endpoint string, form url.Values) (*wire.Answer, *Error) {
	a, fail := c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return c.newRequest(ctx, endpoint, form)
	})
	if fail != nil {
		return nil, fail
	}
	c.dpop.Learn(endpoint, a.Header, a.Received)
	return c.authenticated(a), nil
}

// authenticated returns a as the answer to a request with the client's
// authentication.
func (c *Client) authenticated(a *wire.Answer) *wire.Answer {
	a.Settings = wire.Settings{
		DefaultLifetime: c.cfg.DefaultLifetime, EndCodes: c.cfg.Preset.EndCodes, TokenPath: c.cfg.TokenPath,
		Basic: c.auth.byBasic(), ClientHint: c.auth.hint(),
	}
	if c.auth.usesSecret() {
		a.Settings.SecretEnds = c.auth.secretEnds
	}
	return a
}

// newRequest builds the POST.
func (c *Client) newRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	switch c.auth.Method() {
	case authNone, authMTLS, authSelfSignedMTLS:
		form.Set("client_id", c.cfg.ClientID)
	case authPrivateKeyJWT:
		now := c.cfg.Now().Add(-c.dpop.Recall(endpoint).Skew)
		if err := c.auth.key.addAssertion(form, c.cfg.ClientID, cmp.Or(c.cfg.Issuer, c.cfg.TokenURL), now); err != nil {
			return nil, err
		}
	case authPost:
		form.Set("client_id", c.cfg.ClientID)
		form.Set("client_secret", c.auth.secret)
	}
	req, err := wire.NewForm(ctx, endpoint, form)
	if err != nil {
		return nil, err
	}
	switch c.auth.Method() {
	case authBasic:
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.auth.secret))
	case authBasicRaw:
		req.SetBasicAuth(c.cfg.ClientID, c.auth.secret)
	}
	return req, nil
}
