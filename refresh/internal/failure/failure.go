// Package failure says what an error of a Refresher means, and makes the errors of
// package refresh that callers tell apart as those of package oauth.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
)

const op = "refresh"

// Transient returns an error that matches oauth.ErrTransient, for failures that
// never reached a server.
func Transient(cause error) error {
	return &oauth.Error{Op: op, Kind: oauth.ErrTransient, Err: cause}
}

// LoginRequired returns an error that matches oauth.ErrLoginRequired.
func LoginRequired(cause error) error {
	return &oauth.Error{Op: op, Kind: oauth.ErrLoginRequired, Err: cause}
}

// AskedToWait returns the error of a server that wants to be left alone until a time.
func AskedToWait(until time.Time) error {
	return &oauth.Error{Op: op, Kind: oauth.ErrTransient, RetryAt: until, Hint: "the server asked to wait"}
}

// WithKind returns err with another kind, and another cause unless that is nil, keeping
// what the server said.
func WithKind(err, kind, cause error) error {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return &oauth.Error{Op: op, Kind: kind, Err: cause}
	}
	changed := *fail
	changed.Kind = kind
	if cause != nil {
		changed.Err = cause
	}
	return &changed
}

// Verdict is (*oauth.Error).Verdict for any error of a Refresher. An error that says
// nothing leaves open whether the refresh token is spent. An answer that is a success
// without a token is the server's word, too, once it was asked for again.
func Verdict(err error) oauth.Verdict {
	var fail *oauth.Error
	var panicked *PanicError
	switch {
	case errors.As(err, &fail):
		v := fail.Verdict()
		if v == oauth.VerdictUnknown && fail.Status != 0 && !fail.Page && !errors.Is(fail, oauth.ErrIDToken) {
			return oauth.VerdictUnclear
		}
		return v
	case errors.Is(err, oauth.ErrLoginRequired):
		return oauth.VerdictEnded
	case errors.Is(err, oauth.ErrMisconfigured):
		return oauth.VerdictSettings
	case errors.Is(err, oauth.ErrTransient), errors.As(err, &panicked):
		return oauth.VerdictTrouble
	}
	return oauth.VerdictUnknown
}

// Unknown reports whether a refresh token may have been spent without the successor
// reaching us. Errors that say nothing about it count as unknown.
func Unknown(err error) bool {
	var fail *oauth.Error
	if errors.As(err, &fail) {
		return fail.Unknown()
	}
	return Verdict(err) == oauth.VerdictUnknown
}

// NotSpent reports whether, given the verdict on err, the refresh token is as good as
// before: the request did not arrive, or the server itself has answered, and not with
// tokens. A gateway's word leaves open what the server behind it has done.
func NotSpent(err error, v oauth.Verdict) bool {
	var fail *oauth.Error
	switch {
	case !errors.As(err, &fail), fail.Unknown():
		return false
	case !fail.Sent || v != oauth.VerdictTrouble:
		return true
	}
	return fail.Status >= 400 && fail.Status != http.StatusBadGateway && fail.Status != http.StatusGatewayTimeout
}

// Arrived reports whether a request that failed may have reached the server.
func Arrived(err error) bool {
	var fail *oauth.Error
	return !errors.As(err, &fail) || fail.Sent
}

// Outage reports whether a failure says that the server does not answer, or that something
// in front of it does in its place: no answer, a status of the server's own trouble, a web
// page, or a Refresher that says no more than that it failed.
func Outage(err error) bool {
	if err == nil || !troubled(err) {
		return false
	}
	var fail *oauth.Error
	return !errors.As(err, &fail) || fail.Status == 0 || fail.Page || fail.Status >= 500
}

// troubled reports whether a failure says nothing about the session or the client.
func troubled(err error) bool {
	v := Verdict(err)
	return v == oauth.VerdictTrouble || v == oauth.VerdictUnknown && !errors.Is(err, oauth.ErrIDToken)
}

