package refresh

import "time"

// EventKind names what happened.
type EventKind string

const (
	// EventStarted: the manager runs.
	EventStarted EventKind = "started"
	// EventRefreshing: a refresh token is about to be spent.
	EventRefreshing EventKind = "refreshing"
	// EventUnlocked: the session is renewed without its lock, which another host may do
	// as well, because the Store cannot be reached (Config.LocalWhenUnavailable); Err
	// says why.
	EventUnlocked EventKind = "unlocked"
	// EventRefreshed: the server gave a new pair, and it is saved.
	EventRefreshed EventKind = "refreshed"
	// EventAdopted: a pair that somebody else obtained was taken from the Store.
	EventAdopted EventKind = "adopted"
	// EventUpdated: the program handed in a new login (UpdateTokens).
	EventUpdated EventKind = "updated"
	// EventRefreshFailed: an attempt failed; Err says how, NextAttempt when the
	// next one is. The session goes on.
	EventRefreshFailed EventKind = "refresh_failed"
	// EventMisconfigured: like EventRefreshFailed, but somebody has to change something:
	// the configuration, the client's registration, the server's address. Reported once
	// until it is over; of a client that the server refuses, once for all sessions.
	EventMisconfigured EventKind = "misconfigured"
	// EventLoginRequired: the server ended the session. Once per dead grant.
	EventLoginRequired EventKind = "login_required"
	// EventSuspected: the session is refused without a clear word, and has been for a
	// while; a login probably helps (ErrSuspected). Once per grant. It goes on being
	// tried.
	EventSuspected EventKind = "suspected"
	// EventRecovered: a session that was suspected or misconfigured is renewed again, or
	// one of those that were all refused alike.
	EventRecovered EventKind = "recovered"
	// EventReauthenticateFailed: Config.Reauthenticate returned an error.
	EventReauthenticateFailed EventKind = "reauthenticate_failed"
	// EventLoggedOut: somebody removed the session from the Store.
	EventLoggedOut EventKind = "logged_out"
	// EventOtherAccount: somebody has logged in as someone else. The manager serves
	// its token while that lives, and goes on when its account is back.
	EventOtherAccount EventKind = "other_account"
	// EventSaveFailed: a new pair is in use but could not be saved. Saving is
	// tried again until it works.
	EventSaveFailed EventKind = "save_failed"
	// EventSaved: a pair that could not be saved before now is.
	EventSaved EventKind = "saved"
	// EventScopeReduced: a new access token has less scope than the one before.
	EventScopeReduced EventKind = "scope_reduced"
	// EventIDTokenRejected: the ID token that came with a new pair failed a check;
	// Err says which. The pair is saved and in use, with the ID token from before.
	EventIDTokenRejected EventKind = "id_token_rejected"
	// EventRefreshTokenEnding: the refresh token's own end comes near.
	EventRefreshTokenEnding EventKind = "refresh_token_ending"
	// EventChecked: a check is over. Tests wait for it instead of sleeping. A look
	// at a session of a Pool that finds nothing to do is not reported.
	EventChecked EventKind = "checked"
	// EventStopped: the manager has stopped.
	EventStopped EventKind = "stopped"
)

// An Event tells what a Manager did or met. It holds no secret.
type Event struct {
	Kind    EventKind
	Session string
	Time    time.Time
	// Err is the cause of a failure.
	Err error
	// NextAttempt is when the manager tries again after a failure.
	NextAttempt time.Time
	// ExpiresAt is when the current access token dies, if that is known.
	ExpiresAt time.Time
}
