package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// An Introspection is what a server says about a token (RFC 7662 section 2.2).
// All but Active may be missing.
type Introspection struct {
	// Active tells whether the token is good now. If not, nothing else is set.
	Active bool
	// Subject, Username, ClientID: for whom and to whom the token was issued.
	Subject, Username, ClientID string
	// Scope is space-separated.
	Scope string
	// TokenType is as in a token response.
	TokenType string
	// ExpiresAt and IssuedAt are by the server's clock; zero if not told.
	ExpiresAt, IssuedAt time.Time
	// Claims holds every member of the answer.
	Claims map[string]json.RawMessage
}

// Introspect asks the server about a token (RFC 7662). Servers answer only
// callers that authenticate, often only resource servers. It is for looking into
// a session, not for use before every request: that a token was good a moment ago
// does not spare handling its rejection.
//
// It sends one request. An unknown token does not count as an error: it is inactive. Errors
// are of type [*Error], never ErrLoginRequired. Safe for concurrent use.
func (c *Client) Introspect(ctx context.Context, token string) (*Introspection, error) {
	if err := c.ready(opIntrospect, "Endpoints.Introspection", c.cfg.Endpoints.Introspection); err != nil {
		return nil, err
	}
	if token == "" {
		return nil, misconfigured(opIntrospect, errors.New("there is no token to ask about"))
	}
	a, fail := c.post(ctx, opIntrospect, c.cfg.Endpoints.Introspection, map[string][]string{"token": {token}})
	if fail != nil {
		return nil, fail
	}
	result, fail := judgeIntrospection(a)
	if fail != nil {
		return nil, fail
	}
	return result, nil
}

// judgeIntrospection reads the answer: exactly one of result and error. Only the
// JSON value true makes a token active.
func judgeIntrospection(a *wire.Answer) (*Introspection, *Error) {
	fields := a.Fields()
	var active *bool
	if !wire.IsSuccess(a.Status) || json.Unmarshal(fields["active"], &active) != nil || active == nil {
		return nil, (*Error)(a.InquiryFailure(fields))
	}
	if !*active {
		return &Introspection{}, nil
	}
	return &Introspection{
		Active:    true,
		Subject:   fields.Text("sub"),
		Username:  fields.Text("username"),
		ClientID:  fields.Text("client_id"),
		Scope:     fields.Scope(),
		TokenType: fields.Text("token_type"),
		ExpiresAt: fields.Unix("exp"),
		IssuedAt:  fields.Unix("iat"),
		Claims:    fields,
	}, nil
}
