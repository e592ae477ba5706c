package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/tokenstore"
)

// PoolConfig configures a Pool.
type PoolConfig struct {
	// Config is what all sessions have in common. Session is not used. The
	// callbacks are called for every session: OnEvent is told which by
	// Event.Session, the others by Configure.
	Config

	// Configure, if set, changes the configuration of one session before it is
	// opened: another OAuthClient, or callbacks that know whose session it is.
	// Clock, CheckInterval and Session stay the pool's. It may be called from
	// several goroutines, and costs every session a Config of its own.
	Configure func(session string, cfg *Config)

	// IdleAfter is how long a session that is saved in Config.Store, and is not
	// renewed unless the program asks for its token (RenewOnUse, RenewNever), stays in
	// memory without being asked for. After that it is dropped, as by Drop: get
	// sessions from the pool each time they are needed. Zero or less: it stays.
	IdleAfter time.Duration

	// Limits bound what each authorization server is asked. Sessions have a server in
	// common if their OAuthClient names the same one (ServerNamer).
	Limits Limits

	// Workers bounds how many sessions are looked at and refreshed at a time, and
	// so the requests that the pool makes at once. Zero or less means
	// DefaultWorkers.
	Workers int
}

// Limits bound what one authorization server is asked. The sessions of a Pool that
// have the same server share them.
type Limits struct {
	// Concurrent bounds the refreshes under way at a time. Zero or less: no bound,
	// other than the pool's Workers.
	Concurrent int
	// Rate bounds the refreshes that begin in a second. Where it is too low to renew
	// all sessions within their RefreshThreshold, renewing begins earlier. Zero or
	// less: no bound, but a crowd is spread: one whose tokens will expire at once over
	// half the RefreshThreshold before it, and one that is due already, as after a start
	// or a sleep, over half a check interval.
	Rate float64
}

// A Pool keeps many sessions alive: a daemon's users, or the tenants of a
// service. Every session is a [Manager] with all that it promises, but they share
// one scheduler; a session at rest has no goroutine and no timer. A crowd of
// sessions that are due at once is worked off by a bounded number of workers, and
// a session whose server hangs takes up one of them at most.
//
// Make it with [NewPool], run it with [Pool.Start], get a session with
// [Pool.Session], and end it with [Pool.Stop] or [Pool.Close]; it can be started
// again. All methods are safe for concurrent use.
type Pool struct {
	set       *setup
	configure func(session string, cfg *Config)
	engine    *engine.Engine
	workers   int
	limits    Limits

	mu    sync.Mutex // guards gates
	gates map[string]*gate.Gate
}

// NewPool returns a pool without sessions. cfg is copied; a missing OAuthClient is
// reported when a session is opened.
func NewPool(cfg PoolConfig) *Pool {
	if cfg.Workers <= 0 {
		cfg.Workers = DefaultWorkers
	}
	p := &Pool{configure: cfg.Configure, workers: cfg.Workers, limits: cfg.Limits, gates: make(map[string]*gate.Gate)}
	p.set = newSetup(cfg.Config, true, p.gateOf)
	p.engine = engine.New(engine.Options{
		Clock: p.set.Clock, CheckInterval: p.set.CheckInterval, Store: p.set.Store, Reach: p.set.engine.Session.Reach, Logger: p.set.Logger,
		Workers: cfg.Workers, IdleAfter: cfg.IdleAfter,
	})
	return p
}

// gateOf returns what the sessions of one server share. Servers without a name may be
// the same or not, so their sessions have to be configured alike.
func (p *Pool) gateOf(name string) *gate.Gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.gates[name]
	if g == nil {
		g = gate.New(name, gate.Limits(p.limits), p.workers)
	}
	if name != "" {
		p.gates[name] = g
	}
	return g
}

// Start makes the pool ready for sessions; it opens none. The end of ctx has the
// effect of Stop. Start fails with ErrRunning if the pool runs.
func (p *Pool) Start(ctx context.Context) error { return p.engine.Start(ctx) }

// Session returns the session's manager, running. The first time it reads the
// session from Config.Store, for as long as ctx allows; later it costs a look
// into a table, without a lock. The error matches oauth.ErrLoginRequired if there is no such
// session, and ErrStopped if the pool is not running. Where OAuthClient needs no
// refresh token there need be none: it is begun then, as by [Manager.Start].
//
// A session that has ended meanwhile is returned as well: see its status.
// Manager.Stop takes the session out of the pool's care until it is asked for
// again.
func (p *Pool) Session(ctx context.Context, name string) (*Manager, error) {
	if m := p.engine.Running(name); m != nil {
		return m.Handle().(*Manager), nil
	}
	return p.session(ctx, name, nil)
}

