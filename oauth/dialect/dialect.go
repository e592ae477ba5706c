// Package dialect talks to home-grown backends that hand out JWTs over JSON and do not
// speak OAuth: a [Dialect] describes one, and [NewClient] makes a client of it, which
// a refresh.Manager takes in the place of an oauth.Client.
//
// A dialect can also be written down in JSON or YAML. [Parse] reads it, and docs/dialects.md
// describes the form; a Dialect implements the interfaces by which encoding/json and the
// YAML packages write it. The members have the names of the Go fields in snake_case, as
// OAuth's own documents do.
package dialect

import (
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth"
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
	// Login, Refresh and Logout are the three requests. Refresh
	// must carry RefreshToken, or AccessToken alone where the backend renews by that: then
	// the access token is the pair's RefreshToken, too. Without a Path the others are not
	// offered. Where Refresh has none, and Login has, tokens are not renewed: a pair has no
	// refresh token, and a session lasts as long as its access token.
	Login, Refresh, Logout Request
	// Revocations are further requests of a logout, for backends that end each token, or each
	// session by its identifier, by a request of its own. They are sent in this order, and
	// Logout after them. Those that carry AccessToken belong first: that one dies soon, and
	// without it the refresh token is still there to renew it.
	Revocations []Request
	// Grace is how long the backend takes a refresh token again that it has spent, or
	// oauth.GraceNone, or oauth.GraceUntilUsed, for refresh.Manager. With GraceNone a
	// refresh whose answer got lost is never sent again: where a spent token ends all of the
	// person's sessions, this one is lost alone. Zero means that it is not known.
	Grace time.Duration
	// Answer names what comes back.
	Answer Answer
	// Presentation is how the backend's APIs want the access token, for refresh.Manager.
	// Zero means "Authorization: Bearer". With a SignatureCookie, a field that carries the
	// access token in the Cookie of that name travels in both, too.
	Presentation oauth.Presentation
}

// A Request is one request of a dialect.
type Request struct {
	// Method is POST, GET, PUT, PATCH or DELETE. Empty means POST. A GET has no body, and a
	// DELETE one only if a field goes there.
	Method string
	// Path is appended to Config.BaseURL. It begins with a slash. What stands in braces is a
	// value, as in /sessions/{answer.session_id}: DeviceID, or one of Member or Claim. Names,
	// passwords and tokens cannot be there, since addresses end up in logs (RFC 6750 section
	// 5.3). A request whose path lacks a value fails with oauth.ErrMisconfigured.
	Path string
	// Encoding is the form of the body. Empty means EncodeJSON.
	Encoding Encoding
	// Fields say what is sent, and where it travels. A value that is missing is
	// left out. Without a field in the body that is an empty object with EncodeJSON, since
	// some frameworks refuse a request without a body or its media type, and none
	// otherwise. The request for tokens of Login and Refresh is sent as it is; one that ends
	// them is left out if all of its values are missing.
	Fields []Field
	// Errors is the closed list of refusals that decide something. The first that
	// fits counts; a refusal that fits none is oauth.ErrTransient and ends no session
	// (oauth.VerdictUnclear).
	Errors []Error
}

// An Encoding is the form of a request's body.
type Encoding string

const (
	// EncodeJSON sends an object with a string for each field, unless that is JSON itself. A dot in a field's name leads
	// into an object: user.email is {"user":{"email":…}}.
	EncodeJSON Encoding = "json"
	// EncodeForm sends application/x-www-form-urlencoded.
	EncodeForm Encoding = "form"
	// EncodeJSONString sends the only field in the body as a bare JSON string. It
	// needs no name.
	EncodeJSONString Encoding = "json_string"
)

// A Field is one value of a request, and where it travels.
type Field struct {
	// Value is what is sent, unless Fixed or Template is set.
	Value Value
	Place Place
	// Name is the field's name in the body, or the name of the header or cookie.
	// With InAuthorization it is the scheme; empty means Bearer.
	Name string
	// Fixed is a text that is sent in place of a value, such as the name of a tenant. It
	// is not a secret.
	Fixed string
	// Template is a text with values in braces that is sent in place of one, such as
	// Token token="{access_token}" in the header Authorization. Two braces stand for one. If
	// one of its values is missing, the field is left out. Where it has quotes, as headers
	// do, a value with a quote or a backslash is refused (oauth.ErrMisconfigured).
	Template string
	// JSON says that the content is JSON and no text: a number, true, an object. It is for
	// fields in the body with EncodeJSON, such as {Fixed: "true", JSON: true}. Content that is
	// no JSON is refused (oauth.ErrMisconfigured).
	JSON bool
}

// A Place is where in a request a value travels. It is never the URL,
// which ends up in logs (RFC 6750 section 5.3): InQuery is for a Fixed text alone.
type Place string

const (
	InBody          Place = "body"
	InHeader        Place = "header"
	InAuthorization Place = "authorization"
	InCookie        Place = "cookie"
	// InQuery is for what tells requests to one path apart, such as grant_type=password at
	// GoTrue.
	InQuery Place = "query"
)

