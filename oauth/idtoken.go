package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// maxVerify bounds Config.VerifyIDToken on refresh. Until it returns, the new
// refresh token is in memory only, and if the process ends, so does the session:
// long enough to fetch keys from a server that answered a moment ago.
const maxVerify = 5 * time.Second

// checkLogin returns pair, the answer to a login, if its ID token is what it
// should be. nonce is the one sent with the request, or empty.
func (c *Client) checkLogin(ctx context.Context, op string, pair *TokenPair, nonce string) (*TokenPair, error) {
	if pair.IDToken == "" {
		return pair, nil
	}
	want := c.expectation(pair)
	want.nonce = nonce
	if fail := c.checkIDToken(ctx, op, pair.IDToken, want); fail != nil {
		return nil, fail
	}
	return pair, nil
}

// checkRenewed judges the ID token that came with next, the successor of old. One
// that fails is removed from next, and next says why: the refresh token beside it
// is all that the session has, and is not to be lost over an ID token. Only an
// answer about another person is an error, since nothing in it is old's owner's.
func (c *Client) checkRenewed(ctx context.Context, next, old *TokenPair) error {
	if next.IDToken == "" {
		return nil
	}
	if fail := judgeSubject(next.IDToken, old.IDToken); fail != nil {
		return fail
	}
	ctx, cancel := context.WithTimeout(ctx, maxVerify)
	defer cancel()
	want := c.expectation(next)
	want.before = old.IDToken
	if fail := c.checkIDToken(ctx, opRefresh, next.IDToken, want); fail != nil {
		next.IDToken, next.IDTokenError = "", fail
	}
	return nil
}

// expectation is what an ID token that came with pair is compared with.
func (c *Client) expectation(pair *TokenPair) idExpectation {
	return idExpectation{
		issuer:   c.cfg.Issuer,
		template: c.cfg.IssuerTemplate,
		clientID: c.cfg.ClientID,
		access:   pair.AccessToken,
		// The server's clock, as far as its answer told: a machine whose clock is
		// wrong must be able to log in.
		now: c.cfg.Now().Add(-pair.Skew),
	}
}

// checkIDToken checks the claims, then lets the program check the signature.
func (c *Client) checkIDToken(ctx context.Context, op, token string, want idExpectation) *Error {
	if fail := judgeIDToken(op, token, want); fail != nil {
		return fail
	}
	if c.cfg.VerifyIDToken == nil {
		return nil
	}
	if c.cfg.Endpoints.JWKS != "" {
		if err := wire.CheckField("Endpoints.JWKS", c.cfg.Endpoints.JWKS); err != nil {
			return idTokenError(op, ErrMisconfigured, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	err := c.verifyIDToken(ctx, token)
	if err == nil {
		return nil
	}
	kind := ErrMisconfigured
	if errors.Is(err, ErrTransient) || ctx.Err() != nil {
		kind = ErrTransient
	}
	return idTokenError(op, kind, err)
}

// verifyIDToken calls the program's hook. A panic there must not take the tokens
// with it that came beside the ID token; its text could hold a secret.
func (c *Client) verifyIDToken(ctx context.Context, token string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in Config.VerifyIDToken (%T)", p)
		}
	}()
	return c.cfg.VerifyIDToken(ctx, IDTokenCheck{
		Token: token, Issuer: c.cfg.Issuer, ClientID: c.cfg.ClientID, JWKSURL: c.cfg.Endpoints.JWKS, HTTPClient: c.sender.HTTP,
	})
}
