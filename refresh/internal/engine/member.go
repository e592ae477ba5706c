package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/dormant"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// The kinds of events of an engine; see refresh.EventKind.
const (
	EventStarted              session.Kind = "started"
	EventStopped              session.Kind = "stopped"
	EventUpdated              session.Kind = "updated"
	EventReauthenticateFailed session.Kind = "reauthenticate_failed"
)

// A Member is a session of an engine. It is safe for concurrent use. Make it with
// [Member.Init].
type Member struct {
	cfg    *Config
	name   string
	engine *Engine
	handle any

	// serving is run while a look at it tells that the session runs; nil: ask IsRunning.
	// Written under mu.
	serving atomic.Pointer[run]

	// told is the version that a notice has told of and that no look has compared yet; 0: none.
	told atomic.Uint64

	// cur is what readers see; nil means no session, or a dormant one. Replaced by
	// the turn's holder, or under mu when the session goes to rest.
	cur snapshot.Cell

	mu     sync.Mutex // guards the fields below; never held across I/O or callbacks
	awake  *awake     // nil: dormant
	packed string     // the session while it is dormant
	run    *run       // nil when stopped
}

// An awake is what a session needs to be worked on, or to be asked for its token.
type awake struct {
	session *session.Session

	// leftOut: a look found the turn taken. The caller who has it wakes the session when
	// done; see plan.
	leftOut atomic.Bool

	// Guarded by Member.mu.
	users   int                // how many callers hold it; see hold
	logins  int                // how many logins of the program are under way
	login   *loginLock         // the lock of the login that is under way; nil: none has it
	waiting int                // how many callers wait for a token
	warm    int                // looks that it stays for although no caller holds it
	used    moment.Instant     // when a caller last asked for its token, as far as that is known
	flights map[string]*flight // those in progress, by resource indicator
	looks   map[newsOf]*newsLook
	changed chan struct{} // closed when cur or the health changes; nil if no caller waits
	stepUp  stepUp
}

// A stepUp is the scopes that APIs have asked for in vain with one access token.
type stepUp struct {
	generation uint64
	scopes     map[string]bool
}

// Init makes m a session that has not begun. handle is what package refresh has of it.
func (m *Member) Init(e *Engine, cfg *Config, name string, handle any) {
	m.cfg, m.name, m.engine, m.handle = cfg, name, e, handle
	m.awake = &awake{session: session.New(cfg.Session, name, m, &m.cur), used: m.Now()}
	if e.opts.Alone {
		e.members.put(m)
	}
}

// Name returns the session's name.
func (m *Member) Name() string { return m.name }

// Config returns what Init was given.
func (m *Member) Config() *Config { return m.cfg }

// Handle returns what package refresh has of the session.
func (m *Member) Handle() any { return m.handle }

// Now returns what the session's clock shows.
func (m *Member) Now() moment.Instant { return moment.Of(m.cfg.Session.Clock.Now()) }

// hold returns the session, awake until release is called as often.
func (m *Member) hold() *awake {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.holdLocked()
}

func (m *Member) holdLocked() *awake {
	if m.awake == nil {
		s, shown := m.unpack()
		m.awake, m.packed = s, ""
		m.cur.Store(shown)
	}
	m.awake.users++
	return m.awake
}

// warmFor is how many looks a session stays awake for after its token was asked
// for. Handing out a token leaves no trace, so a session in use is laid to rest
// now and then as well, which costs it a few microseconds.
const warmFor = 2

// use is hold for a caller who asks for the token.
func (m *Member) use() *awake {
	m.mu.Lock()
	woken := m.awake == nil
	c := m.holdLocked()
	r := m.run
	if woken {
		c.warm = warmFor
	}
	c.used = m.Now()
	m.mu.Unlock()
	if woken && r != nil {
		r.life.queue.Advance(r, m.Now().Add(m.cfg.Session.CheckInterval)) // to rest again
	}
	return c
}

// release lets the session rest when no caller holds it any more.
func (m *Member) release(c *awake) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.users--; c.users > 0 || c.warm > 0 || !m.cfg.Rests || !m.quietLocked(c) {
		return
	}
	d, o := c.session.Rest()
	if m.retires() {
		o.Due = o.Due.Or(c.used.Add(m.engine.opts.IdleAfter))
	}
	m.packed = dormant.Pack(dormant.Session{Dormant: d, Used: c.used}, o)
	m.awake = nil
	m.cur.Store(nil)
	if r := m.run; r != nil && r.live != nil && r.live.unhook == nil {
		r.live = nil
	}
}