// Answer says under which names an answer holds what. An empty name means
// the one of RFC 6749 section 5.1. A name is found in any spelling: access_token is
// also AccessToken and access-token, where there is none that is spelled alike.
//
// Where an answer can hold a member under several names, they are written with spaces
// between them, "jwt token", and the first counts that holds something. A dot in a name leads
// into an object: data.access_token. It is followed from where TokenPath leads, or else
// from the top.
type Answer struct {
	AccessToken, RefreshToken, TokenType, ExpiresIn, Scope, IDToken string
	// RefreshExpiresIn is the refresh token's life in seconds. Empty means
	// refresh_token_expires_in.
	RefreshExpiresIn string
	// ExpiresAt and RefreshExpiresAt are the ends of the tokens as times, where a backend
	// tells these: in RFC 3339 and other ways of writing a time, or since 1970 in seconds,
	// milliseconds or smaller units. Many names are known without being told here, such as
	// expire, expires_at and accessTokenExpiration.
	ExpiresAt, RefreshExpiresAt string
	// TokenPath is where in the answer the tokens are, like oauth.Config.TokenPath, but found
	// in any spelling. The names above are those there.
	TokenPath string
	// AccessCookie is the cookie that brings the access token, if one does, and RefreshCookie
	// the one that brings the refresh token. Their values become the pair's tokens. A refresh
	// token ends with its cookie, and so does an access token that does not tell its end itself.
	AccessCookie, RefreshCookie string
	// AccessHeader and RefreshHeader are the headers of the answer that bring the tokens, as
	// Authorization does where a backend answers a login with what APIs want. A scheme before
	// the token is left out.
	AccessHeader, RefreshHeader string
	// ErrorCodes are the paths to where an error code can be, a string: error.reason finds
	// TOKEN_EXPIRED in {"error":{"reason":"TOKEN_EXPIRED"}}, and errors.code finds the first of
	// {"errors":[{"code":…},…]}. The first path counts that leads to the Code of one of the
	// request's Errors, a string or a number, or else to a string. Nil means that the backend
	// has no codes.
	ErrorCodes []string
}

// An Error says what an answer without tokens means.
type Error struct {
	// Status is the HTTP status. Zero means any answer that has the Code, but a word about the
	// session is not taken for one under 408, 425 and 429. Without a Code it must be a
	// refusal: 4xx other than these.
	Status int
	// Code is compared without regard to case and separators. Empty means that the
	// backend gives none. Such a refusal to refresh could as well come from a proxy,
	// or be about a store of the backend that is down. So it must mean oauth.ErrTokenInvalid,
	// and matches that beside oauth.ErrTransient; it ends no session (oauth.VerdictUnclear). A
	// refresh.Manager tells the program that a login probably helps when it goes on
	// for long after the access token has died.
	Code string
	// Under a 5xx a word for a dead session can as well be the backend's trouble, whether Status
	// is given or not: a switch that lacks a case answers so to both. It matches its reason
	// beside oauth.ErrTransient; a refresh.Manager tries on as in any trouble, and tells the
	// program that a login probably helps when it goes on for long while others are served.
	//
	// Means is oauth.ErrTokenExpired, oauth.ErrTokenReused, oauth.ErrTokenInvalid or oauth.ErrUserNotFound,
	// which are oauth.ErrLoginRequired too; oauth.ErrRefreshTokenRequired, which is
	// oauth.ErrMisconfigured too, since a token was sent; oauth.ErrClientRefused, which is
	// oauth.ErrMisconfigured too and is told once for all sessions (oauth.VerdictClient): the
	// backend refuses the program, such as its key or its version; or one of
	// oauth.ErrLoginRequired, oauth.ErrTransient and oauth.ErrMisconfigured by itself.
	Means error
}

// InCookie returns the dialect with the refresh token in a cookie of this name,
// both ways, instead of where it was. d is not modified.
func (d Dialect) InCookie(name string) Dialect {
	d = d.clone()
	for _, r := range d.requests() {
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Value == RefreshToken {
				f.Place, f.Name = InCookie, name
			}
		}
	}
	d.Answer.RefreshCookie = name
	return d
}

// FurtherNames lists the names of the values that the login has a field of [Further] for.
func (d Dialect) FurtherNames() []string {
	var names []string
	for _, v := range d.Login.values() {
		if name, is := v.further(); is && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// renews reports whether the backend renews tokens.
func (d Dialect) renews() bool { return d.Refresh.Path != "" }

// byAccessToken reports whether the backend renews by the access token alone.
func (d Dialect) byAccessToken() bool { return d.renews() && !d.Refresh.Carries(RefreshToken) }

// requests returns all requests of d.
func (d *Dialect) requests() []*Request {
	all := []*Request{&d.Login, &d.Refresh, &d.Logout}
	for i := range d.Revocations {
		all = append(all, &d.Revocations[i])
	}
	return all
}

// ends returns the requests of a logout.
func (d Dialect) ends() []Request {
	if d.Logout.Path == "" {
		return d.Revocations
	}
	return append(slices.Clip(d.Revocations), d.Logout)
}

// clone returns a copy that shares no slice with d.
func (d Dialect) clone() Dialect {
	d.Revocations = slices.Clone(d.Revocations)
	for _, r := range d.requests() {
		r.Fields, r.Errors = slices.Clone(r.Fields), slices.Clone(r.Errors)
	}
	d.Answer.ErrorCodes = slices.Clone(d.Answer.ErrorCodes)
	return d
}
