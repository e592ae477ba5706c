package refresh

import (
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

var (
	// ErrStopped means that the manager is not running and holds no living token.
	ErrStopped = errors.New("refresh: manager is not running")
	// ErrRunning is what Start returns when the manager already runs.
	ErrRunning = errors.New("refresh: manager is already running")
	// ErrUnsaved means that the newest token pair is not saved: if the process
	// ends now, the session may be lost.
	ErrUnsaved = errors.New("token pair is not saved")
	// ErrLoggedOut means that somebody removed the session from the Store. It
	// comes together with oauth.ErrLoginRequired.
	ErrLoggedOut = errors.New("logged out")
	// ErrOtherAccount means that somebody has logged in as someone else, and the
	// Store no longer holds the account this manager works for. It comes together
	// with oauth.ErrLoginRequired.
	ErrOtherAccount = errors.New("the saved session is of another account now")
	// ErrFollower means that a follower would have to act: it only reads the
	// session that another program keeps alive.
	ErrFollower = errors.New("a follower does not change the session")

	// ErrPaused means that no living token is left and Config.Renewal says not to
	// get one.
	ErrPaused = errors.New("refresh: renewing is paused")

	// errUnspent is why a process that is about to end leaves the session as it is.
	errUnspent = errors.New("the refresh token was not spent, because the next one could not be saved")
	// errReplaced ends a flight whose session was replaced by a new login.
	errReplaced = errors.New("refresh: replaced by a new login")
	// errAnswerLost is the cause when a server with strict rotation ends a session
	// because the answer to an earlier refresh did not arrive.
	errAnswerLost = errors.New("the answer to an earlier refresh was lost")
	// errKeepsRefusing is the cause of a verdict without a clear word.
	errKeepsRefusing = errors.New("the server keeps refusing the refresh token it accepted before")
	// errUndecided is the cause until the verdict.
	errUndecided = errors.New("the server refuses the session, perhaps because it has ended; if it still does after a check interval, that is taken for certain")
	// errUnproven is the cause when nothing tells whether client or token is refused.
	errUnproven = errors.New("the server has not renewed this session with this configuration before")
	// errStaysInvalid is that cause when a dialect knows what the refusal is about.
	errStaysInvalid = fmt.Errorf("%w, the server says again and again", oauth.ErrTokenInvalid)
	// errOwnerLate is why a follower has no living token.
	errOwnerLate  = errors.New("the program that keeps the session alive has not renewed it")
	errIssuedDead = errors.New("the server issued an access token that has already expired")
)

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

// guard calls f and turns a panic into a *PanicError.
func guard(where string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Where: where, Type: fmt.Sprintf("%T", p)}
		}
	}()
	return f()
}

// transient returns an error that matches oauth.ErrTransient, for failures that
// never reached a server.
func transient(cause error) error {
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: cause}
}

// loginRequired returns an error that matches oauth.ErrLoginRequired.
func loginRequired(cause error) error {
	return &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Err: cause}
}

// withKind returns err with another verdict and cause, keeping what the server
// said.
func withKind(err, kind, cause error) error {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return &oauth.Error{Op: "refresh", Kind: kind, Err: cause}
	}
	changed := *fail
	changed.Kind = kind
	if cause != nil {
		changed.Err = cause
	}
	return &changed
}

// undecided returns a refusal in words that do not decide as what passes, with
// that for its cause unless there is another.
func undecided(err error) error {
	err = withKind(err, oauth.ErrTransient, nil)
	if errors.Unwrap(err) == nil {
		err = withKind(err, oauth.ErrTransient, errUndecided)
	}
	return err
}

// unproven returns a refusal of a session that was never renewed as a mistake in
// the configuration. The advice names the other possibility too: a login that
// ended before its first refresh is announced in the same words.
func unproven(err error) error {
	var fail *oauth.Error
	if !errors.As(err, &fail) || !fail.Refused() {
		return err
	}
	changed := *fail
	changed.Kind = oauth.ErrMisconfigured
	if changed.Err == nil {
		changed.Err = errUnproven
	}
	if changed.Hint == "" {
		changed.Hint = "check the client's configuration"
	}
	changed.Hint += "; if it is right, the session may have ended: log in again"
	return &changed
}

// outcomeUnknown reports whether a refresh token may have been spent without the
// successor reaching us. Errors that say nothing about it count as unknown.
func outcomeUnknown(err error) bool {
	var fail *oauth.Error
	if errors.As(err, &fail) {
		return fail.Unknown()
	}
	var panicked *PanicError
	return !errors.As(err, &panicked) && !errors.Is(err, oauth.ErrLoginRequired) &&
		!errors.Is(err, oauth.ErrTransient) && !errors.Is(err, oauth.ErrMisconfigured)
}

// refused reports whether the server looked at the refresh token and said no.
func refused(err error) bool {
	var fail *oauth.Error
	return errors.As(err, &fail) && fail.Refused()
}

// retryAt returns when the server wants to be asked again, or zero.
func retryAt(err error) time.Time {
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		return time.Time{}
	}
	return fail.RetryAt
}
