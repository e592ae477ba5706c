package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Manager keeps one session alive. Make it with [NewManager], run it with
// [Manager.Start] and end it with [Manager.Stop] or [Manager.Close]; it can be
// started again. All methods are safe for concurrent use. It prints without
// tokens.
type Manager struct {
	cfg     *setup // shared by the sessions of a pool
	session string
	pool    *Pool // nil: the manager stands alone
	jitter  float64

	// cur is what readers see; nil means no session. Replaced by the turn's holder.
	cur atomic.Pointer[snapshot]
	// state is how the session fares, for status and for waiters; never nil.
	// Replaced by the turn's holder.
	state atomic.Pointer[health]
	// distrust is until when a rejected token is not refreshed, because a fresh one
	// was rejected just before; nil means never.
	distrust atomic.Pointer[time.Time]

	// turn is held (by sending) by whoever changes the session: one at a time,
	// and leaving the queue is possible. It guards the fields below it.
	turn       chan struct{}
	rec        *tokenstore.Record // the session as last read or saved; nil: none. All there is without a Store
	unsaved    unsaved            // what of rec is not saved yet
	account    *oauth.TokenPair   // a pair of the account the manager works for; nil: not known yet
	kept       tokenstore.Lease   // lease kept while the Store holds a spent token
	generation uint64             // of the last access token shown
	reported   string             // fingerprint of the grant OnRefreshFail has heard of
	notified   time.Time          // refresh-token end that was announced
	unchecked  verdict            // not yet checked against the Store

	mu        sync.Mutex         // guards the fields below; never held across I/O or callbacks
	run       *run               // nil when stopped
	flights   map[string]*flight // by resource indicator; nil if none is under way
	changed   chan struct{}      // closed when cur or state changes; nil if nobody waits
	resources map[string]*Resource
	stepUp    stepUps
}

// NewManager returns a manager for one session. cfg is copied; a missing
// OAuthClient is reported by Start.
func NewManager(cfg Config) *Manager {
	set := newSetup(cfg)
	return newManager(set, set.Session, nil)
}

func newManager(cfg *setup, session string, pool *Pool) *Manager {
	m := &Manager{
		cfg:     cfg,
		session: session,
		pool:    pool,
		jitter:  rand.Float64(),
		turn:    make(chan struct{}, 1),
	}
	m.state.Store(&noSession)
	return m
}

// noSession is the health of a manager that has not been started. Never modified.
var noSession = health{state: StateNone}

// Start begins to keep the session alive and returns. With nil tokens it goes on
// with the session saved in Config.Store (or with the one it had before Stop);
// if there is none, the error matches oauth.ErrLoginRequired.
//
// Tokens that the saved session is known to descend from, or that are older, do
// not replace it: a program may start with the same seed every time. Other
// tokens are a new login and replace what is saved. A pair without IssuedAt is
// judged by the threshold alone. tokens are copied.
//
// The end of ctx has the effect of Stop. Start fails with ErrRunning if the
// manager runs, and with oauth.ErrMisconfigured if it cannot.
func (m *Manager) Start(ctx context.Context, tokens *oauth.TokenPair) error {
	return m.start(ctx, ctx, tokens)
}

// start is Start with a run that outlives ctx and ends with life.
func (m *Manager) start(ctx, life context.Context, tokens *oauth.TokenPair) error {
	switch {
	case m.cfg.Follower && m.cfg.Store == nil:
		return fmt.Errorf("refresh: start: a follower needs Config.Store: %w", oauth.ErrMisconfigured)
	case m.cfg.Follower && tokens != nil:
		return fmt.Errorf("refresh: start: %w: %w", ErrFollower, oauth.ErrMisconfigured)
	case m.cfg.OAuthClient == nil && !m.cfg.Follower:
		return fmt.Errorf("refresh: start: Config.OAuthClient is nil: %w", oauth.ErrMisconfigured)
	}
	if err := tokenstore.CheckName(m.session); err != nil {
		return fmt.Errorf("refresh: start: Config.Session: %w: %w", oauth.ErrMisconfigured, err)
	}
	r, err := m.claimRun(ctx, life)
	if err != nil {
		return err
	}
	if err := m.withTurn(ctx, func() error { return m.begin(ctx, tokens) }); err != nil {
		r.abandon()
		return err
	}
	m.emit(Event{Kind: EventStarted})
	r.begin()
	return nil
}

