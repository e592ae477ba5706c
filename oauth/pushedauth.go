package oauth

import (
	"context"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// PushAuthCode is [Client.AuthCodeURL] by way of Config.Endpoints.PushedAuth: it hands
// the authorization request to the server itself, with the client's
// authentication, and gets a reference to it for the browser (pushed
// authorization requests, RFC 9126). LoginRequest.URL then holds client_id and
// request_uri and nothing else of the request, so the browser and what it passes
// through can neither read nor change it.
//
// The reference serves once and soon ends: send the browser there before
// LoginRequest.ExpiresAt. The resource indicators are those that ctx carries
// ([WithResource]), or else Config.Resources.
//
// It sends one request. Errors are of type [*Error] with the Op "push", or
// "authorize" for a mistake in the configuration. Safe for concurrent use.
func (c *Client) PushAuthCode(ctx context.Context) (*LoginRequest, error) {
	if c.cfg.RedirectURL == "" {
		return nil, misconfigured(opAuthorize, wire.Wrong("RedirectURL", "is empty"))
	}
	req, err := c.loginRequest(c.cfg.RedirectURL, c.resources(ctx))
	if err != nil {
		return nil, err
	}
	if err := c.push(ctx, req); err != nil {
		return nil, err
	}
	return req, nil
}

// push hands the request in req.URL to the server, and replaces the URL by one
// that refers to it.
func (c *Client) push(ctx context.Context, req *LoginRequest) error {
	if err := c.ready(opPush, "Endpoints.PushedAuth", c.cfg.Endpoints.PushedAuth); err != nil {
		return err
	}
	u, err := url.Parse(req.URL)
	if err != nil {
		return misconfigured(opPush, wire.Wrong("AuthURL", "is not a URL"))
	}
	form := u.Query()
	// RFC 9126 section 2.1 forbids to push a reference to another request.
	form.Del("request_uri")
	a, fail := c.post(ctx, opPush, c.cfg.Endpoints.PushedAuth, form)
	if fail != nil {
		return fail
	}
	requestURI, expiresAt, fail := judgePushed(a)
	if fail != nil {
		return fail
	}
	req.URL, req.ExpiresAt = c.pushedURL(u, requestURI), expiresAt
	return nil
}

// pushedURL returns where the browser goes with a reference: u's address with the
// query that Config.AuthURL has itself (RFC 6749 section 3.1), client_id and
// request_uri (RFC 9126 section 4).
func (c *Client) pushedURL(u *url.URL, requestURI string) string {
	target, query := *u, url.Values{}
	if configured, err := url.Parse(c.cfg.AuthURL); err == nil {
		query = configured.Query()
	}
	query.Set("client_id", c.cfg.ClientID)
	query.Set("request_uri", requestURI)
	target.RawQuery = query.Encode()
	return target.String()
}

// judgePushed reads the answer to a pushed request: a reference with its end, or
// an error. RFC 9126 section 2.2 wants 201; servers also say 200. A server that
// does not tell when the reference ends leaves expiresAt zero.
func judgePushed(a *wire.Answer) (requestURI string, expiresAt time.Time, fail *Error) {
	fields := a.Fields()
	requestURI = fields.Text("request_uri")
	if !wire.IsSuccess(a.Status) || !member.UsableToken(requestURI) {
		return "", time.Time{}, (*Error)(a.Failure(fields))
	}
	if seconds, ok := fields.Seconds("expires_in"); ok && lifetime.Believable(seconds) {
		expiresAt = a.SentAt.Round(0).Add(time.Duration(seconds) * time.Second)
	}
	return requestURI, expiresAt, nil
}
