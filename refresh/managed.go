package refresh

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A managed is what a Manager needs to work on its session. A manager on its own
// has one all the time. In a pool it exists while somebody works on the session or
// asks for its token, and is packed away after that (rest.go).
type managed struct {
	*Manager

	// state is how the session fares, for status and for waiters; never nil.
	// Replaced by the turn's holder.
	state atomic.Pointer[health]
	// distrust is until when a rejected token is not refreshed, because a fresh one
	// was rejected just before; nil means never.
	distrust atomic.Pointer[time.Time]
	// leftOut: a look found the turn taken. A flight that has it then wakes the session
	// when it ends; others wake it in any case.
	leftOut atomic.Bool

	// turn is held (by sending) by whoever changes the session: one at a time,
	// and leaving the queue is possible. It guards the fields below it.
	turn       chan struct{}
	rec        *tokenstore.Record // the session as last read or saved; nil: none. All there is without a Store
	unsaved    unsaved            // what of rec is not saved yet
	account    *oauth.TokenPair   // a pair of the account the manager works for; nil: not known yet
	kept       tokenstore.Lease   // lease kept while the Store holds a spent token
	generation uint64             // of the last access token shown
	asked      string             // fingerprint of the refresh token that was asked about last, by this manager
	reported   string             // fingerprint of the grant OnRefreshFail has heard of
	notified   time.Time          // refresh-token end that was announced
	unchecked  verdict            // not yet checked against the Store
	stamp      stamp              // of what was last read from the Store
	deferred   time.Time          // until when a due refresh is put off; zero: it is not
	ticket     bool               // it may begin then

	// Guarded by Manager.mu.
	users     int                // who hold it; see hold
	warm      int                // looks that it stays for although nobody holds it
	used      time.Time          // when somebody last asked for its token, as far as that is known
	flights   map[string]*flight // those under way, by resource indicator
	changed   chan struct{}      // closed when cur or state changes; nil if nobody waits
	resources map[string]*Resource
	stepUp    stepUps
}

func newManaged(m *Manager) *managed {
	c := &managed{Manager: m, turn: make(chan struct{}, 1), used: m.now()}
	c.state.Store(&noSession)
	return c
}

// noSession is the health of a manager that has not been started. Never modified.
var noSession = health{state: StateNone}

// withTurn calls f while nobody else changes the session.
func (m *Manager) withTurn(ctx context.Context, f func(*managed) error) error {
	c := m.hold()
	defer c.release()
	return c.withTurn(ctx, func() error { return f(c) })
}

func (m *managed) withTurn(ctx context.Context, f func() error) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
		return f()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tryTurn is withTurn for work that can be left to whoever has the turn. It
// reports whether f was called.
func (m *managed) tryTurn(f func()) bool {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
		f()
		return true
	default:
		return false
	}
}

// broadcastLocked tells waiters, if there are any, to look again.
func (m *Manager) broadcastLocked() {
	if m.awake != nil {
		m.awake.broadcastLocked()
	}
}

func (m *managed) broadcastLocked() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// changes returns what is closed at the next change of cur or state.
func (m *managed) changes() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}
