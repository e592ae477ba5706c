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
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/reach"
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
	Reach         *reach.Line      // leads to it
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

	mu       sync.Mutex               // guards the fields below; never held across I/O or callbacks
	life     *life                    // nil when stopped
	members  index                    // written with mu held, read without
	opening  map[string]chan struct{} // closed when the session is open, or is not
	leaving  leaving
	returned moment.Instant // when all looks were brought forward last because a Store was back
}

// New returns an engine without sessions.
func New(opts Options) *Engine {
	return &Engine{opts: opts, opening: make(map[string]chan struct{}), leaving: make(leaving)}
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
	return e.members.all()
}

// Count returns how many sessions are open.
func (e *Engine) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members.size
}

// Running returns the named session if it is open and runs, without waiting for anything
// and without a lock; else nil, and Open knows more.
func (e *Engine) Running(name string) *Member {
	if m := e.members.find(name); m != nil && m.serves() {
		return m
	}
	return nil
}

// Open returns the named session after starting it if need be: once, however many ask.
// A session that is not open yet is made by create.
func (e *Engine) Open(ctx context.Context, name string, tokens *oauth.TokenPair, create func(name string) *Member) (*Member, error) {
	return e.open(ctx, name, opening{tokens: tokens, queue: (*run).queueNow, create: create})
}

// An opening is how a session is opened.
type opening struct {
	tokens *oauth.TokenPair // a login that may be new; nil: none
	saved  *session.Saved   // what the engine's Store has just said; nil: it is yet to be asked
	queue  func(*run)       // puts the run into the queue
	create func(name string) *Member
}

func (e *Engine) open(ctx context.Context, name string, o opening) (*Member, error) {
	for {
		e.mu.Lock()
		m, busy, l := e.members.find(name), e.opening[name], e.life
		if l == nil || l.ctx.Err() != nil {
			e.mu.Unlock()
			return nil, fmt.Errorf("refresh: session %q: the pool: %w", name, session.ErrStopped)
		}
		if busy == nil && m != nil {
			e.mu.Unlock() // a member that starts asks for it while its own is locked
			if m.IsRunning() {
				return m, m.offer(ctx, o.tokens)
			}
			e.mu.Lock()
			m, busy = e.members.find(name), e.opening[name]
		}
		if busy == nil {
			e.opening[name] = make(chan struct{})
			e.mu.Unlock()
			return e.begin(ctx, l, m, name, o)
		}
		e.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: opening session %q: %w", name, context.Cause(ctx))
		}
	}
}

// begin starts a member, m if there is one, for the caller that is the only one to open
// its session.
func (e *Engine) begin(ctx context.Context, l *life, m *Member, name string, o opening) (*Member, error) {
	had, err := m != nil, errExited // if a callback ends the goroutine
	defer func() { e.opened(name, m, had, err) }()
	if !had {
		m = o.create(name)
	}
	e.mu.Lock()
	e.members.put(m) // before it runs, or an engine that stops would miss it
	e.mu.Unlock()
	if !m.cfg.Watched {
		o.saved = nil // it has a Store of its own
	}
	if err = m.cfg.Session.CheckStart(name, o.tokens); err == nil {
		err = errExited
		err = m.start(ctx, l.ctx, o.tokens, o.saved, o.queue)
	}
	if errors.Is(err, ErrRunning) {
		err = nil // a caller who had kept the manager has started it
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// opened lets others open a session, or have m, whose opening has ended. m is nil if it could
// not even be made.
func (e *Engine) opened(name string, m *Member, had bool, err error) {
	runs := m != nil && m.IsRunning() // also if the program was told so, and has ended the goroutine
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.opening[name])
	delete(e.opening, name)
	if err != nil && !runs && (!had || errors.Is(err, oauth.ErrLoginRequired)) {
		e.members.remove(name)
	} // else it may hold the only copy of a pair
}

// An index finds members by their names. Readers take no lock, because a pool is asked for
// a session on the path of every request, by all goroutines at once; writers hold
// Engine.mu. It is a hash table with open addressing, of 16 to 32 bytes a member: a map,
// which readers would have to lock, takes 35, and a sync.Map 124.
type index struct {
	slots atomic.Pointer[[]slot] // a power of two of them, half of them free at least; nil: no members
	size  int                    // members
	used  int                    // slots that are not free: members, and those that were removed
}

// A slot holds a member; nil: it is free. A search ends at a free one.
type slot = atomic.Pointer[Member]

// removed is what a slot holds whose member was removed.
var removed Member

var indexSeed = maphash.MakeSeed()

// find returns the named member, or nil.
func (x *index) find(name string) *Member {
	_, m := x.slot(name)
	return m
}

// slot returns the named member and its slot, or else the free one at which the search for
// it ended; nil if there are no slots. What a reader takes is the member that was compared:
// a moment later the slot may hold another one.
func (x *index) slot(name string) (*slot, *Member) {
	p := x.slots.Load()
	if p == nil {
		return nil, nil
	}
	slots := *p
	for i := maphash.String(indexSeed, name); ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		if m := s.Load(); m == nil || m != &removed && m.name == name {
			return s, m
		}
	}
}

// put adds a member, in the place of another one of its name.
func (x *index) put(m *Member) {
	if slots := x.slots.Load(); slots == nil || 2*(x.used+1) > len(*slots) {
		x.rebuild()
	}
	s, before := x.slot(m.name)
	if before == nil {
		x.size++
		x.used++
	}
	s.Store(m)
}

// remove removes the named member and returns it, or nil if there is none.
func (x *index) remove(name string) *Member {
	s, m := x.slot(name)
	if m == nil {
		return nil
	}
	x.size--
	s.Store(&removed)
	return m
}

// rebuild makes room, and forgets what was removed.
func (x *index) rebuild() {
	n := 8
	for n < 4*x.size {
		n *= 2
	}
	var next index
	slots := make([]slot, n)
	next.slots.Store(&slots)
	for _, m := range x.all() {
		s, _ := next.slot(m.name)
		s.Store(m)
	}
	x.slots.Store(&slots) // whole, or readers would miss members
	x.used = x.size
}

// all returns the members, in no particular order.
func (x *index) all() []*Member {
	members := make([]*Member, 0, x.size)
	if p := x.slots.Load(); p != nil {
		for i := range *p {
			if m := (*p)[i].Load(); m != nil && m != &removed {
				members = append(members, m)
			}
		}
	}
	return members
}
