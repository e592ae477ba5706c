package refresh

import (
	"math/rand/v2"
	"time"
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
	// StateMisconfigured: the server refuses the client, or a session that it has
	// never renewed; retried slowly.
	StateMisconfigured State = "misconfigured"
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
	firm     bool      // nor for a caller: the server asked for it, or it would be in vain
	failed   time.Time // when the last attempt failed
	renewed  time.Time // last renewal that this manager or the record knows of
	unsaved  error     // why the current pair is not saved; nil if it is
	saveAt   time.Time // when saving is tried again
	saves    int       // failed saves in a row
}

// noticeWithin is how soon the return of a server is noticed while a caller waits.
const noticeWithin = 2 * time.Second

// nextFor returns when to try again for a caller without a living token, who is
// willing to wait for the given time: a backoff of our own, made to spare a server
// in trouble, is then at most noticeWithin, and half of that time.
func (h *health) nextFor(wait time.Duration) time.Time {
	if h.firm || h.next.IsZero() {
		return h.next
	}
	return earliest(h.next, h.failed.Add(min(wait/2, noticeWithin)))
}

// ended reports whether only a new login, or news from the Store, can help.
func (h *health) ended() bool {
	return h.state == StateLoginRequired || h.state == StateLoggedOut
}

// renew makes a copy of the state that of a session just renewed.
func (h *health) renew(at time.Time) {
	h.state, h.err, h.failures, h.renewed = StateValid, nil, 0, at
	h.next, h.firm, h.failed = time.Time{}, false, time.Time{}
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

// wait is how long to wait after the given number of failures in a row.
func (m *Manager) wait(failures int) time.Duration {
	return backoff(failures, m.cfg.CheckInterval, rand.Float64())
}