// ServerError reports whether a failure came with a status of the server's own trouble.
func ServerError(err error) bool {
	var fail *oauth.Error
	return errors.As(err, &fail) && fail.Status >= 500
}

// Busy reports whether a failure is the server's own word for trouble, throttling or
// retrying, under a status that is not for its own trouble: about one session, or all.
func Busy(err error) bool {
	return Status(err) == http.StatusTooManyRequests || err != nil && troubled(err) && !Outage(err)
}

// Status returns the HTTP status of the server's answer, or 0.
func Status(err error) int {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return 0
	}
	return fail.Status
}

// RetryAt returns when the server wants to be asked again, as of a failure at now, or zero.
// A Refresher of a program may say any time: more than the longest wait that is believed
// counts as that, as it does in a Retry-After.
func RetryAt(err error, now time.Time) time.Time {
	var fail *oauth.Error
	if !errors.As(err, &fail) || fail.RetryAt.IsZero() {
		return time.Time{}
	}
	return moment.Earlier(fail.RetryAt, now.Add(moment.LongestWait))
}

// Code returns the server's error code, or "".
func Code(err error) string {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return ""
	}
	return fail.Code
}

// A PanicError is what becomes of a panic in a Refresher, a store or a callback.
// It names the value's type only, because its text could hold a secret.
type PanicError struct {
	// Where names the call that panicked.
	Where string
	// Type is the type of the value it panicked with.
	Type string
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("refresh: panic in %s (%s)", e.Where, e.Type)
}

// Guard calls f and turns a panic into a *PanicError.
func Guard(where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Where: where, Type: fmt.Sprintf("%T", p)}
		}
	}()
	return f()
}

// Exited is the error of a call that has ended its goroutine (runtime.Goexit), as
// testing.T.FailNow does. What was to follow the call is left to deferred functions.
func Exited(where string) error {
	return Transient(fmt.Errorf("refresh: %s has ended its goroutine", where))
}

// Apart is Guard on a goroutine of its own, for code of the program that may not return:
// what it returns comes from the channel. It also fails if it ends that goroutine.
func Apart(where string, f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := Exited(where)
		defer func() { done <- err }()
		err = Guard(where, f)
	}()
	return done
}

// told is an error of a program's own code, of which it prints no more than is known to
// hold no secret.
type told struct {
	text string
	err  error
}

// Told returns err, which where has returned, in a form that may be printed. Of an error
// that is or wraps an *oauth.Error that one's text is shown: its author vouches for it. Of
// any other the kind, the system's error and the type are: texts can hold the server's
// answer, as those of x/oauth2 do, or a URL with its query. errors.Is and errors.As find in
// it what they find in err.
func Told(where string, err error) error {
	if err == nil {
		return nil
	}
	switch err.(type) {
	case *oauth.Error, *PanicError, *told:
		return err
	}
	return &told{outside.Show(textOf(where, err)), err}
}

func textOf(where string, err error) string {
	var fail *oauth.Error
	if errors.As(err, &fail) {
		return fail.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "refresh: %s failed", where)
	for _, kind := range []error{oauth.ErrLoginRequired, oauth.ErrMisconfigured, oauth.ErrTransient} {
		if errors.Is(err, kind) {
			b.WriteString(": " + kind.Error())
			break
		}
	}
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		b.WriteString(": no answer in time")
	case errors.Is(err, context.Canceled):
		b.WriteString(": canceled")
	case errors.As(err, &errno):
		b.WriteString(": " + errno.Error())
	default:
		fmt.Fprintf(&b, " (%T)", innermost(err))
	}
	return b.String()
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func (t *told) Error() string { return t.text }

// Unwrap returns the error itself, for programs that look into it.
func (t *told) Unwrap() error { return t.err }

// Format implements fmt.Formatter: every verb prints what Error returns.
func (t *told) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.text) }

// LogValue implements slog.LogValuer, so that no handler looks into the error.
func (t *told) LogValue() slog.Value { return slog.StringValue(t.text) }
