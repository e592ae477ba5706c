package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

var errNoAccessToken = errors.New("there is no access token")

// present asks for endpoint with t's access token, and with a proof if that is
// bound to a key (RFC 6750 section 2.1, RFC 9449 section 7.1).
func (c *Client) present(ctx context.Context, op, endpoint string, t *TokenPair) (*wire.Answer, *Error) {
	switch {
	case t == nil || !member.UsableToken(t.AccessToken):
		return nil, misconfigured(op, errNoAccessToken)
	case t.Type() == "Bearer":
		return c.get(ctx, op, endpoint, "Bearer "+t.AccessToken)
	case t.Type() != "DPoP":
		return nil, misconfigured(op, fmt.Errorf("a token of type %q cannot be presented", t.Type()))
	case t.DPoPKey.IsZero():
		return nil, misconfigured(op, errors.New("a DPoP token cannot be presented without its key"))
	}
	p := proving{key: t.DPoPKey, access: t.AccessToken, skew: t.Skew}
	return c.sendProven(ctx, op, endpoint, p, func(ctx context.Context) (*http.Request, error) {
		return wire.NewBodiless(ctx, http.MethodGet, endpoint, "DPoP "+t.AccessToken)
	})
}

// explainRejection says in fail what a 401 means where a token was presented: a
// refusal of the proof is none of the token.
func explainRejection(a *wire.Answer, fail *Error) {
	fail.Kind, fail.Hint = ErrTransient, "the access token was rejected; renew it"
	switch code := proofError(a); code {
	case wire.CodeDPoPNonce: // twice: its nonces change too fast for us
		fail.Code, fail.Hint = code, ""
	case wire.CodeDPoPProof:
		fail.Code, fail.Kind = code, ErrMisconfigured
		fail.Hint = "check this machine's clock, and that the address is the one by which the server knows itself"
	}
}
