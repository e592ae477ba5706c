package session

import (
	"errors"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
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

	firm    bool           // no attempt for a caller before Next either: the server asked for it, or it would be in vain
	callers moment.Instant // no attempt for a caller before this
	epoch   uint64         // of the gate, at the last attempt
	failed  moment.Instant // when the last attempt failed
	since   moment.Instant // when the first of them in a row did
	doubted bool           // it was suspected or misconfigured since it was renewed last
	saveAt  moment.Instant // when saving is tried again
	saves   int            // failed saves in a row
}

// NoSession is the health of a session that has not begun. Never modified.
var NoSession = Health{State: StateNone}

// noticeWithin is how soon the return of a server is noticed while a caller waits.
const noticeWithin = 2 * time.Second

// callerWait is how long to wait after a failure that may be over any moment, for a
// caller without a living token: no longer than noticeWithin in the first half of an
// hour of trouble, and then longer by an amount that does not matter to a caller who has
// waited for so long. A server that is never reached is not spared anything.
func (h *Health) callerWait() time.Duration {
	if !failure.Arrived(h.Err) {
		return noticeWithin
	}
	return schedule.CallerPause(h.failed.Since(h.since), noticeWithin)
}

// Ended reports whether only a new login, or news from the Store, can help.
func (h *Health) Ended() bool { return h.State == StateLoginRequired || h.State == StateLoggedOut }

// Told reports whether the trouble is known to last, so that a caller is not to wait
// for the next attempt.
func (h *Health) Told() bool { return h.State == StateMisconfigured || h.State == StateSuspected }

// inDoubt reports whether the program may have been told that a person has to do
// something, which is not taken back yet.
func (h *Health) inDoubt() bool { return h.doubted || h.Told() }

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
	h.Err, h.Failures, h.failed, h.doubted = err, h.Failures+1, at, h.inDoubt()
	if h.since.IsZero() {
		h.since = at
	}
}

// saved makes a copy of the health that of a session without an unsaved pair.
func (h *Health) saved() { h.Unsaved, h.saves, h.saveAt = nil, 0, moment.Instant{} }
