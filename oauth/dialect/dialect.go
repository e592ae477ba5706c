// Package dialect talks to home-grown backends that hand out JWTs over JSON and do not
// speak OAuth: a [Dialect] describes one, and [NewClient] makes a client of it, which
// a refresh.Manager takes in the place of an oauth.Client.
package dialect

import (
	"errors"
	"fmt"
	"slices"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A Dialect says how a home-grown JSON backend logs a person in, renews tokens
// and logs out: where, with what, and what its answers mean. It is a plain value
// without secrets. [Kratos], [SanicJWT], [GinJWT],
// [ASPNET] and [Cookie] return ready-made ones, to use as they are
// or to edit; [NewClient] makes a client of one.
//
// Servers that speak OAuth need none of this: use [oauth.NewClient].
type Dialect struct {
	// Name is how errors call a mistake in the dialect.
	Name string
	// Login, Refresh and Logout are the three requests. Refresh is required and
	// must carry RefreshToken; without a Path the others are not offered.
	Login, Refresh, Logout Request
	// Answer names what comes back.
	Answer Answer
}

// A Request is one POST of a dialect.
type Request struct {
	// Path is appended to Config.BaseURL. It begins with a slash.
	Path string
	// Encoding is the form of the body. Empty means EncodeJSON.
	Encoding Encoding
	// Fields say what is sent, and where it travels. A value that is missing is
	// left out. Without a field in the body the request has none.
	Fields []Field
	// Errors is the closed list of refusals that decide something. The first that
	// fits counts; a refusal that fits none is oauth.ErrTransient and ends no session
	// (oauth.VerdictUnclear).
	Errors []Error
}

// A Encoding is the form of a request's body.
type Encoding string

const (
	// EncodeJSON sends an object with a string for each field.
	EncodeJSON Encoding = "json"
	// EncodeForm sends application/x-www-form-urlencoded.
	EncodeForm Encoding = "form"
	// EncodeJSONString sends the only field in the body as a bare JSON string. It
	// needs no name.
	EncodeJSONString Encoding = "json string"
)

// A Field is one value of a request, and where it travels.
type Field struct {
	Value Value
	Place Place
	// Name is the field's name in the body, or the name of the header or cookie.
	// With InAuthorization it is the scheme; empty means Bearer.
	Name string
}

// A Value is something that a request can carry.
type Value string

const (
	Username     Value = "username"
	Password     Value = "password"
	RefreshToken Value = "refresh token"
	// AccessToken is the pair's access token, dead or alive.
	AccessToken Value = "access token"
	// DeviceID is Config.DeviceID.
	DeviceID Value = "device identifier"
)

// A Place is where in a request a value travels. It is never the URL,
// which ends up in logs (RFC 6750 section 5.3).
type Place string

const (
	InBody          Place = "body"
	InHeader        Place = "header"
	InAuthorization Place = "authorization"
	InCookie        Place = "cookie"
)

// Answer says under which names an answer holds what. An empty name means
// the one of RFC 6749 section 5.1.
type Answer struct {
	AccessToken, RefreshToken, TokenType, ExpiresIn, Scope, IDToken string
	// RefreshExpiresIn is the refresh token's life in seconds. Empty means
	// refresh_token_expires_in.
	RefreshExpiresIn string
	// TokenPath is where in the answer the tokens are, like oauth.Config.TokenPath. The
	// names above are those there.
	TokenPath string
	// RefreshCookie is the cookie that brings the refresh token, if one does. Its
	// value becomes the pair's RefreshToken, its end RefreshExpiresAt.
	RefreshCookie string
	// ErrorCode is the path to the error code, a string: {"error", "reason"} finds
	// TOKEN_EXPIRED in {"error":{"reason":"TOKEN_EXPIRED"}}. Nil means that the
	// backend has no codes.
	ErrorCode []string
}

// A Error says what an answer without tokens means.
type Error struct {
	// Status is the HTTP status. Zero means any answer that has the Code. Without a
	// Code it must be a refusal: 4xx other than 408, 425 and 429.
	Status int
	// Code is compared without regard to case and separators. Empty means that the
	// backend gives none. Such a refusal to refresh could as well come from a proxy,
	// or be about a store of the backend that is down. So it must mean oauth.ErrTokenInvalid,
	// and matches that beside oauth.ErrTransient; it ends no session (oauth.VerdictUnclear). A
	// refresh.Manager tells the program that a login probably helps when it goes on
	// for long after the access token has died.
	Code string
	// Means is oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid or oauth.ErrUserNotFound,
	// which are oauth.ErrLoginRequired too; oauth.ErrRefreshTokenRequired, which is
	// oauth.ErrMisconfigured too, since a token was sent; or one of oauth.ErrLoginRequired,
	// oauth.ErrTransient and oauth.ErrMisconfigured by itself.
	Means error
}

// InCookie returns the dialect with the refresh token in a cookie of this name,
// both ways, instead of where it was. d is not modified.
func (d Dialect) InCookie(name string) Dialect {
	for _, r := range []*Request{&d.Refresh, &d.Logout} {
		r.Fields = slices.Clone(r.Fields)
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Value == RefreshToken {
				f.Place, f.Name = InCookie, name
			}
		}
	}
	d.Answer.RefreshCookie = name
	return d
}

