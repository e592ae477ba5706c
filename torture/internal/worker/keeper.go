package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Keeper is a program that keeps its session with this module.
type Keeper struct {
	Store *tokenstore.File // set by Open

	cfg     Config
	worker  *Worker
	manager atomic.Pointer[refresh.Manager] // a signal may come at any time
	pool    atomic.Pointer[refresh.Pool]    // instead, if there are several sessions
}

// NewKeeper returns the program of a worker.
func NewKeeper(w *Worker, cfg Config) *Keeper { return &Keeper{cfg: cfg, worker: w} }

// Dir is where the session is saved.
func (k *Keeper) Dir() string { return k.cfg.Dir }

// Open implements Role.
func (k *Keeper) Open(ctx context.Context) error {
	var err error
	if k.Store, err = tokenstore.NewFile(k.cfg.Dir); err != nil {
		return err
	}
	if len(k.cfg.Sessions) > 0 {
		return k.startPool(ctx)
	}
	return k.Start(ctx, k.Config())
}

// Start starts the manager. What it hears of must not end with one command.
func (k *Keeper) Start(ctx context.Context, cfg refresh.Config) error {
	m := refresh.NewManager(cfg)
	k.manager.Store(m)
	return m.Start(context.WithoutCancel(ctx), nil)
}

func (k *Keeper) startPool(ctx context.Context) error {
	p := refresh.NewPool(refresh.PoolConfig{Config: k.Config()})
	k.pool.Store(p)
	if err := p.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	_, err := p.Restore(ctx)
	return err
}

// Config returns the configuration of the manager, once there is a Store.
func (k *Keeper) Config() refresh.Config {
	return refresh.Config{
		OAuthClient:    oauth.NewClient(k.OAuthConfig()),
		Store:          k.Store,
		CheckInterval:  k.cfg.CheckInterval,
		MaxWait:        k.cfg.MaxWait,
		RefreshTimeout: k.cfg.RefreshTimeout,
		Clock:          k.worker.clock,
		OnEvent: func(e refresh.Event) {
			if e.Kind != refresh.EventChecked {
				k.worker.tell(string(e.Kind))
			}
		},
	}
}

// OAuthConfig returns the configuration of the client.
func (k *Keeper) OAuthConfig() oauth.Config {
	return oauth.Config{ClientID: oauthtest.DefaultClientID, TokenURL: k.cfg.TokenURL, Now: k.worker.clock.Now}
}

// Call implements Role.
func (k *Keeper) Call(ctx context.Context, session string) error {
	m := k.manager.Load()
	if p := k.pool.Load(); p != nil {
		var err error
		if m, err = p.Session(ctx, session); err != nil {
			return err
		}
	}
	return fetch(ctx, m.Client(), k.cfg.API)
}

// Close ends the sessions in good order.
func (k *Keeper) Close(ctx context.Context) error {
	if p := k.pool.Load(); p != nil {
		return p.Close(ctx)
	}
	if m := k.manager.Load(); m != nil {
		return m.Close(ctx)
	}
	return nil
}

// A movedClock is real time, off by as much as it is told. It stands in for a
// machine's clock that is set by hand: no process may do that to the real one.
// Its times have no monotonic reading, as that cannot be kept apart.
type movedClock struct {
	clock.Clock
	offset atomic.Int64
}

func newMovedClock() *movedClock { return &movedClock{Clock: clock.New()} }

func (c *movedClock) set(offset time.Duration) { c.offset.Store(int64(offset)) }

// Now returns the real time as long as the clock was not moved.
func (c *movedClock) Now() time.Time {
	now := c.Clock.Now()
	if offset := time.Duration(c.offset.Load()); offset != 0 {
		now = now.Round(0).Add(offset)
	}
	return now
}

func (c *movedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *movedClock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }
