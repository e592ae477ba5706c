package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Revoke asks the server to end what t gives access to (RFC 7009). It revokes
// the refresh token, with which servers end the whole grant, or the access token
// of a pair without one.
//
// Revoke last: when a new login replaces an old one, save the new pair first, and
// when logging out, delete the pair from the store whatever Revoke says. Do not
// use t afterwards; a revoked refresh token that is spent counts as stolen at some
// servers, which then end the person's other sessions as well.
//
// It sends one request. That the server does not know the token is success, told
// by 200 (RFC 7009 section 2.2) or, against it, by invalid_grant, invalid_token
// or another code for a dead token.
// Errors are of type [*Error]: [ErrTransient] means that the token still lives and
// to try again, after RetryAt if that is set; [ErrNotRevoked] that the server will not
// revoke it for this client; [ErrMisconfigured] otherwise that Config.RevocationURL cannot
// be used. t is not modified. Safe for concurrent use.
func (c *Client) Revoke(ctx context.Context, t *TokenPair) error {
	if err := c.ready(opRevoke, "RevocationURL", c.cfg.RevocationURL); err != nil {
		return err
	}
	form, err := revocationForm(t)
	if err != nil {
		return misconfigured(opRevoke, err)
	}
	a, fail := c.post(ctx, opRevoke, c.cfg.RevocationURL, form)
	if fail != nil {
		return fail
	}
	if fail := judgeRevocation(a); fail != nil {
		return fail
	}
	return nil
}

// CanRevoke reports whether there is an endpoint to revoke tokens at
// (Config.RevocationURL).
func (c *Client) CanRevoke() bool { return c.cfg.RevocationURL != "" }

func revocationForm(t *TokenPair) (url.Values, error) {
	switch {
	case t != nil && t.RefreshToken != "":
		return url.Values{"token": {t.RefreshToken}, "token_type_hint": {"refresh_token"}}, nil
	case t != nil && t.AccessToken != "":
		return url.Values{"token": {t.AccessToken}, "token_type_hint": {"access_token"}}, nil
	}
	return nil, errors.New("there is no token to revoke")
}

// judgeRevocation returns nil if the token is gone.
func judgeRevocation(a *wire.Answer) *Error {
	if wire.IsSuccess(a.Status) {
		return nil
	}
	fail := a.Failure(a.Fields())
	switch {
	case EndsSession(fail.Code), a.Status == http.StatusBadRequest && fail.Code == "invalid_token":
		return nil // dead already
	case fail.Code == "unsupported_token_type": // RFC 7009 section 2.2.1
		fail.Kind, fail.Hint = ErrMisconfigured, "the server does not revoke this kind of token"
	}
	return (*Error)(a.RevocationFailure(fail))
}
