package oauth

import (
	"context"
	"errors"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

var errScopeNames = errors.New("name at least one scope, each without separators or quotes")

// RefreshScope is [Client.Refresh] for an access token of less scope: only the
// scopes named, which must be among those that the person has agreed to (RFC 6749
// section 6). Use it to hand a token on to something that is to be trusted with
// less. The refresh token keeps the scope that it has, so the next Refresh brings
// all of it back.
//
// It spends t's refresh token, like Refresh: save the result. A session that a
// refresh.Manager keeps alive is not to be refreshed beside it.
//
// Too much scope is ErrMisconfigured (invalid_scope), and spends nothing. No other
// call narrows a scope, and none does so by itself. Safe for concurrent use.
func (c *Client) RefreshScope(ctx context.Context, t *TokenPair, scopes ...string) (*TokenPair, error) {
	for _, scope := range scopes {
		if !member.UsableToken(scope) || strings.ContainsAny(scope, " \"\\") || strings.Contains(scope, c.scopeSeparator()) {
			return nil, misconfigured(opRefresh, errScopeNames)
		}
	}
	if len(scopes) == 0 {
		return nil, misconfigured(opRefresh, errScopeNames)
	}
	return c.refresh(ctx, t, c.joinScopes(scopes))
}
