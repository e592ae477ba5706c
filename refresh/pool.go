package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// DefaultWorkers is how many sessions a Pool works on at a time, unless told
// otherwise.
const DefaultWorkers = 64

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
	// renewed unless somebody asks for its token (RenewOnUse, RenewNever), stays in
	// memory without being asked for. After that it is dropped, as by Drop: get
	// sessions from the pool each time they are needed. Zero or less: it stays.
	IdleAfter time.Duration

	// Workers bounds how many sessions are looked at and refreshed at a time, and
	// so the requests that the pool makes at once. Zero or less means
	// DefaultWorkers.
	Workers int
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
	cfg       *setup
	configure func(session string, cfg *Config)
	workers   int
	idleAfter time.Duration

	mu       sync.Mutex // guards the fields below; never held across I/O or callbacks
	run      *poolRun   // nil when stopped
	servers  map[string]*server
	sessions map[string]*Manager
	opening  map[string]chan struct{} // closed when the session is open, or is not
}

// NewPool returns a pool without sessions. cfg is copied; a missing OAuthClient is
// reported when a session is opened.
func NewPool(cfg PoolConfig) *Pool {
	if cfg.Workers <= 0 {
		cfg.Workers = DefaultWorkers
	}
	p := &Pool{
		cfg:       newSetup(cfg.Config),
		configure: cfg.Configure,
		workers:   cfg.Workers,
		idleAfter: cfg.IdleAfter,
		servers:   make(map[string]*server),
		sessions:  make(map[string]*Manager),
		opening:   make(map[string]chan struct{}),
	}
	p.cfg.server = p.serverOf(p.cfg)
	return p
}

// serverOf returns what the sessions of one server share. Of a server without a name
// nobody knows whether it is another one's, so its sessions have to be configured
// alike.
func (p *Pool) serverOf(cfg *setup) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name := cfg.server.name; name != "" && p.servers[name] != nil {
		return p.servers[name]
	}
	s := newServer(cfg.server.name, cfg.Limits, p.workers)
	if s.name != "" {
		p.servers[s.name] = s
	}
	return s
}

// Start makes the pool ready for sessions; it opens none. The end of ctx has the
// effect of Stop. Start fails with ErrRunning if the pool runs.
func (p *Pool) Start(ctx context.Context) error {
	for {
		p.mu.Lock()
		old := p.run
		if old == nil {
			p.run = p.newRun(ctx)
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if old.ctx.Err() == nil {
			return ErrRunning
		}
		select {
		case <-old.finished:
		case <-ctx.Done():
			return fmt.Errorf("refresh: start: %w", context.Cause(ctx))
		}
	}
}

// Session returns the session's manager, running. The first time it reads the
// session from Config.Store, for as long as ctx allows; later it costs a look
// into a map. The error matches oauth.ErrLoginRequired if there is no such
// session, and ErrStopped if the pool is not running. Where OAuthClient needs no
// refresh token there need be none: it is begun then, as by [Manager.Start].
//
// A session that has ended meanwhile is returned as well: see its status.
// Manager.Stop takes the session out of the pool's care until it is asked for
// again.
func (p *Pool) Session(ctx context.Context, name string) (*Manager, error) {
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

// Restore opens all sessions of Config.Store, which must be a tokenstore.Lister,
// so that they are kept alive whether or not somebody asks for them. It returns
// how many it opened. One that cannot be opened does not keep the others; the
// errors are joined.
func (p *Pool) Restore(ctx context.Context) (int, error) {
	opened := 0
	var failed []error
	for page, err := range p.names(ctx) {
		if err != nil {
			return opened, errors.Join(append(failed, fmt.Errorf("refresh: listing the sessions: %w", err))...)
		}
		for _, name := range page {
			switch _, err := p.Session(ctx, name); {
			case err == nil:
				opened++
			case ctx.Err() != nil, errors.Is(err, ErrStopped):
				return opened, err
			case !errors.Is(err, oauth.ErrLoginRequired): // not just deleted
				failed = append(failed, err)
			}
		}
	}
	return opened, errors.Join(failed...)
}

// names returns the names of all sessions in the Store, by the page if it can.
func (p *Pool) names(ctx context.Context) iter.Seq2[[]string, error] {
	const pageSize = 1000
	return func(yield func([]string, error) bool) {
		if pager, ok := p.cfg.Store.(tokenstore.Pager); ok {
			for after := ""; ; {
				page, err := pager.NamesAfter(ctx, after, pageSize)
				if errors.Is(err, errors.ErrUnsupported) {
					break
				}
				if !yield(page, err) || err != nil || len(page) < pageSize {
					return
				}
				after = page[len(page)-1]
			}
		}
		list, ok := p.cfg.Store.(tokenstore.Lister)
		if !ok {
			yield(nil, fmt.Errorf("the Store cannot list its sessions: %w", oauth.ErrMisconfigured))
			return
		}
		yield(list.Names(ctx))
	}
}

// dropIdle forgets a session that nobody uses.
func (p *Pool) dropIdle(m *Manager) {
	p.mu.Lock()
	if p.sessions[m.session] == m && p.opening[m.session] == nil {
		delete(p.sessions, m.session)
	}
	p.mu.Unlock()
	m.halt()
}

// Drop stops a session and forgets it, here only: the Store keeps it. Its manager
// cannot be started again. Drop waits as [Manager.Close] does, for as long as ctx
// allows. It returns nil for a session that is not open.
func (p *Pool) Drop(ctx context.Context, name string) error {
	p.mu.Lock()
	m := p.sessions[name]
	delete(p.sessions, name)
	p.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.Close(ctx)
}

// Statuses returns how every open session fares, in no particular order.
func (p *Pool) Statuses() iter.Seq[*RefreshStatus] {
	return func(yield func(*RefreshStatus) bool) {
		for _, m := range p.open() {
			if !yield(m.GetRefreshStatus()) {
				return
			}
		}
	}
}

// open returns the open sessions, in no particular order.
func (p *Pool) open() []*Manager {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.sessions))
}

