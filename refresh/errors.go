package refresh

import (
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
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

	// ErrSuspected means that the server, or something in front of it, has been refusing
	// the session for a while without saying why. It comes together with
	// oauth.ErrLoginRequired, since a login probably helps; but nothing is certain: the
	// session is kept and tried again, ever more rarely, and the first success ends
	// the suspicion.
	ErrSuspected = errors.New("the server keeps refusing the session without saying why")

	// ErrPaused means that no living token is left and Config.Renewal says not to
	// get one.
	ErrPaused = errors.New("refresh: renewing is paused")

	// errUnspent is why a process that is about to end leaves the session as it is.
	errUnspent = errors.New("the refresh token was not spent, because the next one could not be saved")
	// errReplaced ends a flight whose session was replaced by a new login.
	errReplaced = errors.New("refresh: replaced by a new login")
	// errSuspected is ErrSuspected with advice for both possibilities.
	errSuspected = fmt.Errorf("%w: it has probably ended, and a login helps; or a firewall, a gateway or a fault of the server refuses everybody, and it passes; the session is kept and tried again", ErrSuspected)
	// errAnswerLost is the cause when a server with strict rotation ends a session
	// because the answer to an earlier refresh did not arrive.
	errAnswerLost = errors.New("the answer to an earlier refresh was lost")
	// errOwnerLate is why a follower has no living token.
	errOwnerLate  = errors.New("the program that keeps the session alive has not renewed it")
	errIssuedDead = errors.New("the server issued an access token that has already expired")
)

// A PanicError is what becomes of a panic in a Refresher, a store or a callback. Its
// field Where names the call that panicked, and Type the type of the value it panicked
// with; not the value, because its text could hold a secret.
type PanicError = failure.PanicError

// undecided returns a refusal in words that do not decide as what passes, with
// that for its cause unless there is another.
func undecided(err error) error {
	err = failure.WithKind(err, oauth.ErrTransient, nil)
	if errors.Unwrap(err) == nil {
		err = failure.WithKind(err, oauth.ErrTransient, errUndecided)
	}
	return err
}
