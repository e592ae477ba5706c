package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

const opIntrospect = "introspect"

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
// It sends one request. An unknown token is no error but an inactive one. Errors
// are of type [*Error], never ErrLoginRequired. Safe for concurrent use.
func (c *Client) Introspect(ctx context.Context, token string) (*Introspection, error) {
	if err := c.ready(opIntrospect, "Config.IntrospectionURL", c.cfg.IntrospectionURL); err != nil {
		return nil, err
	}
	if token == "" {
		return nil, misconfigured(opIntrospect, errors.New("there is no token to ask about"))
	}
	a, fail := c.post(ctx, opIntrospect, c.cfg.IntrospectionURL, map[string][]string{"token": {token}})
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
func judgeIntrospection(a answer) (*Introspection, *Error) {
	fields := a.fields()
	var active *bool
	if !isSuccess(a.status) || json.Unmarshal(fields["active"], &active) != nil || active == nil {
		return nil, a.inquiryFailure(fields)
	}
	if !*active {
		return &Introspection{}, nil
	}
	return &Introspection{
		Active:    true,
		Subject:   textField(fields, "sub"),
		Username:  textField(fields, "username"),
		ClientID:  textField(fields, "client_id"),
		Scope:     scopeField(fields),
		TokenType: textField(fields, "token_type"),
		ExpiresAt: unixField(fields, "exp"),
		IssuedAt:  unixField(fields, "iat"),
		Claims:    fields,
	}, nil
}

// inquiryFailure is failure for requests that only look: whatever the server
// says, it is no verdict on the session.
func (a answer) inquiryFailure(fields map[string]json.RawMessage) *Error {
	fail := a.failure(fields)
	if fail.Kind == ErrLoginRequired {
		fail.Kind = ErrTransient
	}
	return fail
}

// unixField reads a NumericDate (RFC 7519 section 2), also one in milliseconds or in
// words, or returns zero.
func unixField(fields map[string]json.RawMessage, name string) time.Time {
	n, isNumber := secondsField(fields, name)
	if !isNumber {
		return inRange(timeInWords(textField(fields, name)))
	}
	if n > maxUnixSeconds {
		return inRange(time.UnixMilli(n), true)
	}
	return inRange(time.Unix(n, 0), true)
}

// inRange returns when if it is ok and a time that marshals, or zero.
func inRange(when time.Time, ok bool) time.Time {
	if !ok || when.Unix() <= 0 || when.Unix() > maxUnix {
		return time.Time{}
	}
	return when
}

// maxUnixSeconds is what a time in seconds since 1970 can be, in the year 5138. More is
// meant in milliseconds, as JavaScript counts, of which it is the year 1973.
const maxUnixSeconds = 100_000_000_000

// maxUnix is the end of the year 9999, beyond which times do not marshal.
const maxUnix = 253402300799
