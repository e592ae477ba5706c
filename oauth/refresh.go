package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// RefreshToken trades a refresh token for a new pair (RFC 6749 section 6). Most
// callers want [Client.Refresh], which keeps what the answer omits.
//
// It sends one request and never repeats it, since the server may already have
// consumed the refresh token. If the answer has no refresh token, the result
// keeps the one given.
//
// The end of ctx hangs up, and loses the answer with what may be the only valid refresh
// token. So give it minutes; a caller that has less patience should wait elsewhere for
// the outcome, as callers of a refresh.Manager do. A ctx without a deadline counts as one
// of three minutes; Config.Timeout does not matter here.
//
// Errors are of type [*Error]. An empty refresh token is ErrRefreshTokenRequired
// without a request; a refusal that means the session is over matches
// ErrLoginRequired; [Error.Unknown] tells whether the token may have been spent.
// [Error.RetryAt] tells until when the server wants to be left alone; a refresh.Manager
// heeds that, and this Client does not. Safe for concurrent use, but do not spend one
// token twice.
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
// In another case there are both, too: when the answer has a refresh token where none is
// looked for. The error matches [ErrUnreadAnswer], and names the place. The access token of
// the pair is good, and its refresh token is t's, which is spent: do not send it again
// before the configuration says where the new one is.
//
// And there are both when the answer has a new refresh token and no access token that can be
// used, as one that broke off in between (ErrTransient). The pair is t with the new refresh
// token, which is the one to send from then on: save it.
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
		return c.ClientCredentials(ctx)
	}
	return c.refresh(ctx, t, "")
}

// refresh is Refresh for an access token of less scope, unless narrowed is empty.
func (c *Client) refresh(ctx context.Context, t *TokenPair, narrowed string) (*TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &Error{Op: opRefresh, Kind: ErrLoginRequired, Err: ErrRefreshTokenRequired}
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
	next, unread := c.requestPair(ctx, opRefresh, form, key, t.Skew)
	if next == nil {
		return nil, unread
	}
	if err := c.checkRenewed(ctx, next, t); err != nil {
		return nil, err
	}
	if next.Scope == "" {
		next.Scope = narrowed // RFC 6749 section 5.1: left out means as asked
	}
	next.keep(t)
	c.limitLife(next, t.RefreshToken)
	if next.AccessToken == "" {
		return keepRefreshToken(t, next), unread
	}
	switch fail := c.checkBound(opRefresh, next); {
	case fail != nil && unread != nil:
		return nil, unread // neither of its tokens can be used
	case fail != nil:
		return keepRefreshToken(t, next), fail
	}
	return next, unread
}

// judge decides what an answer means: exactly one of pair and error is non-nil, but for
// a refresh whose answer has a refresh token where none is looked for, or one without an
// access token: then there are both, in the second case a pair without one. Only a closed
// list of codes means that a login is required.
func judge(a *wire.Answer) (*TokenPair, *Error) {
	fields := a.Fields()
	if wire.IsSuccess(a.Status) {
		members, closed := a.TokenFields(fields)
		if pair := ReadPair(a, members); pair != nil && wire.Suffices(pair.RefreshToken, closed) {
			if pair.RefreshToken == "" {
				return pair, (*Error)(a.Overlooked(pair.AccessToken, ""))
			}
			return pair, nil
		}
	}
	fail := a.Failure(fields)
	a.Miss(fail)
	if wire.IsSuccess(a.Status) {
		members, _ := a.TokenFields(fields)
		if next := a.Successor(fail, members); next != "" {
			return successorOf(a, members, next), (*Error)(fail)
		}
	}
	return nil, (*Error)(fail)
}

