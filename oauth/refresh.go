package oauth

import (
	"cmp"
	"context"
	"net/url"
)

// RefreshToken trades a refresh token for a new pair (RFC 6749 section 6). Most
// callers want [Client.Refresh], which keeps what the answer omits.
//
// It sends one request and never repeats it, since the server may already have
// consumed the refresh token. If the answer has no refresh token, the result
// keeps the one given. Config.Timeout bounds the request within ctx.
//
// Errors are of type [*Error]. An empty refresh token is ErrRefreshTokenRequired
// without a request; a refusal that means the session is over matches
// ErrLoginRequired; [Error.Unknown] tells whether the token may have been spent.
// After an answer with Retry-After, further refreshes by this Client fail with
// ErrTransient until then, without a request: the wish concerns all sessions of
// the server. Safe for concurrent use, but do not spend one token twice.
func (c *Client) RefreshToken(ctx context.Context, refreshToken string) (*TokenPair, error) {
	return c.Refresh(ctx, &TokenPair{RefreshToken: refreshToken})
}

// Refresh trades t's refresh token for a new pair (RFC 6749 section 6), like
// [Client.RefreshToken], and keeps of t what the answer omits: refresh token and
// its end, scope, ID token, extra fields. t is not modified.
//
// With a DPoP key in t, or with Config.DPoP, the request carries a proof (RFC 9449
// section 5); use_dpop_nonce, and a proof refused for a clock that the answer shows
// to be wrong, are answered by sending the request once more. Without the key of a
// DPoP session a public client gets ErrLoginRequired, and no request is sent.
//
// In one case there is both a pair and an error: with Config.DPoP, when the
// server answers with a token that is not bound. The error matches ErrDowngraded
// and ErrMisconfigured. The pair is t with the refresh token that takes the place
// of t's, which may be spent: save it. The unbound access token is dropped.
//
// An ID token in the answer is checked (OpenID Connect Core section 12.2). If one
// fails, the result keeps t's, and its IDTokenError says why; that is not an error of
// Refresh, whose caller must save the new refresh token. But an answer about
// another subject than t's ID token is not the session's: it is dropped whole,
// with an error that matches [ErrIDToken] and ErrTransient and is Unknown.
//
// A pair that [Client.ClientCredentials] gave has no refresh token: it is renewed
// by asking for another one in the same way. A pair from a token exchange is not,
// since only the program knows the token to exchange; see
// [Client.TokenExchangeRefresher].
func (c *Client) Refresh(ctx context.Context, t *TokenPair) (*TokenPair, error) {
	if t != nil && t.RefreshToken == "" && c.RenewsGrant(t.GrantType) {
		return c.askAgain(ctx)
	}
	return c.refresh(ctx, t, "")
}

// refresh is Refresh for an access token of less scope, unless narrowed is empty.
func (c *Client) refresh(ctx context.Context, t *TokenPair, narrowed string) (*TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &Error{Op: opRefresh, Kind: ErrLoginRequired, Err: ErrRefreshTokenRequired}
	}
	if fail := c.mustWait(opRefresh); fail != nil {
		return nil, fail
	}
	key, fail := c.refreshKey(t)
	if fail != nil {
		return nil, fail
	}
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {t.RefreshToken},
	}
	if scope := cmp.Or(narrowed, c.refreshScope()); scope != "" {
		form.Set("scope", scope)
	}
	next, err := c.requestPair(ctx, opRefresh, form, key, t.Skew)
	if err != nil {
		c.rememberWait(err)
		return nil, err
	}
	if err := c.checkRenewed(ctx, next, t); err != nil {
		return nil, err
	}
	if next.Scope == "" {
		next.Scope = narrowed // RFC 6749 section 5.1: left out means as asked
	}
	next.keep(t)
	if fail := c.checkBound(opRefresh, next); fail != nil {
		return keepRefreshToken(t, next), fail
	}
	return next, nil
}
