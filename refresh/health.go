package refresh

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// State is how a session fares.
type State string

const (
	// StateNone: the manager has no session yet.
	StateNone State = "none"
	// StateValid: the last word of the server was a token pair.
	StateValid State = "valid"
	// StateRetrying: the last attempt failed; nothing is lost, and the manager
	// tries again.
	StateRetrying State = "retrying"
	// StateMisconfigured: the server refuses the client, or somebody has to change
	// something else first; retried slowly.
	StateMisconfigured State = "misconfigured"
	// StateSuspected: the server has been refusing the session for a while without
	// saying why, and the access token has died. A login probably helps; the session
	// is kept, and tried again ever more rarely.
	StateSuspected State = "suspected"
	// StateLoginRequired: the server ended the session. The pair is kept, and a
	// newer one in the Store, or UpdateTokens, revives it.
	StateLoginRequired State = "login_required"
	// StateLoggedOut: somebody removed the session from the Store.
	StateLoggedOut State = "logged_out"
)

// health is how the session fares. It is immutable and replaced whole. The times
// to wait for are readings of the manager's clock, with their monotonic part; see
// remaining.
type health struct {
	state    State
	err      error     // why, if not valid
	failures int       // in a row
	next     time.Time // no attempt of our own before this
	firm     bool      // nor for a caller before next: the server asked for it, or it would be in vain
	callers  time.Time // nor for a caller before this
	epoch    uint64    // server.epoch at the last attempt
	failed   time.Time // when the last attempt failed
	since    time.Time // when the first of them in a row did
	doubted  bool      // it was suspected or misconfigured since it was renewed last
	renewed  time.Time // last renewal that this manager or the record knows of
	unsaved  error     // why the current pair is not saved; nil if it is
	saveAt   time.Time // when saving is tried again
	saves    int       // failed saves in a row
}

// noticeWithin is how soon the return of a server is noticed while a caller waits.
const noticeWithin = 2 * time.Second

// callerWait is how long to wait after a failure that may be over any moment, for a
// caller without a living token: no longer than noticeWithin in the first half of an
// hour of trouble, and then longer by as much as nobody minds who has waited for so long.
// A server that is never reached is not spared anything.
func (h *health) callerWait() time.Duration {
	if !failure.Arrived(h.err) {
		return noticeWithin
	}
	return schedule.CallerPause(h.failed.Sub(h.since), noticeWithin)
}

// ended reports whether only a new login, or news from the Store, can help.
func (h *health) ended() bool {
	return h.state == StateLoginRequired || h.state == StateLoggedOut
}

// told reports whether the trouble is known to last, so that a caller is not to wait
// for the next attempt.
func (h *health) told() bool { return h.state == StateMisconfigured || h.state == StateSuspected }

// inDoubt reports whether the program may have been told that somebody has to do
// something, which is not taken back yet.
func (h *health) inDoubt() bool { return h.doubted || h.told() }

// hopeless reports whether the manager does not try by itself any more, because what
// came back was spent and cannot be read.
func (h *health) hopeless() bool {
	return h.state == StateMisconfigured && errors.Is(h.err, oauth.ErrUnreadAnswer)
}

// renew makes a copy of the state that of a session just renewed.
func (h *health) renew(at time.Time) {
	*h = health{state: StateValid, renewed: at, unsaved: h.unsaved, saveAt: h.saveAt, saves: h.saves}
}

// fail makes a copy of the state that of a session whose attempt failed.
func (h *health) fail(at time.Time, err error) {
	h.err, h.failures, h.failed, h.doubted = err, h.failures+1, at, h.inDoubt()
	if h.since.IsZero() {
		h.since = at
	}
}

// setHealth replaces the state by an edited copy and tells waiters. The caller
// has the turn.
func (m *managed) setHealth(edit func(h *health)) {
	h := *m.state.Load()
	edit(&h)
	m.state.Store(&h)
	m.mu.Lock()
	m.broadcastLocked()
	m.mu.Unlock()
}

// inWaiting turns a wall-clock time into a reading of the manager's clock.
func (m *Manager) inWaiting(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	now := m.now()
	return now.Add(at.Sub(now.Round(0)))
}

// wait is how long to wait after a failure: backing off up to the check interval, and
// beyond it once nobody is served any more and it has lasted for more than an hour: of
// the time that trouble lasts, a sixtieth more does not matter. What never arrives
// troubles no server.
func (m *managed) wait(h *health) time.Duration {
	limit := m.cfg.CheckInterval
	if failure.Arrived(h.err) && !m.cur.Load().alive(h.failed) {
		limit = schedule.FallingWait(h.failed.Sub(h.since)/60, limit, maxRefusalWait)
	}
	return schedule.Backoff(h.failures, limit, rand.Float64())
}
