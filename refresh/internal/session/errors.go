package session

import (
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
)

// The errors of package refresh that a session makes; they are described there.
var (
	ErrStopped      = errors.New("refresh: manager is not running")
	ErrUnsaved      = errors.New("token pair is not saved")
	ErrLoggedOut    = errors.New("logged out")
	ErrOtherAccount = errors.New("the saved session is of another account now")
	ErrFollower     = errors.New("a follower does not change the session")
	ErrSuspected    = errors.New("the server keeps refusing the session without saying why")
	ErrPaused       = errors.New("refresh: renewing is paused")
	ErrCopied       = errors.New("the session was copied here from another machine or directory, and only one of the two can go on with it")
	ErrOldCopy      = errors.New("the session was copied, or restored from an older copy, and its refresh token is spent")
)

var (
	// ErrReplaced ends a renewal whose session was replaced by a new login.
	ErrReplaced = errors.New("refresh: replaced by a new login")
	// ErrDeferred is why a renewal that no caller waits for did not begin: others come
	// first. That does not count as a failure.
	ErrDeferred = errors.New("refresh: put off, others come first")

	// errUnspent is why a process that is about to end leaves the session as it is.
	errUnspent = errors.New("the refresh token was not spent, because the next one could not be saved")
	// errUnsettled is why a refresh token waits that another process has announced to spend.
	errUnsettled = errors.New("another process has begun to renew the session and not saved the outcome yet; it is given time to")
	// errWentBack is why a refresh token waits after the Store was found to hold an older state.
	errWentBack = errors.New("the saved session went back to an older copy; processes that have a newer one are given time to save it")
	// errSuspected is ErrSuspected with advice for both possibilities.
	errSuspected = fmt.Errorf("%w: it has probably ended, and a login helps; or a firewall, a gateway or a fault of the server refuses every client, and it passes; the session is kept and tried again", ErrSuspected)
	// errAnswerLost is the cause when a server with strict rotation ends a session
	// because the answer to an earlier refresh did not arrive.
	errAnswerLost = errors.New("the answer to an earlier refresh was lost")
	// errNotAgain is the cause where a server never takes a refresh token again that may
	// be spent.
	errNotAgain = errors.New("the answer to the last refresh was lost, and the server does not take its refresh token again: unless another process has saved a newer one, only a login helps")
	// errUnanswered is how a session fares while its server works on a request for long.
	errUnanswered     error = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: errors.New("no answer yet; it is waited for")}
	errDeaf                 = errors.New("OAuthClient does not return although its context has ended")
	errDeafTokenStore       = errors.New("TokenStore does not return although its context has ended")
	// errNoLease is why nothing is done under a lock that a Store says it has given.
	errNoLease = errors.New("the Store returned no lease")
	// errOwnerLate is why a follower has no living token.
	errOwnerLate = errors.New("the program that keeps the session alive has not renewed it")
	// errProbed is why a process leaves it to another one to find out whether the server
	// is back.
	errProbed     = errors.New("the server did not answer, and another process has asked it just now")
	errIssuedDead = errors.New("the server issued an access token that has already expired")
	errIssuedDue  = errors.New("the server issued an access token that is to be renewed at once: it may come from a cache")
	// errDoubted is the cause until a word that ends the session is heard again.
	errDoubted = errors.New("the server says that the session has ended, which may pass; it is asked once more")
	// errUndecided is the cause of a refusal that says nothing clear.
	errUndecided = errors.New("the server, or something in front of it, refuses in words that do not say why; the session is kept and tried again")
	// errAllRefused is the cause when that is so of all sessions.
	errAllRefused = errors.New("all sessions of the server are refused alike: check the address, and what stands in front of the server")
)

// undecided returns a refusal in words that do not decide as what passes, with
// that for its cause unless there is another.
func undecided(err error) error {
	err = failure.WithKind(err, oauth.ErrTransient, nil)
	if errors.Unwrap(err) == nil {
		err = failure.WithKind(err, oauth.ErrTransient, errUndecided)
	}
	return err
}

// suspicionOf returns the cause of a suspicion that err leads to, with what err itself
// knows.
func suspicionOf(err error) error {
	var fail *oauth.Error
	if !errors.As(err, &fail) || fail.Err == nil || fail.Err == errUndecided {
		return errSuspected
	}
	return fmt.Errorf("%w; its answer: %w", errSuspected, fail.Err)
}