// Stop ends the manager: no refresh begins any more, one under way is followed
// through, and what could not be saved is tried to save once more. It waits for
// all that. Tokens stay readable while they live. Stop does nothing if the
// manager is not running. Use [Manager.Close] to bound the wait and to learn
// what is unsaved.
func (m *Manager) Stop() { _ = m.close(context.Background(), false) }

// Close is Stop with a limit: it keeps trying to save until ctx ends, and then
// returns an error that matches ErrUnsaved and names the session, while a refresh
// still under way goes on in the background and is saved when it lands.
func (m *Manager) Close(ctx context.Context) error { return m.close(ctx, true) }

func (m *Manager) close(ctx context.Context, insist bool) error {
	m.mu.Lock()
	r := m.run
	if r == nil {
		m.mu.Unlock()
		return nil
	}
	if insist && r.grace == nil {
		r.grace = ctx
	}
	m.mu.Unlock()
	r.stop()
	select {
	case <-r.finished:
		return r.err
	case <-ctx.Done():
	}
	why := m.state.Load().unsaved
	if why == nil {
		why = errors.New("a refresh is still under way")
	}
	return fmt.Errorf("refresh: close: session %q: %w: %w: %w", m.session, ErrUnsaved, why, context.Cause(ctx))
}

// halt is Stop without waiting.
func (m *Manager) halt() {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// IsRunning reports whether the manager keeps the session alive. It is false from
// the moment that Stop is called or the context of Start ends.
func (m *Manager) IsRunning() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run != nil && !m.run.over()
}

// String describes the manager without tokens.
func (m *Manager) String() string {
	return fmt.Sprintf("refresh.Manager{session:%q state:%s}", m.session, m.state.Load().state)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (m *Manager) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, m.String()) }

func (m *Manager) now() time.Time { return m.cfg.Clock.Now() }

// withTurn calls f while nobody else changes the session.
func (m *Manager) withTurn(ctx context.Context, f func() error) error {
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
func (m *Manager) tryTurn(f func()) bool {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
		f()
		return true
	default:
		return false
	}
}

// wakeUp makes the manager look now.
func (m *Manager) wakeUp() {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil {
		r.sched.wake(r)
	}
}

// broadcastLocked tells waiters to look again.
func (m *Manager) broadcastLocked() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

func (m *Manager) changes() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

// emit hands an event to the program. A panicking OnEvent is the program's
// mistake; it must not take the session with it.
func (m *Manager) emit(e Event) {
	e.Session, e.Time = m.session, m.now().Round(0)
	if s := m.cur.Load(); s != nil {
		e.ExpiresAt = s.pair.ExpiresAt
	}
	_ = guard("Logger", func() error { m.log(e); return nil })
	if m.cfg.OnEvent == nil {
		return
	}
	if err := guard("OnEvent", func() error { m.cfg.OnEvent(e); return nil }); err != nil {
		m.cfg.Logger.Error("callback failed", "session", m.session, "error", err)
	}
}

// log writes decisions, each at the level at which somebody should look.
func (m *Manager) log(e Event) {
	log := m.cfg.Logger.With("session", e.Session)
	switch e.Kind {
	case EventChecked:
	case EventRefreshFailed, EventSaveFailed, EventScopeReduced, EventRefreshTokenEnding:
		log.Warn(string(e.Kind), "error", e.Err, "next_attempt", e.NextAttempt, "expires", e.ExpiresAt)
	case EventLoginRequired, EventMisconfigured, EventReauthenticateFailed:
		log.Error(string(e.Kind), "error", e.Err)
	case EventRefreshing:
		log.Debug(string(e.Kind))
	default:
		if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
			log.Warn(string(e.Kind), "error", e.Err)
			return
		}
		log.Info(string(e.Kind), "expires", e.ExpiresAt)
	}
}
