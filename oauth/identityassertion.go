package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// An IdentityAssertion says how a program comes from a person's login at their company to
// a session with a server that trusts the company's identity provider
// (draft-ietf-oauth-identity-assertion-authz-grant, which the Model Context Protocol calls
// enterprise-managed authorization). It prints without secrets.
type IdentityAssertion struct {
	// Provider is the program's client at the identity provider. Required.
	Provider *Client
	// Subject is asked before each exchange for the person's token there, normally the ID
	// token of a session that a refresh.Manager keeps. TokenExchange.SubjectToken is all
	// that it must set. SubjectTokenType defaults to TokenTypeIDToken, Audiences to
	// the issuer of the server that the session is to be with, Resources and Scopes to
	// those of its client. Required.
	Subject func(context.Context) (TokenExchange, error)
}

// String describes x without secrets.
func (x IdentityAssertion) String() string {
	return fmt.Sprintf("oauth.IdentityAssertion{provider:%v subject:%t}", x.Provider, x.Subject != nil)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (x IdentityAssertion) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, x.String()) }

// LogValue implements slog.LogValuer.
func (x IdentityAssertion) LogValue() slog.Value { return slog.StringValue(x.String()) }

// IdentityAssertion obtains a token for the person who is logged in at their company's
// identity provider, without asking them: it has the provider exchange their token there
// for an identity assertion (ID-JAG, RFC 8693), and shows that to c's server ([Client.JWTBearer]).
// The company's rules decide whether it gets one. To keep such a session alive, give a
// refresh.Manager [Client.IdentityAssertionRefresher].
//
// It sends one request to each of the two, and c must know its Config.Issuer. Errors are
// of type [*Error] with the Op "token_exchange" for what the provider says and
// "jwt_bearer" for what c's server says, both never [ErrLoginRequired]; or they are
// Subject's, as they are. No refusal leads to another grant. Safe for concurrent use, if
// Subject is.
func (c *Client) IdentityAssertion(ctx context.Context, x IdentityAssertion) (*TokenPair, error) {
	switch {
	case x.Provider == nil || x.Subject == nil:
		return nil, misconfigured(opTokenExchange, errors.New("IdentityAssertion needs a Provider and a Subject"))
	case c.cfg.Issuer == "":
		return nil, misconfigured(opTokenExchange, wire.Wrong("Issuer", "is empty"))
	}
	if err := c.ready(opJWTBearer, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err // before a person's token is sent anywhere
	}
	exchanged, err := x.Provider.exchangeAgain(ctx, func(ctx context.Context) (TokenExchange, error) {
		exchange, err := x.Subject(ctx)
		return c.identityExchange(ctx, exchange), err
	})
	if err != nil {
		return nil, err
	}
	return c.JWTBearer(ctx, exchanged.AccessToken)
}

// identityExchange returns x as an exchange for an identity assertion that c's server takes.
func (c *Client) identityExchange(ctx context.Context, x TokenExchange) TokenExchange {
	x.RequestedTokenType = TokenTypeIDJAG
	if x.SubjectTokenType == "" {
		x.SubjectTokenType = TokenTypeIDToken
	}
	if len(x.Audiences) == 0 {
		x.Audiences = []string{c.cfg.Issuer}
	}
	if len(x.Resources) == 0 {
		x.Resources = c.resources(ctx)
	}
	if len(x.Scopes) == 0 {
		x.Scopes = c.cfg.Scopes
	}
	return x
}
