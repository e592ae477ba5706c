package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

var errNoAccessToken = errors.New("there is no access token")

// present asks for endpoint with t's access token, and with a proof if that is
// bound to a key (RFC 6750 section 2.1, RFC 9449 section 7.1).
func (c *Client) present(ctx context.Context, op, endpoint string, t *TokenPair) (answer, *Error) {
	switch {
	case t == nil || !usableToken(t.AccessToken):
		return answer{}, misconfigured(op, errNoAccessToken)
	case t.Type() == "Bearer":
		return c.get(ctx, op, endpoint, "Bearer "+t.AccessToken)
	case t.Type() != "DPoP":
		return answer{}, misconfigured(op, fmt.Errorf("a token of type %q cannot be presented", t.Type()))
	case t.DPoPKey.IsZero():
		return answer{}, misconfigured(op, errors.New("a DPoP token cannot be presented without its key"))
	}
	p := proving{key: t.DPoPKey, access: t.AccessToken, skew: t.Skew}
	return c.sendProven(ctx, op, endpoint, p, func(ctx context.Context) (*http.Request, error) {
		return newBodiless(ctx, http.MethodGet, endpoint, "DPoP "+t.AccessToken)
	})
}

// explainRejection says in fail what a 401 means where a token was presented: a
// refusal of the proof is none of the token.
func (a answer) explainRejection(fail *Error) {
	fail.Kind, fail.Hint = ErrTransient, "the access token was rejected; renew it"
	switch code := a.proofError(); code {
	case errCodeDPoPNonce: // twice: its nonces change too fast for us
		fail.Code, fail.Hint = code, ""
	case errCodeDPoPProof:
		fail.Code, fail.Kind = code, ErrMisconfigured
		fail.Hint = "check this machine's clock, and that the address is the one by which the server knows itself"
	}
}
