package session

import (
	"errors"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
)

// A State is how a session fares, in a word; see refresh.State.
type State string

// The states that package refresh describes.
const (
	StateNone          State = "none"
	StateValid         State = "valid"
	StateRetrying      State = "retrying"
	StateMisconfigured State = "misconfigured"
	StateSuspected     State = "suspected"
	StateLoginRequired State = "login_required"
	StateLoggedOut     State = "logged_out"
)

// Health is how a session fares. It is immutable and replaced whole.
type Health struct {
	State    State
	Err      error          // why, if not valid
	Failures int            // in a row
	Next     moment.Instant // no attempt of our own before this
	Renewed  time.Time      // last renewal that this process or the record knows of
	Unsaved  error          // why the current pair is not saved; nil if it is

	firm    moment.Instant // no attempt before this at all: the server asked for it, or it would be in vain
	vain    bool           // the Store does not take a pair, and the process ends before that passes
	callers moment.Instant // no attempt for a caller before this
	epoch   uint64         // of the gate, at the last attempt
	failed  moment.Instant // when the last attempt failed
	since   moment.Instant // when the first of them in a row did
	doubted bool           // it was suspected or misconfigured since it was renewed last
	saveAt  moment.Instant // when saving is tried again, unless the Store comes back before
	saves   int            // failed saves in a row
}

// NoSession is the health of a session that has not begun. Never modified.
var NoSession = Health{State: StateNone}

// Ended reports whether only a new login, or news from the Store, can help.
func (h *Health) Ended() bool { return h.State == StateLoginRequired || h.State == StateLoggedOut }

// Told reports whether the trouble is known to last, so that a caller is not to wait
// for the next attempt.
func (h *Health) Told() bool { return h.State == StateMisconfigured || h.State == StateSuspected }

// inDoubt reports whether the program may have been told that a person has to do
// something, which is not taken back yet.
func (h *Health) inDoubt() bool { return h.doubted || h.Told() }

// Vain reports whether a caller is not to wait for the next attempt because the Store does not
// take a pair, and the process is about to end.
func (h *Health) Vain() bool { return h.vain }

// Hopeless reports whether the session is not tried any more, because what came back
// was spent and cannot be read.
func (h *Health) Hopeless() bool {
	return h.State == StateMisconfigured && errors.Is(h.Err, oauth.ErrUnreadAnswer)
}

// renew makes a copy of the health that of a session just renewed.
func (h *Health) renew(at time.Time) {
	*h = Health{State: StateValid, Renewed: at, Unsaved: h.Unsaved, saveAt: h.saveAt, saves: h.saves}
}

// fail makes a copy of the health that of a session whose attempt failed.
func (h *Health) fail(at moment.Instant, err error) {
	h.Err, h.Failures, h.failed, h.doubted, h.vain = err, h.Failures+1, at, h.inDoubt(), false
	if h.since.IsZero() {
		h.since = at
	}
}

// saved makes a copy of the health that of a session without an unsaved pair.
func (h *Health) saved() { h.Unsaved, h.saves, h.saveAt = nil, 0, moment.Instant{} }

// A Kind says what happened; see refresh.EventKind.
type Kind string

// The kinds of events that package refresh describes.
const (
	EventRefreshing         Kind = "refreshing"
	EventUnlocked           Kind = "unlocked"
	EventRefreshed          Kind = "refreshed"
	EventAdopted            Kind = "adopted"
	EventRefreshFailed      Kind = "refresh_failed"
	EventMisconfigured      Kind = "misconfigured"
	EventLoginRequired      Kind = "login_required"
	EventSuspected          Kind = "suspected"
	EventRecovered          Kind = "recovered"
	EventLoggedOut          Kind = "logged_out"
	EventOtherAccount       Kind = "other_account"
	EventSaveFailed         Kind = "save_failed"
	EventSaved              Kind = "saved"
	EventScopeReduced       Kind = "scope_reduced"
	EventIDTokenRejected    Kind = "id_token_rejected"
	EventRefreshTokenEnding Kind = "refresh_token_ending"
	EventOldCopy            Kind = "old_copy"
	EventCopied             Kind = "copied"
	EventChecked            Kind = "checked"
)

// An Event is something that happened to a session.
type Event struct {
	Kind Kind
	Err  error          // why, if it is a failure
	Next moment.Instant // when the next attempt is, if it is a failure
}
