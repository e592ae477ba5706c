package wire

import (
	"errors"
	"fmt"
	"time"
)

// A Failure says what became of a request. It has the fields of oauth.Error, which
// documents them, so that the one converts to the other: this package cannot name that
// type, and callers that branch on errors find it whole in package oauth.
type Failure struct {
	Op      string
	Kind    error
	Code    string
	Status  int
	RetryAt time.Time
	Sent    bool
	Page    bool
	Hint    string
	Field   string
	Err     error
}

// Misconfigured returns the failure of a request that cannot be made at all.
func Misconfigured(op string, err error) *Failure {
	if f, ok := errors.AsType[*FieldError](err); ok {
		return &Failure{Op: op, Kind: ErrMisconfigured, Field: f.Field, Err: f.Problem}
	}
	return &Failure{Op: op, Kind: ErrMisconfigured, Err: err}
}

// A FieldError says what is wrong with a field of a configuration.
type FieldError struct {
	Field   string // such as TokenURL
	Problem error  // what stands behind the field's name: "is empty"
}

// Wrong returns a FieldError. The text goes on where the field's name ends.
func Wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}

func (e *FieldError) Error() string { return "Config." + e.Field + " " + e.Problem.Error() }

// Unwrap returns the problem.
func (e *FieldError) Unwrap() error { return e.Problem }

// The kinds of failure, and finer reasons. Package oauth has them under the same
// names, and documents them there.
var (
	ErrLoginRequired = errors.New("login required")
	ErrTransient     = errors.New("temporarily failed")
	ErrMisconfigured = errors.New("misconfigured")

	ErrRefreshTokenRequired = errors.New("no refresh token")
	ErrTokenExpired         = errors.New("refresh token expired")
	ErrTokenReused          = errors.New("refresh token was already used")
	ErrTokenInvalid         = errors.New("refresh token invalid")
	ErrUserNotFound         = errors.New("user not found")
	ErrAccessDenied         = errors.New("access denied")
	ErrCodeExpired          = errors.New("code expired")

	ErrClientRefused       = errors.New("the server refuses the client")
	ErrClientSecretExpired = errors.New("client secret expired")

	ErrNoToken      = errors.New("the answer holds no token")
	ErrUnreadAnswer = errors.New("the answer holds tokens where none are expected")

	ErrNotRevoked = errors.New("the server does not revoke the token")

	ErrProxyAuth            = errors.New("the proxy wants a user name and password")
	ErrUntrustedCertificate = errors.New("the server's certificate is not trusted")
)

// Reasons that have no name outside of this module.
var (
	ErrRedirect  = errors.New("the server answered with a redirect, which is never followed")
	ErrTrouble   = errors.New("the server speaks of trouble of its own")
	ErrCut       = errors.New("the answer broke off, or did not come to its end in time")
	ErrNotUsable = errors.New("the answer does not hold what was asked for")

	errSwitched = errors.New("the server switched to another protocol instead of answering")
	errCutShort = errors.New("the answer holds no whole access token; its refresh token is kept")
)

// A Verdict is an oauth.Verdict, which documents them.
type Verdict uint8

// The verdicts.
const (
	VerdictTrouble Verdict = iota
	VerdictUnknown
	VerdictEnded
	VerdictClient
	VerdictUnclear
	VerdictUnread
	VerdictSettings
)

// Verdict returns what f says about the session. It goes by f's fields alone, so
// that it also serves for errors that another Refresher makes.
func (f *Failure) Verdict() Verdict {
	m := MeaningOf(f.Op, f.Code)
	switch {
	case f.Kind == ErrLoginRequired:
		return VerdictEnded
	case errors.Is(f.Err, ErrUnreadAnswer):
		return VerdictUnread
	case f.Kind == ErrMisconfigured && (m.Verdict == VerdictClient || saysClient(f.Err)):
		return VerdictClient
	case f.Kind == ErrMisconfigured && (f.Status < 400 || !f.Sent || m.Verdict == VerdictSettings):
		return VerdictSettings
	case !f.Sent, errors.Is(f.Err, ErrTrouble), errors.Is(f.Err, errCutShort), m.Kind == ErrTransient:
		return VerdictTrouble
	case f.Status == 0:
		return VerdictUnknown
	}
	return f.answered()
}

// answered is Verdict for an answer that neither words nor kind have decided.
func (f *Failure) answered() Verdict {
	switch {
	case IsSuccess(f.Status) && f.Code == "" && !errors.Is(f.Err, ErrNoToken):
		return VerdictUnknown
	case f.Page:
		return VerdictTrouble
	case IsSuccess(f.Status), IsRefusal(f.Status), f.Status >= 500 && saysGrant(f.Err), f.Kind == ErrMisconfigured:
		return VerdictUnclear
	}
	return VerdictTrouble
}

// saysGrant reports whether the reason of a failure is about the refresh token: a word for
// that, under a status for the server's own trouble, can be either.
func saysGrant(err error) bool {
	for _, reason := range []error{ErrTokenInvalid, ErrTokenExpired, ErrTokenReused, ErrUserNotFound} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

func saysClient(err error) bool {
	return errors.Is(err, ErrClientRefused) || errors.Is(err, ErrClientSecretExpired)
}
