package oauth

import (
	"context"
	"errors"
	"time"
)

// Grants that can be asked for again without a person; see TokenPair.GrantType.
const (
	GrantTypeClientCredentials = "client_credentials"                              // RFC 6749 section 4.4.2
	GrantTypeTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 section 2.1
	GrantTypeJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523 section 2.1
)

// ClientCredentials obtains a token for the client itself, with no person behind
// it (RFC 6749 section 4.4), for Config.Scopes. To keep such a session alive, give
// a refresh.Manager [Client.ClientCredentialsRefresher], which needs no first pair.
//
// The pair has no refresh token. If a server sends one, which section 4.4.3 advises
// against, it is dropped: the client's own credentials renew the pair for as long as
// they are good, and a refresh token would only add an end of its own.
//
// It sends one request. Errors are of type [*Error] and never [ErrLoginRequired],
// since no person can log in: a wrong secret is [ErrMisconfigured], and so is every
// other refusal by an error code that is known. Safe for concurrent use.
func (c *Client) ClientCredentials(ctx context.Context) (*TokenPair, error) {
	form := c.scopeForm(c.cfg.Scopes)
	form.Set("grant_type", GrantTypeClientCredentials)
	pair, err := c.grant(ctx, opClientCredentials, form)
	if err != nil {
		return nil, withoutLogin(err, "check client ID, client secret and that this client may use client credentials")
	}
	pair.RefreshToken, pair.RefreshExpiresAt = "", time.Time{}
	pair.GrantType = GrantTypeClientCredentials
	return pair, nil
}

// withoutLogin returns an error of a grant that no login can mend: what would ask
// for one means the client's setup, which hint says how to check.
func withoutLogin(err error, hint string) error {
	var fail *Error
	if !errors.As(err, &fail) || fail.Kind != ErrLoginRequired {
		return err
	}
	changed := *fail
	changed.Kind, changed.Hint = ErrMisconfigured, hint
	return &changed
}

// RenewsGrant reports whether Refresh renews pairs without a refresh token that
// this grant gave, by its grant_type: those of client credentials. It is for
// refresh.Manager.
func (c *Client) RenewsGrant(grantType string) bool { return grantType == GrantTypeClientCredentials }
