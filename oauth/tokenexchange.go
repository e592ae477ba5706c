package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Token types of token exchange (RFC 8693 section 3), and of the identity assertion
// grant (draft-ietf-oauth-identity-assertion-authz-grant).
const (
	TokenTypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	TokenTypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TokenTypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TokenTypeIDJAG        = "urn:ietf:params:oauth:token-type:id-jag"
	TokenTypeJWT          = "urn:ietf:params:oauth:token-type:jwt"
	TokenTypeSAML1        = "urn:ietf:params:oauth:token-type:saml1"
	TokenTypeSAML2        = "urn:ietf:params:oauth:token-type:saml2"
)

// A TokenExchange says which token to exchange for what (RFC 8693 section 2.1).
// It prints redacted under every fmt verb and in slog.
type TokenExchange struct {
	// SubjectToken is for whom the new token is to be. Required.
	// SubjectTokenType defaults to TokenTypeAccessToken.
	SubjectToken, SubjectTokenType string
	// ActorToken is for the party that acts for the subject; empty means the client alone.
	// ActorTokenType defaults to TokenTypeAccessToken.
	ActorToken, ActorTokenType string
	// RequestedTokenType is what is wanted; empty leaves it to the server.
	RequestedTokenType string
	// Resources (RFC 8707) and Audiences name where the new token is to be used.
	// Config.Resources and WithResource have no part in it.
	Resources, Audiences []string
	// Scopes are asked for; empty leaves them to the server. Config.Scopes are not
	// sent.
	Scopes []string
}

// String describes the exchange without its tokens.
func (x TokenExchange) String() string {
	return fmt.Sprintf("oauth.TokenExchange{subject:%s actor:%s audiences:%d resources:%d}",
		wire.Presence(x.SubjectToken), wire.Presence(x.ActorToken), len(x.Audiences), len(x.Resources))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (x TokenExchange) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, x.String()) }

// LogValue implements slog.LogValuer.
func (x TokenExchange) LogValue() slog.Value { return slog.StringValue(x.String()) }

// ExchangeToken trades a token for one to be used elsewhere, or on behalf of
// another party (RFC 8693). The result's AccessToken is the token issued, whatever its
// type: [TokenPair.IssuedTokenType] tells, and a TokenType of "N_A" means that it
// is not an access token. There is normally no refresh token in the answer; renew by
// exchanging again. For an authorization code see [Client.Exchange].
//
// It sends one request and does not spend the tokens it sends. Errors are of type
// [*Error]. RFC 8693 section 2.2.2 makes servers answer invalid_request when the
// subject or actor token is invalid, so that an expired one is
// [ErrMisconfigured] like a mistake in the request; servers that say
// invalid_grant instead mean [ErrLoginRequired]. A token of another type than
// RequestedTokenType is [ErrMisconfigured] and is dropped. Safe for concurrent
// use.
func (c *Client) ExchangeToken(ctx context.Context, x TokenExchange) (*TokenPair, error) {
	if err := c.ready(opTokenExchange, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	form, err := c.exchangeForm(x)
	if err != nil {
		return nil, misconfigured(opTokenExchange, err)
	}
	c.addTokenParams(form)
	a, fail := c.post(ctx, opTokenExchange, c.cfg.TokenURL, form)
	if fail != nil {
		return nil, fail
	}
	pair, fail := judgeTokenExchange(a, x.RequestedTokenType)
	if fail != nil {
		return nil, fail
	}
	if pair.RefreshToken == "" {
		pair.GrantType = GrantTypeTokenExchange
	}
	return pair, nil
}

// exchangeForm returns the request, or why there is none.
func (c *Client) exchangeForm(x TokenExchange) (url.Values, error) {
	switch {
	case x.SubjectToken == "":
		return nil, errors.New("TokenExchange.SubjectToken is empty")
	case x.ActorToken == "" && x.ActorTokenType != "":
		return nil, errors.New("TokenExchange.ActorTokenType is set without an ActorToken")
	}
	form := url.Values{
		"grant_type":         {GrantTypeTokenExchange},
		"subject_token":      {x.SubjectToken},
		"subject_token_type": {orAccessToken(x.SubjectTokenType)},
	}
	if x.ActorToken != "" {
		form.Set("actor_token", x.ActorToken)
		form.Set("actor_token_type", orAccessToken(x.ActorTokenType))
	}
	if x.RequestedTokenType != "" {
		form.Set("requested_token_type", x.RequestedTokenType)
	}
	if len(x.Scopes) > 0 {
		form.Set("scope", c.joinScopes(x.Scopes))
	}
	for _, resource := range x.Resources {
		form.Add("resource", resource)
	}
	for _, audience := range x.Audiences {
		form.Add("audience", audience)
	}
	return form, nil
}

func orAccessToken(tokenType string) string {
	if tokenType == "" {
		return TokenTypeAccessToken
	}
	return tokenType
}

// IssuedTokenType returns what kind of token a token exchange gave
// (issued_token_type, RFC 8693 section 2.2.1): TokenTypeAccessToken and the like,
// or "" for a pair of another origin and where the server did not say.
func (t *TokenPair) IssuedTokenType() string { return member.Fields(t.Extra).Text("issued_token_type") }

var errOtherTokenType = errors.New("the server issued a token of another type than requested")

// judgeTokenExchange is judge for a token exchange: exactly one of pair and error.
// A server that leaves out issued_token_type, which section 2.2.1 requires, is
// taken to have issued what was requested.
func judgeTokenExchange(a *wire.Answer, requested string) (*TokenPair, *Error) {
	pair, fail := judge(a)
	if fail != nil {
		if fail.Code == "invalid_request" && fail.Kind == ErrMisconfigured {
			fail.Hint = "the request is malformed, or the subject or actor token is expired or not accepted (RFC 8693 section 2.2.2)"
		}
		return nil, fail
	}
	if issued := pair.IssuedTokenType(); requested != "" && issued != "" && issued != requested {
		return nil, &Error{Op: a.Op, Kind: ErrMisconfigured, Status: a.Status, Sent: true, Err: errOtherTokenType,
			Hint: "request a type that the server issues"}
	}
	return pair, nil
}

// exchangeAgain exchanges what source gives.
func (c *Client) exchangeAgain(ctx context.Context, source func(context.Context) (TokenExchange, error)) (*TokenPair, error) {
	x, err := source(ctx)
	if err != nil {
		return nil, err
	}
	pair, err := c.ExchangeToken(ctx, x)
	if err != nil {
		return nil, withoutLogin(err, "the server does not accept the subject or actor token; check where it comes from")
	}
	return pair, nil
}
