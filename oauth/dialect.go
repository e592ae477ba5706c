package oauth

import (
	"errors"
	"fmt"
	"slices"
)

// A Dialect says how a home-grown JSON backend logs a person in, renews tokens
// and logs out: where, with what, and what its answers mean. It is a plain value
// without secrets. [KratosDialect], [SanicJWTDialect], [GinJWTDialect],
// [ASPNETDialect] and [CookieDialect] return ready-made ones, to use as they are
// or to edit; [NewDialectClient] makes a client of one.
//
// Servers that speak OAuth need none of this: use [NewClient].
type Dialect struct {
	// Name is how errors call a mistake in the dialect.
	Name string
	// Login, Refresh and Logout are the three requests. Refresh is required and
	// must carry DialectRefreshToken; without a Path the others are not offered.
	Login, Refresh, Logout DialectRequest
	// Answer names what comes back.
	Answer DialectAnswer
}

// A DialectRequest is one POST of a dialect.
type DialectRequest struct {
	// Path is appended to DialectConfig.BaseURL. It begins with a slash.
	Path string
	// Encoding is the form of the body. Empty means EncodeJSON.
	Encoding DialectEncoding
	// Fields say what is sent, and where it travels. A value that there is none of
	// is left out. Without a field in the body there is no body.
	Fields []DialectField
	// Errors is the closed list of refusals that decide something. The first that
	// fits counts; a refusal that fits none is ErrTransient and ends no session
	// (VerdictUnclear).
	Errors []DialectError
}

// A DialectEncoding is the form of a request's body.
type DialectEncoding string

const (
	// EncodeJSON sends an object with a string for each field.
	EncodeJSON DialectEncoding = "json"
	// EncodeForm sends application/x-www-form-urlencoded.
	EncodeForm DialectEncoding = "form"
	// EncodeJSONString sends the only field in the body as a bare JSON string. It
	// needs no name.
	EncodeJSONString DialectEncoding = "json string"
)

// A DialectField is one value of a request, and where it travels.
type DialectField struct {
	Value DialectValue
	Place DialectPlace
	// Name is the field's name in the body, or the name of the header or cookie.
	// With InAuthorization it is the scheme; empty means Bearer.
	Name string
}

// A DialectValue is something that a request can carry.
type DialectValue string

const (
	DialectUsername     DialectValue = "username"
	DialectPassword     DialectValue = "password"
	DialectRefreshToken DialectValue = "refresh token"
	// DialectAccessToken is the pair's access token, dead or alive.
	DialectAccessToken DialectValue = "access token"
	// DialectDeviceID is DialectConfig.DeviceID.
	DialectDeviceID DialectValue = "device identifier"
)

// A DialectPlace is where in a request a value travels. It is never the URL,
// which ends up in logs (RFC 6750 section 5.3).
type DialectPlace string

const (
	InBody          DialectPlace = "body"
	InHeader        DialectPlace = "header"
	InAuthorization DialectPlace = "authorization"
	InCookie        DialectPlace = "cookie"
)

// DialectAnswer says under which names an answer holds what. An empty name means
// the one of RFC 6749 section 5.1.
type DialectAnswer struct {
	AccessToken, RefreshToken, TokenType, ExpiresIn, Scope, IDToken string
	// RefreshExpiresIn is the refresh token's life in seconds. Empty means
	// refresh_token_expires_in.
	RefreshExpiresIn string
	// TokenPath is where in the answer the tokens are, like Config.TokenPath. The
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

// A DialectError says what an answer without tokens means.
type DialectError struct {
	// Status is the HTTP status. Zero means any answer that has the Code. Without a
	// Code it must be a refusal: 4xx other than 408, 425 and 429.
	Status int
	// Code is compared without regard to case and separators. Empty means that the
	// backend gives none. Such a refusal to refresh could as well come from a proxy,
	// or be about a store of the backend that is down. So it must mean ErrTokenInvalid,
	// and matches that beside ErrTransient; it ends no session (VerdictUnclear). A
	// refresh.Manager tells the program that a login probably helps when it goes on
	// for long after the access token has died.
	Code string
	// Means is ErrTokenExpired, ErrTokenReused, ErrTokenInvalid or ErrUserNotFound,
	// which are ErrLoginRequired too; ErrRefreshTokenRequired, which is
	// ErrMisconfigured too, since a token was sent; or one of ErrLoginRequired,
	// ErrTransient and ErrMisconfigured by itself.
	Means error
}

// InCookie returns the dialect with the refresh token in a cookie of this name,
// both ways, instead of where it was. d is not modified.
func (d Dialect) InCookie(name string) Dialect {
	for _, r := range []*DialectRequest{&d.Refresh, &d.Logout} {
		r.Fields = slices.Clone(r.Fields)
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Value == DialectRefreshToken {
				f.Place, f.Name = InCookie, name
			}
		}
	}
	d.Answer.RefreshCookie = name
	return d
}

// clone returns a copy that shares no slice with d.
func (d Dialect) clone() Dialect {
	for _, r := range []*DialectRequest{&d.Login, &d.Refresh, &d.Logout} {
		r.Fields, r.Errors = slices.Clone(r.Fields), slices.Clone(r.Errors)
	}
	d.Answer.ErrorCode = slices.Clone(d.Answer.ErrorCode)
	return d
}

// check returns what makes d unusable, or nil.
func (d Dialect) check() error {
	if d.Refresh.Path == "" || !slices.ContainsFunc(d.Refresh.Fields, func(f DialectField) bool { return f.Value == DialectRefreshToken }) {
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
func (r DialectRequest) check(name string, hasCodes bool) error {
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

func (f DialectField) check(encoding DialectEncoding) error {
	switch f.Value {
	case DialectUsername, DialectPassword, DialectRefreshToken, DialectAccessToken, DialectDeviceID:
	default:
		return fmt.Errorf("the value %q of a field is not known", f.Value)
	}
	nameless := f.Place == InAuthorization || f.Place == InBody && encoding == EncodeJSONString
	switch f.Place {
	case InBody, InHeader, InAuthorization, InCookie:
		if f.Name == "" && !nameless {
			return fmt.Errorf("the field for the %s needs a Name", f.Value)
		}
		if f.Place != InBody && !isHeaderWord(f.Name) && f.Name != "" {
			return fmt.Errorf("the Name of the field for the %s cannot stand in a header", f.Value)
		}
		return nil
	}
	return fmt.Errorf("the place %q of a field is not known", f.Place)
}

func (e DialectError) check(refresh, hasCodes bool) error {
	switch {
	case e.kind() == nil:
		return fmt.Errorf("an error cannot mean %v", e.Means)
	case e.Code == "" && e.Status == 0:
		return errors.New("an error needs a Status or a Code")
	case e.Code == "" && !isRefusal(e.Status):
		return fmt.Errorf("HTTP %d without a Code is no refusal", e.Status)
	case e.Code != "" && !hasCodes:
		return errors.New("an error has a Code, but Answer.ErrorCode is not set")
	case e.Code == "" && refresh && e.Means != ErrTokenInvalid:
		return errors.New("an error without a Code can only mean ErrTokenInvalid when refreshing")
	}
	return nil
}

// kind returns the one of the three kinds that the error is of, or nil if Means
// is something else.
func (e DialectError) kind() error {
	switch e.Means {
	case ErrTokenExpired, ErrTokenReused, ErrTokenInvalid, ErrUserNotFound:
		return ErrLoginRequired
	case ErrRefreshTokenRequired:
		return ErrMisconfigured
	case ErrLoginRequired, ErrTransient, ErrMisconfigured:
		return e.Means
	}
	return nil
}
