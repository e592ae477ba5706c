package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// Some sessions need neither a refresh token nor a person: their pairs are asked for
// anew, by client credentials or token exchange. No grant of theirs can be over, and
// no login brings one back, so they never end by themselves.

// renews reports whether OAuthClient can renew a pair.
func (s *setup) renews(t *oauth.TokenPair) bool { return t.RefreshToken != "" || s.asksAnew(t) }

// asksAnew reports whether OAuthClient renews a pair without a refresh token.
func (s *setup) asksAnew(t *oauth.TokenPair) bool {
	return s.tokenless || t.RefreshToken == "" && t.GrantType != "" && s.renewsGrant(t.GrantType)
}

// checkRenewable returns an error for a pair that can be asked for anew, but not by
// OAuthClient. Without it such a session would die at its first renewal. A login
// without a refresh token is another matter: nobody can renew that, and it is good
// until it ends.
func (s *setup) checkRenewable(t *oauth.TokenPair) error {
	if s.renews(t) || s.Follower || s.Renewal == RenewNever {
		return nil
	}
	switch t.GrantType {
	case oauth.GrantTypeClientCredentials:
		return fmt.Errorf("Config.OAuthClient cannot renew a pair from client credentials; "+
			"use a *oauth.Client, or its ClientCredentialsRefresher: %w", oauth.ErrMisconfigured)
	case oauth.GrantTypeTokenExchange:
		return fmt.Errorf("Config.OAuthClient cannot renew a pair from a token exchange; "+
			"use (*oauth.Client).TokenExchangeRefresher, which knows what to exchange: %w", oauth.ErrMisconfigured)
	}
	return nil
}

// withoutLogin returns a failure to renew pair as one that no login to this session
// mends, if pair is asked for anew. The cause is kept as text, because errors.Is
// would find the other session's verdict in it.
func (s *setup) withoutLogin(pair *oauth.TokenPair, err error) error {
	if !s.asksAnew(pair) || !errors.Is(err, oauth.ErrLoginRequired) {
		return err
	}
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Err: errors.New(err.Error()),
		Hint: "what this session's tokens are obtained with needs a login of its own; the session goes on after that"}
}

// notObtained records a failure to ask for a pair anew. Whatever the server's words,
// they are about the client or the moment.
func (m *managed) notObtained(ctx context.Context, err error, v oauth.Verdict) error {
	switch v {
	case oauth.VerdictTrouble, oauth.VerdictUnknown:
		return m.failed(ctx, err)
	case oauth.VerdictClient:
		return m.clientRefused(err)
	case oauth.VerdictUnclear:
		if !errors.Is(err, oauth.ErrMisconfigured) {
			return m.refusedOnce(err, StateRetrying, slowly*m.cfg.CheckInterval)
		}
	}
	return m.misconfigured(failure.WithKind(err, oauth.ErrMisconfigured, nil))
}

// beginEmpty begins a session whose first pair is yet to be obtained.
func (m *managed) beginEmpty() {
	m.rec = &tokenstore.Record{Tokens: new(oauth.TokenPair)}
	m.setHealth(func(h *health) { *h = noSession })
}

// empty reports whether the session has no pair yet, and is to get one.
func (m *managed) empty() bool { return m.rec != nil && isEmpty(m.rec) }

// isEmpty reports whether a record holds no token. Stores keep none of those.
func isEmpty(rec *tokenstore.Record) bool {
	return rec.Tokens.AccessToken == "" && rec.Tokens.RefreshToken == ""
}