// clone returns a copy that shares no slice with d.
func (d Dialect) clone() Dialect {
	for _, r := range []*Request{&d.Login, &d.Refresh, &d.Logout} {
		r.Fields, r.Errors = slices.Clone(r.Fields), slices.Clone(r.Errors)
	}
	d.Answer.ErrorCode = slices.Clone(d.Answer.ErrorCode)
	return d
}

// check returns what makes d unusable, or nil.
func (d Dialect) check() error {
	if d.Refresh.Path == "" || !slices.ContainsFunc(d.Refresh.Fields, func(f Field) bool { return f.Value == RefreshToken }) {
		return fmt.Errorf("dialect %s: Refresh needs a Path and a field for DialectRefreshToken", d.Name)
	}
	hasCodes := len(d.Answer.ErrorCode) > 0
	err := errors.Join(d.Login.check("Login", hasCodes), d.Refresh.check("Refresh", hasCodes), d.Logout.check("Logout", hasCodes))
	if err != nil {
		return fmt.Errorf("dialect %s: %w", d.Name, err)
	}
	return nil
}

// check returns what makes r, the request of this name, unusable, or nil.
func (r Request) check(name string, hasCodes bool) error {
	if r.Path != "" && r.Path[0] != '/' {
		return fmt.Errorf("%s.Path must begin with a slash", name)
	}
	inBody := 0
	for _, f := range r.Fields {
		if f.Place == InBody {
			inBody++
		}
		if err := f.check(r.Encoding); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch r.Encoding {
	case "", EncodeJSON, EncodeForm:
	case EncodeJSONString:
		if inBody > 1 {
			return fmt.Errorf("%s: EncodeJSONString has room for one field in the body", name)
		}
	default:
		return fmt.Errorf("%s.Encoding %q is not known", name, r.Encoding)
	}
	for _, e := range r.Errors {
		if err := e.check(name == "Refresh", hasCodes); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f Field) check(encoding Encoding) error {
	switch f.Value {
	case Username, Password, RefreshToken, AccessToken, DeviceID:
	default:
		return fmt.Errorf("the value %q of a field is not known", f.Value)
	}
	nameless := f.Place == InAuthorization || f.Place == InBody && encoding == EncodeJSONString
	switch f.Place {
	case InBody, InHeader, InAuthorization, InCookie:
		if f.Name == "" && !nameless {
			return fmt.Errorf("the field for the %s needs a Name", f.Value)
		}
		if f.Place != InBody && !wire.IsHeaderWord(f.Name) && f.Name != "" {
			return fmt.Errorf("the Name of the field for the %s cannot stand in a header", f.Value)
		}
		return nil
	}
	return fmt.Errorf("the place %q of a field is not known", f.Place)
}

func (e Error) check(refresh, hasCodes bool) error {
	switch {
	case e.kind() == nil:
		return fmt.Errorf("an error cannot mean %v", e.Means)
	case e.Code == "" && e.Status == 0:
		return errors.New("an error needs a Status or a Code")
	case e.Code == "" && !wire.IsRefusal(e.Status):
		return fmt.Errorf("HTTP %d without a Code is not a refusal", e.Status)
	case e.Code != "" && !hasCodes:
		return errors.New("an error has a Code, but Answer.ErrorCode is not set")
	case e.Code == "" && refresh && e.Means != oauth.ErrTokenInvalid:
		return errors.New("an error without a Code can only mean ErrTokenInvalid when refreshing")
	}
	return nil
}

// kind returns the one of the three kinds that the error is of, or nil if Means
// is something else.
func (e Error) kind() error {
	switch e.Means {
	case oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid, oauth.ErrUserNotFound:
		return oauth.ErrLoginRequired
	case oauth.ErrRefreshTokenRequired:
		return oauth.ErrMisconfigured
	case oauth.ErrLoginRequired, oauth.ErrTransient, oauth.ErrMisconfigured:
		return e.Means
	}
	return nil
}
