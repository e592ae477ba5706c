package oauth

import (
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
		Basic: c.cfg.ClientAuth == AuthBasic || c.cfg.ClientAuth == AuthBasicRaw, ClientHint: c.cfg.ClientAuth.hint(),
	}
	if c.cfg.ClientAuth.usesSecret() {
		a.Settings.SecretEnds = c.cfg.ClientSecretExpiresAt
	}
	return a
}

// addTokenParams adds Config.TokenParams to a request for the token endpoint.
func (c *Client) addTokenParams(form url.Values) {
	for name, values := range c.cfg.TokenParams {
		if !form.Has(name) {
			form[name] = values
		}
	}
}

// newRequest builds the POST.
func (c *Client) newRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	id, secret := c.cfg.ClientID, c.cfg.ClientSecret
	switch c.cfg.ClientAuth {
	case AuthNone, AuthMTLS, AuthSelfSignedMTLS:
		form.Set("client_id", id)
	case AuthPrivateKeyJWT:
		if err := c.addAssertion(endpoint, form); err != nil {
			return nil, err
		}
	case AuthPost:
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	req, err := wire.NewForm(ctx, endpoint, form)
	if err != nil {
		return nil, err
	}
	switch c.cfg.ClientAuth {
	case AuthBasic:
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	case AuthBasicRaw:
		req.SetBasicAuth(id, secret)
	}
	return req, nil
}
