package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
	"golang.org/x/oauth2"
)

// The three answers to "what can the caller do now?". Every error of this
// package that concerns a server matches exactly one of them.
var (
	// ErrLoginRequired means that only a new login helps: the server has ended
	// the session, or there was none.
	ErrLoginRequired = wire.ErrLoginRequired
	// ErrTransient means that nothing is lost and a later attempt may succeed.
	ErrTransient = wire.ErrTransient
	// ErrMisconfigured means that neither waiting nor a login helps: a developer
	// or operator has to change something.
	ErrMisconfigured = wire.ErrMisconfigured
)

// Finer reasons, each beside one of the three above.
var (
	// ErrRefreshTokenRequired: a refresh needs a refresh token, and the pair has none.
	ErrRefreshTokenRequired = wire.ErrRefreshTokenRequired
	// ErrTokenExpired: the server says that the refresh token has expired.
	ErrTokenExpired = wire.ErrTokenExpired
	// ErrTokenReused: the server says that the refresh token was spent before.
	ErrTokenReused = wire.ErrTokenReused
	// ErrTokenInvalid: the server says that it does not know the refresh token.
	ErrTokenInvalid = wire.ErrTokenInvalid
	// ErrUserNotFound: the server says that the session's user is gone.
	ErrUserNotFound = wire.ErrUserNotFound
	// ErrAccessDenied: the person, or a policy, refused the login.
	ErrAccessDenied = wire.ErrAccessDenied
	// ErrDowngraded: the server answered with a token that every holder can use though
	// Config.DPoP asked for one that is bound to a key (RFC 9449 section 5).
	ErrDowngraded = errors.New("the token is not bound to the DPoP key")
	// ErrClientSecretExpired: the server does not accept the client, and its secret
	// has ended (see ClientAuth.Until). It comes with ErrMisconfigured; no
	// login helps, and no session is lost by it.
	ErrClientSecretExpired = wire.ErrClientSecretExpired
	// ErrClientRefused: the server does not accept the client: its secret has ended,
	// its registration is gone or does not allow this. It comes with ErrMisconfigured.
	// No session is lost by it: the first success, or a corrected configuration, goes
	// on with all of them.
	ErrClientRefused = wire.ErrClientRefused
	// ErrNoToken: the server has answered as if all were well, but without a token in
	// the answer.
	ErrNoToken = wire.ErrNoToken
	// ErrUnreadAnswer: there are tokens in the answer, under names or in a place where
	// none are expected. It comes with ErrMisconfigured. A refresh token whose answer it
	// was is spent.
	ErrUnreadAnswer = wire.ErrUnreadAnswer
	// ErrNotRevoked: the server has looked at a request to revoke a token and does not do
	// what it asks for: it has no such endpoint, or not for this client, or for this kind of
	// token. It comes with ErrMisconfigured. The token lives on at the server until it ends
	// by itself.
	ErrNotRevoked = wire.ErrNotRevoked
	// ErrCodeExpired: the device code ended before the person entered it
	// (RFC 8628 section 3.5).
	ErrCodeExpired = wire.ErrCodeExpired
	// ErrProxyAuth means that a proxy on the way to the server wants a user name and
	// password, or other ones than it was given. It comes with ErrTransient, since nothing has
	// reached the server and the session is as it was; but a person has to set them.
	ErrProxyAuth = wire.ErrProxyAuth
	// ErrUntrustedCertificate means that the server's certificate, or that of a host
	// that answers in its place, cannot be trusted, so nothing was sent. It comes with
	// ErrTransient, since the session is as it was; but a person has to set something:
	// Error.Hint says what.
	ErrUntrustedCertificate = wire.ErrUntrustedCertificate
)

// An Error says what became of a request to an authorization server. It holds
// no token, no query string and no part of a response body; of the server's
// words it keeps the error code alone, if that looks like one.
type Error struct {
	// Op is what was attempted: "refresh", "exchange", "device", "discover", …
	Op string
	// Kind is ErrLoginRequired, ErrTransient or ErrMisconfigured.
	Kind error
	// Code is the server's error code (RFC 6749 section 5.2), empty if none.
	Code string
	// Status is the HTTP status, zero if no answer came.
	Status int
	// RetryAt is before when the server does not want to be asked again
	// (Retry-After), zero if it did not say. Package refresh waits for an hour at most.
	RetryAt time.Time
	// Sent tells whether the request may have reached the server. Only when it
	// is false is it certain that the server has done nothing.
	Sent bool
	// Page tells that the answer was a web page: the word of a proxy, a captive
	// portal or a firewall, and not of the authorization server.
	Page bool
	// Hint is what to do about it, for people. May be empty.
	Hint string
	// Field is the field of Config to look at, such as "TokenURL" or
	// "Endpoints.Userinfo", if the error concerns one. A program that has settings of
	// its own tells by it which of them to change, in its own words instead of Hint,
	// which may name fields of Config. If two fields are suspected, Field is the less
	// obvious one: "DisablePKCE" after a server has refused the
	// exchange of a code in words that can also be about the client or the redirect URL.
	// If Kind is ErrMisconfigured and Sent is false, Err says what is wrong with the
	// field in words that follow its name: "is empty".
	Field string
	// Err is the cause, if there is one besides the server's word. Its text is shown, but
	// for an *oauth2.RetrieveError in it, which quotes the server's answer, and an
	// *url.Error, which quotes a query: so the program that makes an Error vouches for it.
	Err error
}

