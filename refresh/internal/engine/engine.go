// Package engine runs sessions: one queue and one life cycle for any number of them.
//
// Each session is a [Member], which is all there is of it while it is dormant. It wakes
// for a look, when the Store has news, or when a caller asks for its token; the rest is
// package session's. A manager that stands alone is the only member of its engine.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

// ErrRunning is refresh.ErrRunning.
var ErrRunning = errors.New("refresh: manager is already running")

// Options are what all sessions of an engine have in common.
type Options struct {
	Clock         clock.Clock
	CheckInterval time.Duration
	Store         tokenstore.Store // whose changes are heard of, if it is a Watcher
	Logger        *slog.Logger

	Workers   int           // how many sessions are looked at and renewed at a time; zero: no bound
	IdleAfter time.Duration // of PoolConfig
	Alone     bool          // there is one session, whose life the engine's is
}

// A Config is what a session works with. It is not modified, so that sessions share it.
type Config struct {
	Session *session.Config
	Face    any // what package refresh needs to know

	// Emit tells the program what happened to a session whose token ends at a time.
	Emit           func(name string, e session.Event, expiresAt time.Time)
	OnRefreshFail  func(err error) bool                                // nil: not called
	Reauthenticate func(ctx context.Context) (*oauth.TokenPair, error) // nil: not possible
	Retire         bool                                                // of an engine with IdleAfter: the session may be dropped
	Watched        bool                                                // the session is in the engine's Store
	Rests          bool                                                // a session that is not worked on becomes dormant
}

// An Engine is safe for concurrent use. Make it with [New].
type Engine struct {
	opts     Options
	watching atomic.Bool // the Store says what changes

	mu      sync.Mutex // guards the fields below; never held across I/O or callbacks
	life    *life      // nil when stopped
	members map[string]*Member
	opening map[string]chan struct{} // closed when the session is open, or is not
}

// New returns an engine without sessions.
func New(opts Options) *Engine {
	return &Engine{opts: opts, members: make(map[string]*Member), opening: make(map[string]chan struct{})}
}

// Start makes the engine ready for sessions; it opens none. The end of ctx has the
// effect of Close. Start fails with ErrRunning if the engine runs.
func (e *Engine) Start(ctx context.Context) error {
	_, err := e.start(ctx)
	return err
}

func (e *Engine) start(ctx context.Context) (*life, error) {
	for {
		e.mu.Lock()
		old := e.life
		if old == nil {
			e.life = e.newLife(ctx)
			defer e.mu.Unlock()
			return e.life, nil
		}
		e.mu.Unlock()
		if old.ctx.Err() == nil {
			return nil, ErrRunning
		}
		select {
		case <-old.finished:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: start: %w", context.Cause(ctx))
		}
	}
}

// Close ends the engine and all of its sessions. With insist it keeps trying to save
// what is unsaved until ctx ends. It reports false if ctx has ended before all is done,
// which then goes on in the background.
func (e *Engine) Close(ctx context.Context, insist bool) (err error, done bool) {
	e.mu.Lock()
	l := e.life
	if l == nil {
		e.mu.Unlock()
		return nil, true
	}
	if insist && l.grace == nil {
		l.grace = ctx
	}
	e.mu.Unlock()
	l.cancel()
	select {
	case <-l.finished:
		return l.err, true
	case <-ctx.Done():
		return context.Cause(ctx), false
	}
}

// IsRunning reports whether the engine runs.
func (e *Engine) IsRunning() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.life != nil && e.life.ctx.Err() == nil
}

// Members returns the open sessions, in no particular order.
func (e *Engine) Members() []*Member {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.members))
}

// find returns the named session, or nil if it is not open.
func (e *Engine) find(name string) *Member {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members[name]
}

// Forget removes a session and returns it, or nil if it is not open.
func (e *Engine) Forget(name string) *Member {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.members[name]
	delete(e.members, name)
	return m
}

// retire forgets a session that no caller uses, unless it is being opened.
func (e *Engine) retire(m *Member) {
	e.mu.Lock()
	if e.members[m.name] == m && e.opening[m.name] == nil {
		delete(e.members, m.name)
	}
	e.mu.Unlock()
	m.halt()
}

// Open returns the named session after starting it if need be: once, however many ask.
// A session that is not open yet is made by create.
func (e *Engine) Open(ctx context.Context, name string, tokens *oauth.TokenPair, create func() *Member) (*Member, error) {
	for {
		e.mu.Lock()
		m, busy, l := e.members[name], e.opening[name], e.life
		if l == nil || l.ctx.Err() != nil {
			e.mu.Unlock()
			return nil, fmt.Errorf("refresh: session %q: the pool: %w", name, session.ErrStopped)
		}
		if busy == nil && m != nil {
			e.mu.Unlock() // a member that starts asks for it while its own is locked
			if m.IsRunning() {
				return m, m.offer(ctx, tokens)
			}
			e.mu.Lock()
			m, busy = e.members[name], e.opening[name]
		}
		if busy == nil {
			e.opening[name] = make(chan struct{})
			e.mu.Unlock()
			return e.open(ctx, l, m, name, tokens, create)
		}
		e.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: opening session %q: %w", name, context.Cause(ctx))
		}
	}
}

// open starts a member, m if there is one, for the caller that is the only one to open
// its session.
func (e *Engine) open(ctx context.Context, l *life, m *Member, name string, tokens *oauth.TokenPair, create func() *Member) (*Member, error) {
	if m == nil {
		m = create()
	}
	e.mu.Lock()
	e.members[name] = m // before it runs, or an engine that stops would miss it
	e.mu.Unlock()
	err := m.cfg.Session.CheckStart(name, tokens)
	if err == nil {
		err = m.start(ctx, l.ctx, tokens)
	}
	if errors.Is(err, ErrRunning) {
		err = nil // a caller who had kept the manager has started it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.opening[name])
	delete(e.opening, name)
	if err != nil {
		delete(e.members, name)
		return nil, err
	}
	return m, nil
}
