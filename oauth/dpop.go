package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
)

var errDPoPKeyLost = errors.New("the DPoP key that the refresh token is bound to is not in the pair")

// errCodeDPoPProof is the code for a proof that is no good (RFC 9449 section 5).
const errCodeDPoPProof = "invalid_dpop_proof"

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
	case c.cfg.ClientAuth == AuthNone:
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
		Hint: "enable DPoP for this client at the server, or turn Config.DPoP off",
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

// postProven is post with a proof of key. A proof that is refused for the lack of
// a nonce, or for a clock that turns out to be wrong, is made anew and the request
// sent once more: the server has not looked at what it asks for (RFC 9449 section
// 8). skew is how wrong our clock was when the pair at hand came.
func (c *Client) postProven(ctx context.Context, op, endpoint string, form url.Values, key DPoPKey, skew time.Duration) (answer, *Error) {
	hints := c.dpop.Recall(endpoint)
	if !hints.Clocked {
		hints.Skew = skew
	}
	for again := false; ; again = true {
		a, fail := c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
			req, err := c.newRequest(ctx, endpoint, form)
			if err != nil {
				return nil, err
			}
			proof, err := key.Proof(req.Method, req.URL, "", hints.Nonce, c.cfg.Now().Add(-hints.Skew))
			req.Header.Set("DPoP", proof)
			return req, err
		})
		if fail != nil {
			return answer{}, fail
		}
		a.auth = c.cfg.ClientAuth
		sent := hints
		hints = c.dpop.Learn(endpoint, a.header, a.received)
		if again || !isRefusal(a.status) || !dpop.Again(errorCode(a.fields()), sent, hints) {
			return a, nil
		}
	}
}
