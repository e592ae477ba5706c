package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

var errDPoPKeyLost = errors.New("the DPoP key that the refresh token is bound to is not in the pair")

// loginKey returns the key for a login's tokens: a new one, or none if
// Config.DPoP is off.
func (c *Client) loginKey() DPoPKey {
	if !c.cfg.DPoP {
		return DPoPKey{}
	}
	return newDPoPKey()
}

// refreshKey returns the key to spend t's refresh token with. A public client's
// is bound to the key of the login (RFC 9449 section 5), so without it no request
// helps; a confidential client proves itself otherwise and may take a new key.
func (c *Client) refreshKey(t *TokenPair) (DPoPKey, *Error) {
	switch {
	case !t.DPoPKey.IsZero():
		return t.DPoPKey, nil
	case !c.cfg.DPoP || t.Type() != "DPoP":
		return c.loginKey(), nil // of a session from before Config.DPoP, if it is on
	case c.auth.isPublic():
		return DPoPKey{}, &Error{Op: opRefresh, Kind: ErrLoginRequired, Err: errDPoPKeyLost}
	}
	return newDPoPKey(), nil
}

// checkBound refuses a pair that came although a bound one was asked for (RFC
// 9449 section 5): a token that needs no proof is what Config.DPoP is to prevent.
func (c *Client) checkBound(op string, pair *TokenPair) *Error {
	if !c.cfg.DPoP || pair.Type() == "DPoP" {
		return nil
	}
	return &Error{
		Op: op, Kind: ErrMisconfigured, Status: http.StatusOK, Sent: true, Err: ErrDowngraded,
		Field: "DPoP", Hint: "enable DPoP for this client at the server, or turn Config.DPoP off",
	}
}

// keepRefreshToken returns the pair to go on with after an answer whose access
// token is refused: t, with the refresh token that is now the one to spend.
func keepRefreshToken(t, answer *TokenPair) *TokenPair {
	kept := t.Clone()
	kept.RefreshToken, kept.RefreshExpiresAt = answer.RefreshToken, answer.RefreshExpiresAt
	kept.DPoPKey = answer.DPoPKey
	return kept
}

// postProven is post with a proof of key. skew is how wrong our clock was when the
// pair at hand came.
func (c *Client) postProven(ctx context.Context, op, endpoint string, form url.Values, key DPoPKey, skew time.Duration) (*wire.Answer, *Error) {
	a, fail := c.sendProven(ctx, op, endpoint, proving{key: key, skew: skew}, func(ctx context.Context) (*http.Request, error) {
		return c.newRequest(ctx, endpoint, form)
	})
	if fail != nil {
		return nil, fail
	}
	return c.authenticated(a), nil
}

// A proving is what the proofs for one request are made from.
type proving struct {
	key    DPoPKey
	access string        // the access token that goes with the request, or ""
	skew   time.Duration // how wrong our clock is, unless we have learned better
}

// sendProven is send with a proof in the request that build makes. A proof that is
// refused for the lack of a nonce, or for a clock that turns out to be wrong, is
// made anew and the request sent once more: the server has not looked at what it
// asks for (RFC 9449 sections 8 and 9).
func (c *Client) sendProven(ctx context.Context, op, endpoint string, p proving, build func(context.Context) (*http.Request, error)) (*wire.Answer, *Error) {
	hints := c.dpop.Recall(endpoint)
	if !hints.Clocked {
		hints.Skew = p.skew
	}
	for again := false; ; again = true {
		a, fail := c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
			req, err := build(ctx)
			if err != nil {
				return nil, err
			}
			proof, err := p.key.Proof(req.Method, req.URL, p.access, hints.Nonce, c.cfg.Now().Add(-hints.Skew))
			req.Header.Set("DPoP", proof)
			return req, err
		})
		if fail != nil {
			return nil, fail
		}
		sent := hints
		hints = c.dpop.Learn(endpoint, a.Header, a.Received)
		if again || !dpop.Again(p.refusal(a), sent, hints) {
			return a, nil
		}
	}
}

// refusal returns the error code of a refusal: in the body at the token endpoint
// (RFC 9449 section 8), in the challenge where a token is presented (section 9).
func (p proving) refusal(a *wire.Answer) string {
	switch {
	case p.access != "":
		return proofError(a)
	case wire.IsRefusal(a.Status):
		return wire.ErrorCode(a.Fields(), nil)
	}
	return ""
}

// proofError returns the error code by which a 401 refuses a proof, and not the
// token, or "".
func proofError(a *wire.Answer) string {
	code := strings.ToLower(challenge.Params(a.Header, "DPoP")["error"])
	if a.Status == http.StatusUnauthorized && (code == wire.CodeDPoPNonce || code == wire.CodeDPoPProof) {
		return code
	}
	return ""
}