// quietLocked reports whether nothing is in progress with the session, and nothing
// known about it, that is lost when it rests. No caller holds it.
func (m *Member) quietLocked(c *awake) bool {
	cur := m.cur.Load()
	return c.session.Quiet() && len(c.flights) == 0 && (c.stepUp.scopes == nil || c.stepUp.generation != cur.Generation)
}

// unpack returns the session as it was when it went to rest, and what its readers see.
func (m *Member) unpack() (*awake, *snapshot.Snapshot) {
	d := dormant.Unpack(m.packed)
	s, shown := session.Wake(m.cfg.Session, m.name, m, &m.cur, d.Dormant, dormant.Outlook(m.packed).Stamp)
	return &awake{session: s, used: d.Used}, shown
}

// View returns how the session is, without waking it.
func (m *Member) View() (*snapshot.Snapshot, *session.Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.awake; c != nil {
		return m.cur.Load(), c.session.Health()
	}
	c, shown := m.unpack()
	return shown, c.session.Health()
}

// State returns how the session fares, in a word, and whether it is dormant. It costs
// no more than that.
func (m *Member) State() (state session.State, dormant bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.awake == nil {
		return session.StateValid, true
	}
	return m.awake.session.Health().State, false
}

// WithTurn calls f while no other caller changes the session. It waits for that until
// ctx ends.
func (m *Member) WithTurn(ctx context.Context, f func(*session.Session) error) error {
	c := m.hold()
	defer m.release(c)
	return m.inTurn(ctx, c, func() error { return f(c.session) })
}

// inTurn is WithTurn for a caller that holds the session.
func (m *Member) inTurn(ctx context.Context, c *awake, f func() error) error {
	var next moment.Instant // zero: f was not called
	err := c.session.WithTurn(ctx, func() error {
		err := f()
		next = c.session.NextLook()
		return err
	})
	m.plan(c, next)
	return err
}

// tryTurn is session.TryTurn for a caller that holds the session.
func (m *Member) tryTurn(c *awake, f func()) bool {
	var next moment.Instant
	took := c.session.TryTurn(func() {
		f()
		next = c.session.NextLook()
	})
	if took {
		m.plan(c, next)
	}
	return took
}

// plan has the session looked at when a caller who had the turn has found that to be
// necessary, and now if a look has found the turn taken meanwhile.
func (m *Member) plan(c *awake, next moment.Instant) {
	leftOut := c.leftOut.Swap(false)
	switch r := m.runs(); {
	case r == nil:
	case leftOut:
		r.life.queue.Add(r)
	case !next.IsZero():
		r.life.queue.Advance(r, next)
	}
}

// Session calls f with the session, awake.
func (m *Member) Session(f func(*session.Session)) {
	c := m.hold()
	defer m.release(c)
	f(c.session)
}

// maxScopes is how many of them are remembered for one access token. APIs of one session
// have a handful; one that asks for another scope with each request is not listened to.
const maxScopes = 64

// FirstToWant reports whether an API asks for a scope for the first time with an access
// token, and is one of the first to ask for any.
func (m *Member) FirstToWant(scope string, generation uint64) bool {
	c := m.hold()
	defer m.release(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.stepUp.scopes == nil || c.stepUp.generation != generation {
		c.stepUp = stepUp{generation, make(map[string]bool)}
	}
	if c.stepUp.scopes[scope] || len(c.stepUp.scopes) == maxScopes {
		return false
	}
	c.stepUp.scopes[scope] = true
	return true
}

// IsRunning reports whether the session is kept alive. It is false from the moment that
// it is to end.
func (m *Member) IsRunning() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run != nil && !m.run.overLocked()
}

// serves reports whether the session is known to be kept alive. Without a lock it cannot
// tell of one that runs until a context of its own ends.
func (m *Member) serves() bool {
	r := m.serving.Load()
	return r != nil && r.life.ctx.Err() == nil
}

// Wake makes the engine look at the session now.
func (m *Member) Wake() {
	if r := m.runs(); r != nil {
		r.life.queue.Add(r)
	}
}

// wakeBy makes the engine look at the session within a time, if it would look later.
func (m *Member) wakeBy(within time.Duration) {
	if r := m.runs(); r != nil {
		r.life.queue.Advance(r, m.Now().Add(within))
	}
}

func (m *Member) runs() *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

// Emit implements session.Host.
func (m *Member) Emit(e session.Event) {
	var expires time.Time
	if cur := m.cur.Load(); cur != nil {
		expires = cur.Pair.ExpiresAt
	}
	m.cfg.Emit(m.name, e, expires)
}

// Changed implements session.Host.
func (m *Member) Changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broadcastLocked()
}

// broadcastLocked tells callers that wait, if there are any, to look again.
func (m *Member) broadcastLocked() {
	if m.awake != nil && m.awake.changed != nil {
		close(m.awake.changed)
		m.awake.changed = nil
	}
}