// Add makes tokens the named session, as after a login, and returns its manager,
// running. Tokens that the saved session is known to descend from, or that are
// older, do not replace it ([Manager.Start]). tokens are copied.
func (p *Pool) Add(ctx context.Context, name string, tokens *oauth.TokenPair) (*Manager, error) {
	if tokens == nil {
		return nil, errors.New("refresh: Pool.Add: no tokens")
	}
	return p.session(ctx, name, tokens)
}

// Restore opens all sessions of Config.Store, so that they are kept alive whether or not
// the program asks for them, and returns how many are open then. The Store must be a
// tokenstore.Pager, which has whole records on its pages, or a tokenstore.Lister, which is
// asked for 64 sessions at a time. Sessions that are due are renewed while others are still
// being opened, the soonest due first; one that the program asks for comes at once.
//
// A session that cannot be opened does not keep the others: the errors of the first
// hundred are joined. Restore ends with ctx, when the pool stops, or when the Store cannot
// go on to list; what is open by then stays, and another call goes on.
func (p *Pool) Restore(ctx context.Context) (int, error) {
	return p.engine.Restore(ctx, p.set.engine.Session, p.create)
}

// create makes the manager of a session that is not open yet.
func (p *Pool) create(name string) *engine.Member {
	return &newManager(p.engine, p.setupOf(name), name).m
}

// Drop stops a session and forgets it, here only: the Store keeps it. Its manager
// cannot be started again. Drop waits as [Manager.Close] does, for as long as ctx
// allows. It returns nil for a session that is not open.
func (p *Pool) Drop(ctx context.Context, name string) error {
	m := p.engine.Forget(name)
	if m == nil {
		return nil
	}
	return m.Close(ctx, true)
}

// Statuses returns how every open session fares, in no particular order.
func (p *Pool) Statuses() iter.Seq[*RefreshStatus] {
	return func(yield func(*RefreshStatus) bool) {
		for _, m := range p.engine.Members() {
			if !yield(m.Handle().(*Manager).GetRefreshStatus()) {
				return
			}
		}
	}
}

// String describes the pool without tokens.
func (p *Pool) String() string {
	return fmt.Sprintf("refresh.Pool{sessions:%d running:%t}", p.engine.Count(), p.engine.IsRunning())
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (p *Pool) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, p.String()) }

// session returns the named session's manager, after starting it if need be.
func (p *Pool) session(ctx context.Context, name string, tokens *oauth.TokenPair) (*Manager, error) {
	m, err := p.engine.Open(ctx, name, tokens, p.create)
	if m == nil {
		return nil, err
	}
	return m.Handle().(*Manager), err
}

// setupOf returns the configuration of a session.
func (p *Pool) setupOf(name string) *setup {
	if p.configure == nil {
		return p.set
	}
	cfg := p.set.Config
	p.configure(name, &cfg)
	cfg.Clock, cfg.CheckInterval = p.set.Clock, p.set.CheckInterval
	own := newSetup(cfg, true, p.gateOf)
	if own.engine.Watched = sameStore(own.Store, p.set.Store); own.engine.Watched {
		own.engine.Session.ShareStore(p.set.engine.Session)
	}
	return own
}

// sameStore reports whether two are one Store, as far as that can be told: there are values
// that cannot be compared.
func sameStore(a, b tokenstore.Store) bool {
	return a == nil && b == nil || a != nil && reflect.ValueOf(a).Comparable() && a == b
}

// Stop ends the pool and all of its sessions, as [Manager.Stop] does for one. It
// does nothing if the pool is not running.
func (p *Pool) Stop() { _, _ = p.engine.Close(context.Background(), false) }

// Close is Stop with a limit, as [Manager.Close] is for one session.
func (p *Pool) Close(ctx context.Context) error {
	err, done := p.engine.Close(ctx, true)
	if done {
		return err
	}
	var names []string
	for st := range p.Statuses() {
		if st.Unsaved && len(names) < engine.MaxErrors {
			names = append(names, st.Session)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("refresh: close: refreshes are still under way: %w: %w", ErrUnsaved, err)
	}
	return fmt.Errorf("refresh: close: sessions such as %q: %w: %w", names, ErrUnsaved, err)
}
