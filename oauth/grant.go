package oauth

import (
	"context"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

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
	return pair, nil
}

// requestPair sends one token request, with a proof of key unless that is zero,
// and judges the answer. The pair has the key. skew is for postProven.
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
	pair, fail := judge(a)
	if fail != nil {
		return nil, fail
	}
	pair.DPoPKey = key
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