// String describes the pool without tokens.
func (p *Pool) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("refresh.Pool{sessions:%d running:%t}", len(p.sessions), p.run != nil && p.run.ctx.Err() == nil)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (p *Pool) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, p.String()) }

// session returns the named session's manager, after starting it if need be: once,
// however many ask.
func (p *Pool) session(ctx context.Context, name string, tokens *oauth.TokenPair) (*Manager, error) {
	for {
		p.mu.Lock()
		m, busy, r := p.sessions[name], p.opening[name], p.run
		if r == nil || r.ctx.Err() != nil {
			p.mu.Unlock()
			return nil, fmt.Errorf("refresh: session %q: the pool: %w", name, ErrStopped)
		}
		if busy == nil && m != nil {
			p.mu.Unlock() // a manager that starts asks for it while its own is locked
			if m.IsRunning() {
				return m, m.offer(ctx, tokens)
			}
			p.mu.Lock()
			m, busy = p.sessions[name], p.opening[name]
		}
		if busy == nil {
			p.opening[name] = make(chan struct{})
			p.mu.Unlock()
			return p.begin(ctx, r, m, name, tokens)
		}
		p.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("refresh: opening session %q: %w", name, context.Cause(ctx))
		}
	}
}

// begin starts a manager, m if there is one, for the session that it is the only
// one to open.
func (p *Pool) begin(ctx context.Context, r *poolRun, m *Manager, name string, tokens *oauth.TokenPair) (*Manager, error) {
	if m == nil {
		m = newManager(p.setupOf(name), name, p)
	}
	p.mu.Lock()
	p.sessions[name] = m // before it runs, or a pool that stops would miss it
	p.mu.Unlock()
	err := m.start(ctx, r.ctx, tokens)
	if errors.Is(err, ErrRunning) {
		err = nil // somebody who had kept the manager has started it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.opening[name])
	delete(p.opening, name)
	if err != nil {
		delete(p.sessions, name)
		return nil, err
	}
	return m, nil
}

// setupOf returns the configuration of a session.
func (p *Pool) setupOf(name string) *setup {
	if p.configure == nil {
		return p.cfg
	}
	cfg := p.cfg.Config
	p.configure(name, &cfg)
	cfg.Clock, cfg.CheckInterval = p.cfg.Clock, p.cfg.CheckInterval
	own := newSetup(cfg)
	own.server = p.serverOf(own)
	if own.Store == p.cfg.Store {
		own.watching = p.cfg.watching
	}
	return own
}

// Stop ends the pool and all of its sessions, as [Manager.Stop] does for one. It
// does nothing if the pool is not running.
func (p *Pool) Stop() { _ = p.close(context.Background(), false) }

// Close is Stop with a limit, as [Manager.Close] is for one session.
func (p *Pool) Close(ctx context.Context) error { return p.close(ctx, true) }
