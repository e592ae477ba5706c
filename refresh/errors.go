package refresh

import (
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

var (
	// ErrStopped means that the manager is not running and holds no living token.
	ErrStopped = session.ErrStopped
	// ErrRunning is what Start returns when the manager already runs.
	ErrRunning = engine.ErrRunning
	// ErrUnsaved means that the newest token pair is not saved: if the process
	// ends now, the session may be lost.
	ErrUnsaved = session.ErrUnsaved
	// ErrLoggedOut means that the session was removed from the Store. It comes
	// together with oauth.ErrLoginRequired.
	ErrLoggedOut = session.ErrLoggedOut
	// ErrOtherAccount means that a login with another account has replaced the session:
	// the Store no longer holds the account this manager works for. It comes together
	// with oauth.ErrLoginRequired.
	ErrOtherAccount = session.ErrOtherAccount
	// ErrFollower means that a follower would have to act: it only reads the
	// session that another program keeps alive.
	ErrFollower = session.ErrFollower

	// ErrSuspected means that the server, or something in front of it, has been refusing
	// the session for a while without saying why. It comes together with
	// oauth.ErrLoginRequired, since a login probably helps; but nothing is certain: the
	// session is kept and tried again, ever more rarely, and the first success ends
	// the suspicion.
	ErrSuspected = session.ErrSuspected

	// ErrCopied is the cause, as far as can be told, when a server ends a session that was
	// kept in another directory or on another machine, too: the program that renewed it
	// there has the only refresh token that is good. It comes together with oauth.ErrLoginRequired,
	// and in [EventCopied] before that.
	ErrCopied = session.ErrCopied

	// ErrOldCopy means that the Store holds an older state of the session, or a copy of a session
	// that was renewed under another path or name since, whose refresh token this machine knows
	// to be spent ([Config.Witness]): it is not sent. It comes together with
	// oauth.ErrLoginRequired. The stored pair is kept, and a newer one that another process
	// saves revives the session.
	ErrOldCopy = session.ErrOldCopy

	// ErrPaused means that no living token is left and Config.Renewal says not to
	// get one.
	ErrPaused = session.ErrPaused
)

// A PanicError is what becomes of a panic in a Refresher, a store or a callback. Its
// field Where names the call that panicked, and Type the type of the value it panicked
// with; not the value, because its text could hold a secret.
type PanicError = failure.PanicError