// Unknown reports whether the server may have acted on the request while its
// answer did not come through: no answer, or one that cannot be used. A refresh
// token spent like that should be sent again within seconds, inside the grace
// window that many servers keep for this case. See [Error.Verdict] for the rest.
func (e *Error) Unknown() bool { return e.Verdict() == VerdictUnknown }

// Is makes an Error match its Kind and the finer reason its Code stands for.
func (e *Error) Is(target error) bool {
	if target == nil {
		return false
	}
	switch target {
	case ErrClientRefused:
		return e.Verdict() == VerdictClient
	case ErrNotRevoked:
		return e.Op == opRevoke && e.Kind == ErrMisconfigured && e.Sent
	}
	m := wire.MeaningOf(e.Op, e.Code)
	return target == e.Kind || (target == m.Reason && e.Kind == m.Kind)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Error describes e as "oauth: refresh: invalid_grant (HTTP 400): login required", on one
// line and without anything that a terminal would obey.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("oauth: ")
	b.WriteString(e.Op)
	if e.Code != "" {
		b.WriteString(": ")
		b.WriteString(e.Code)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Kind != nil {
		b.WriteString(": ")
		b.WriteString(e.Kind.Error())
	}
	if e.Err != nil {
		b.WriteString(": ")
		if e.Field != "" && e.Kind == ErrMisconfigured && !e.Sent {
			b.WriteString("Config." + e.Field + " ")
		}
		b.WriteString(causeText(e.Err))
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return outside.Show(b.String())
}

// causeText returns what may be shown of a cause.
func causeText(err error) string {
	var retrieve *oauth2.RetrieveError
	var address *url.Error
	switch {
	case errors.As(err, &retrieve) && retrieve.Response != nil:
		return fmt.Sprintf("HTTP %d (%T)", retrieve.Response.StatusCode, retrieve)
	case errors.As(err, &retrieve):
		return fmt.Sprintf("request failed (%T)", retrieve)
	case errors.As(err, &address):
		return wire.CleanCause(err).Error()
	}
	return err.Error()
}

// Format implements fmt.Formatter: every verb prints what Error returns.
func (e *Error) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, e.Error()) }

// MarshalJSON writes what Error returns, with the fields that programs decide by. The cause
// has no form of its own there: the error of another client can hold a server's answer.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Error   string    `json:"error"`
		Op      string    `json:"op"`
		Code    string    `json:"code,omitempty"`
		Status  int       `json:"status,omitempty"`
		RetryAt time.Time `json:"retry_at,omitzero"`
		Sent    bool      `json:"sent"`
	}{e.Error(), outside.Show(e.Op), outside.Show(e.Code), e.Status, e.RetryAt, e.Sent})
}

// A Verdict is what an error says about the session whose tokens were in the
// request. Only VerdictEnded ends one. See docs/verdicts.md for which answer is
// which.
type Verdict uint8

const (
	// VerdictTrouble: the moment is bad, or the request did not arrive. Try again
	// later, not before Error.RetryAt.
	VerdictTrouble Verdict = iota
	// VerdictUnknown: the server may have acted on the request, and its answer did
	// not come through. Send it again within seconds: many servers keep a grace
	// window for this case.
	VerdictUnknown
	// VerdictEnded: the server has said, by one of a closed list of words, that the
	// grant is over. Only a login helps.
	VerdictEnded
	// VerdictClient: the server does not accept the client. That says nothing about
	// the session.
	VerdictClient
	// VerdictUnclear: the server, or something in front of it, refuses in words that
	// mean anything from a dead token to a wrong address.
	VerdictUnclear
	// VerdictUnread: the server has answered with tokens that stand where none are
	// expected. The refresh token is spent; sending it again would count as reuse.
	VerdictUnread
	// VerdictSettings: something here has to be changed, and the server was not
	// asked or did not look: a mistake in the configuration, a redirect, a DPoP proof
	// that is refused.
	VerdictSettings
)

// String names the verdict.
func (v Verdict) String() string {
	names := [...]string{"trouble", "unknown", "ended", "client refused", "unclear", "unread", "settings"}
	if int(v) >= len(names) {
		return "invalid"
	}
	return names[v]
}

// Verdict returns what e says about the session. It goes by e's fields alone, so
// that it also serves for errors that another Refresher makes.
func (e *Error) Verdict() Verdict { return Verdict((*wire.Failure)(e).Verdict()) }

// EndsSession reports whether an error code is one of the closed list of words by
// which servers end sessions, in whatever case it is spelled. A dialect.Dialect has a
// list of its own.
func EndsSession(code string) bool {
	return wire.MeaningOf(opRefresh, code).Verdict == wire.VerdictEnded
}

// Operations, as errors name them.
const (
	opAuthorize         = login.Op
	opClientCredentials = "client_credentials"
	opDevice            = wire.OpDevice
	opDiscover          = metadata.OpDiscover
	opDiscoverResource  = "discover_resource"
	opEndSession        = "end_session"
	opExchange          = "exchange"
	opIntrospect        = "introspect"
	opJWTBearer         = "jwt_bearer"
	opPassword          = "password"
	opPush              = "push"
	opRefresh           = wire.OpRefresh
	opRevoke            = "revoke"
	opTokenExchange     = "token_exchange"
	opUserinfo          = "userinfo"
)
