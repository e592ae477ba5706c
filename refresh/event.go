package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// EventKind names what happened.
type EventKind string

const (
	// EventStarted: the manager runs.
	EventStarted = EventKind(engine.EventStarted)
	// EventRefreshing: a refresh token is about to be spent.
	EventRefreshing = EventKind(session.EventRefreshing)
	// EventUnlocked: the session is renewed without its lock, which another host may do
	// as well, because the Store cannot be reached (Config.LocalWhenUnavailable); Err
	// says why.
	EventUnlocked = EventKind(session.EventUnlocked)
	// EventRefreshed: the server gave a new pair, and it is saved.
	EventRefreshed = EventKind(session.EventRefreshed)
	// EventAdopted: a pair that another process obtained was taken from the Store.
	EventAdopted = EventKind(session.EventAdopted)
	// EventUpdated: the program handed in a new login (UpdateTokens).
	EventUpdated = EventKind(engine.EventUpdated)
	// EventRefreshFailed: an attempt failed; Err says how, NextAttempt when the
	// next one is. The session goes on.
	EventRefreshFailed = EventKind(session.EventRefreshFailed)
	// EventMisconfigured: like EventRefreshFailed, but a person has to change something:
	// the configuration, the client's registration, the server's address. Reported once
	// until it is over; of a client that the server refuses, once for all sessions.
	EventMisconfigured = EventKind(session.EventMisconfigured)
	// EventLoginRequired: the server ended the session. Once per dead grant.
	EventLoginRequired = EventKind(session.EventLoginRequired)
	// EventSuspected: the session is refused without a clear word, and has been for a
	// while; a login probably helps (ErrSuspected). Once per grant. It goes on being
	// tried.
	EventSuspected = EventKind(session.EventSuspected)
	// EventRecovered: a session that was suspected or misconfigured is renewed again, or
	// one of those that were all refused alike.
	EventRecovered = EventKind(session.EventRecovered)
	// EventReauthenticateFailed: Config.Reauthenticate returned an error.
	EventReauthenticateFailed = EventKind(engine.EventReauthenticateFailed)
	// EventLoggedOut: the session was removed from the Store.
	EventLoggedOut = EventKind(session.EventLoggedOut)
	// EventOtherAccount: a login with another account has replaced the session. The
	// manager serves its token while that lives, and goes on when its account is back.
	EventOtherAccount = EventKind(session.EventOtherAccount)
	// EventSaveFailed: a new pair is in use but could not be saved. Saving is
	// tried again until it works.
	EventSaveFailed = EventKind(session.EventSaveFailed)
	// EventSaved: a pair that could not be saved before now is.
	EventSaved = EventKind(session.EventSaved)
	// EventOldCopy: the Store was found to hold an older state of the session than is known
	// here, as after a backup was put back. What is newer in memory is saved over it, and
	// nothing is spent for a while, so that other processes can do the same.
	EventOldCopy = EventKind(session.EventOldCopy)
	// EventCopied: the saved session comes from another machine or directory, as with a home
	// that was copied, and is about to be renewed here for the first time. If a program goes
	// on with it there, one of the two will have to log in again. It is only told where
	// Store is a directory (tokenstore.Local) and the machine has a number.
	EventCopied = EventKind(session.EventCopied)
	// EventScopeReduced: a new access token has less scope than the one before.
	EventScopeReduced = EventKind(session.EventScopeReduced)
	// EventIDTokenRejected: the ID token that came with a new pair failed a check;
	// Err says which. The pair is saved and in use, with the ID token from before.
	EventIDTokenRejected = EventKind(session.EventIDTokenRejected)
	// EventRefreshTokenEnding: the refresh token's own end comes near.
	EventRefreshTokenEnding = EventKind(session.EventRefreshTokenEnding)
	// EventChecked: a check is over. Tests wait for it instead of sleeping. A look
	// at a session of a Pool that finds nothing to do is not reported.
	EventChecked = EventKind(session.EventChecked)
	// EventStopped: the manager has stopped.
	EventStopped = EventKind(engine.EventStopped)
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

// MarshalJSON writes the event with the text of its error, for logs.
func (e Event) MarshalJSON() ([]byte, error) {
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	return json.Marshal(struct {
		Kind        EventKind `json:"kind"`
		Session     string    `json:"session"`
		Time        time.Time `json:"time"`
		Error       string    `json:"error,omitempty"`
		NextAttempt time.Time `json:"next_attempt,omitzero"`
		ExpiresAt   time.Time `json:"expires_at,omitzero"`
	}{e.Kind, e.Session, e.Time, text, e.NextAttempt, e.ExpiresAt})
}

// A reporter tells the program what happens.
type reporter struct {
	clock   clock.Clock
	logger  *slog.Logger
	onEvent func(Event) // nil: not called
}

// emit hands an event to the program. A panicking OnEvent is the program's
// mistake; it must not take the session with it.
func (r *reporter) emit(name string, what session.Event, expiresAt time.Time) {
	e := Event{Kind: EventKind(what.Kind), Session: name, Err: outside.Error(what.Err), NextAttempt: what.Next.Wall(), ExpiresAt: expiresAt}
	logs := r.logs(e)
	if r.onEvent == nil && !logs {
		return
	}
	e.Time = r.clock.Now().Round(0)
	if logs {
		_ = failure.Guard("Logger", func() error { r.log(e); return nil })
	}
	if r.onEvent == nil {
		return
	}
	if err := failure.Guard("OnEvent", func() error { r.onEvent(e); return nil }); err != nil {
		r.logger.Error("callback failed", "session", e.Session, "error", err)
	}
}

// log writes decisions, each at the level at which a person should look.
func (r *reporter) log(e Event) {
	ctx, level := context.Background(), e.level()
	log := r.logger.With("session", e.Session)
	switch e.Kind {
	case EventRefreshFailed, EventSaveFailed, EventScopeReduced, EventRefreshTokenEnding:
		log.Log(ctx, level, string(e.Kind), "error", e.Err, "next_attempt", e.NextAttempt, "expires", e.ExpiresAt)
	case EventLoginRequired, EventSuspected, EventMisconfigured, EventReauthenticateFailed:
		log.Log(ctx, level, string(e.Kind), "error", e.Err)
	case EventRefreshing:
		log.Log(ctx, level, string(e.Kind))
	default:
		if level == slog.LevelWarn {
			log.Log(ctx, level, string(e.Kind), "error", e.Err)
			return
		}
		log.Log(ctx, level, string(e.Kind), "expires", e.ExpiresAt)
	}
}

// logs reports whether an event is written, which is asked before one is put
// together. A Logger that panics counts as none.
func (r *reporter) logs(e Event) (enabled bool) {
	_ = failure.Guard("Logger", func() error {
		enabled = e.Kind != EventChecked && r.logger.Enabled(context.Background(), e.level())
		return nil
	})
	return enabled
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case EventRefreshFailed, EventSaveFailed, EventScopeReduced, EventRefreshTokenEnding:
		return slog.LevelWarn
	case EventLoginRequired, EventSuspected, EventMisconfigured, EventReauthenticateFailed:
		return slog.LevelError
	case EventRefreshing:
		return slog.LevelDebug
	}
	if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