// successorOf returns what an answer has brought of which the refresh token alone can be used.
func successorOf(a *wire.Answer, members member.Fields, refresh string) *TokenPair {
	p := &TokenPair{RefreshToken: refresh, IssuedAt: a.SentAt.Round(0), IDToken: strings.TrimSpace(members.Text("id_token"))}
	if life, known := a.Clocks().OfRefresh(members, refresh); known {
		p.RefreshExpiresAt = p.IssuedAt.Add(life)
	}
	return p
}

// Keeping returns t with what it lacks taken from old, the pair it succeeds:
// refresh token and that token's end, time of the login, grant type, scope, ID token, DPoP key and
// extra fields. Neither is modified. Authors of a refresh.Refresher need it when their server omits
// what has not changed.
func (t *TokenPair) Keeping(old *TokenPair) *TokenPair {
	next := t.Clone()
	if old != nil {
		next.keep(old)
	}
	return next
}

// keep is Keeping for a pair that only its caller has.
func (t *TokenPair) keep(old *TokenPair) {
	if t.RefreshToken == "" {
		t.RefreshToken = old.RefreshToken
	}
	if t.RefreshExpiresAt.IsZero() && t.RefreshToken == old.RefreshToken {
		t.RefreshExpiresAt = old.RefreshExpiresAt
	}
	if t.GrantedAt.IsZero() {
		t.GrantedAt = old.GrantedAt
	}
	if t.GrantType == "" && t.RefreshToken == "" {
		t.GrantType = old.GrantType
	}
	if t.TokenType == "" {
		t.TokenType = old.TokenType
	}
	if t.DPoPKey.IsZero() {
		t.DPoPKey = old.DPoPKey
	}
	if t.Scope == "" {
		t.Scope = old.Scope
	}
	if t.IDToken == "" {
		t.IDToken = old.IDToken
	}
	if len(old.Extra) > 0 {
		extra := make(map[string]json.RawMessage, len(old.Extra)+len(t.Extra))
		maps.Copy(extra, old.Clone().Extra)
		maps.Copy(extra, t.Extra)
		t.Extra = extra
	}
}

// ReadPair returns the pair that members of an answer hold, which it uses up, or nil
// without a usable access token, which a header must be able to carry. It also returns
// nil if the refresh token cannot be read: to keep the one that we have in its place
// would end the session with the next refresh.
//
// It is for the packages beside this one: outside of them nothing has its arguments.
func ReadPair(a *wire.Answer, members member.Fields) *TokenPair {
	wire.FindRefreshToken(members)
	access := member.BareToken(member.Token(members["access_token"]))
	if !member.UsableToken(access) || member.Illegible(members["refresh_token"]) {
		return nil
	}
	sentAt, clocks := a.SentAt.Round(0), a.Clocks()
	p := &TokenPair{
		AccessToken:  access,
		RefreshToken: member.Token(members["refresh_token"]),
		TokenType:    members.Text("token_type"),
		IssuedAt:     sentAt,
		Scope:        members.Scope(),
		IDToken:      strings.TrimSpace(members.Text("id_token")),
		Skew:         a.Skew(),
	}
	p.ExpiresIn, _ = members.Seconds("expires_in")
	if life, known := clocks.OfAccess(members, access, a.Settings.DefaultLifetime); known {
		p.ExpiresAt = sentAt.Add(life)
	}
	if life, known := clocks.OfRefresh(members, p.RefreshToken); known {
		p.RefreshExpiresAt = sentAt.Add(life)
	}
	p.RefreshAt = refreshHint(members, p)
	p.Extra = members.Without(member.ResponseNames)
	return p
}

// refreshHint reads Entra's refresh_in, the seconds after which a token should be
// renewed. One outside of the token's life is ignored.
func refreshHint(fields member.Fields, p *TokenPair) time.Time {
	seconds, _ := fields.Seconds("refresh_in")
	at := p.IssuedAt.Add(time.Duration(seconds) * time.Second)
	if !lifetime.Believable(seconds) || !p.ExpiresAt.IsZero() && !at.Before(p.ExpiresAt) {
		return time.Time{}
	}
	return at
}

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