// changes returns what is closed at the next change.
func (m *Member) changes(c *awake) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// Waiting implements session.Host.
func (m *Member) Waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.awake != nil && m.awake.waiting > 0
}

// InUse implements session.Host.
func (m *Member) InUse() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.awake != nil && m.awake.warm > 0
}

// Outlive implements session.Host.
func (m *Member) Outlive(f func()) {
	c := m.hold()
	go func() {
		defer func() {
			m.release(c)
			m.Wake()
		}()
		f()
	}()
}

// LoginRequired implements session.Host. It calls OnRefreshFail, and Reauthenticate if
// that says so, on a goroutine of its own: the program may take its time, ask a person,
// or stop the manager. Stop does not wait for it, but ends its context.
//
// A person who logs in at this very moment is not to be asked to: a login that is under
// way is waited for, and the Store is looked at once more.
func (m *Member) LoginRequired(grant string, cause error) {
	if m.cfg.OnRefreshFail == nil {
		return
	}
	m.mu.Lock()
	ctx := context.Background()
	if m.run != nil {
		ctx = m.run.contextLocked()
	}
	c := m.holdLocked() // a dormant session has no context
	m.mu.Unlock()
	go func() {
		defer m.release(c)
		if !m.stillRefused(ctx, c, grant) {
			return
		}
		var again bool
		err := failure.Guard("OnRefreshFail", func() error { again = m.cfg.OnRefreshFail(cause); return nil })
		if err == nil && (!again || m.cfg.Reauthenticate == nil || m.cfg.Session.Follower) {
			return
		}
		if err == nil && !m.stillRefused(ctx, c, grant) {
			return // a person has logged in while OnRefreshFail asked
		}
		if err == nil {
			err = m.reauthenticate(ctx, grant)
		}
		if err != nil {
			m.Emit(session.Event{Kind: EventReauthenticateFailed, Err: err})
		}
	}()
}

// ClientRefused calls OnRefreshFail about a refusal of the client, on a goroutine of its own.
// A login does not help there, so that what it returns does not count.
func (m *Member) ClientRefused(cause error) {
	if m.cfg.OnRefreshFail == nil {
		return
	}
	c := m.hold()
	go func() {
		defer m.release(c)
		err := failure.Guard("OnRefreshFail", func() error { m.cfg.OnRefreshFail(cause); return nil })
		if err != nil {
			m.Emit(session.Event{Kind: EventReauthenticateFailed, Err: err})
		}
	}()
}

// stillRefused is session.StillRefused when no login is under way here. A Store that does
// not say is asked again for a check interval, or until ctx ends.
func (m *Member) stillRefused(ctx context.Context, c *awake, grant string) (still bool) {
	cfg := m.cfg.Session
	until := moment.Of(cfg.Clock.Now()).Add(cfg.CheckInterval)
	for {
		var unknown error
		_ = m.inTurn(context.Background(), c, func() error {
			still, unknown = c.session.StillRefused(context.Background(), grant)
			return nil
		})
		m.mu.Lock()
		logins := c.logins
		m.mu.Unlock()
		switch {
		case !still:
			return false
		case logins == 0 && (unknown == nil || moment.Of(cfg.Clock.Now()).Reached(until)):
			return true
		}
		timer := cfg.Clock.Timer(recheck)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return logins == 0
		}
	}
}

// recheck is how long to wait before a login that is under way, or a Store that does not
// say, is looked at again.
const recheck = 100 * time.Millisecond

// errSameGrant is the error of a Reauthenticate that has obtained nothing.
var errSameGrant = errors.New("refresh: Reauthenticate returned the refresh token that a login is needed for")

// reauthenticate obtains a new login from the program in the place of a grant, unless another
// process has meanwhile, and continues with it. A login that was obtained is kept even if
// the manager has stopped meanwhile.
func (m *Member) reauthenticate(ctx context.Context, grant string) error {
	return m.LoginOnce(ctx, func(ctx context.Context) (pair *oauth.TokenPair, err error) {
		err = failure.Guard("Reauthenticate", func() error {
			pair, err = m.cfg.Reauthenticate(ctx)
			return failure.Told("Reauthenticate", err)
		})
		if err == nil && pair != nil && grant != "" && tokenstore.Fingerprint(pair.RefreshToken) == grant {
			err = errSameGrant
		}
		return pair, err
	}, m.Update)
}

// String describes the session without tokens.
func (m *Member) String() string {
	_, h := m.View()
	return fmt.Sprintf("refresh.Manager{session:%q state:%s}", m.name, h.State)
}
