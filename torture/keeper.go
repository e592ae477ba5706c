package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A keeper is a program that keeps its session with this module.
type keeper struct {
	cfg   workerConfig
	clock *movedClock
	tell  func(event string)

	store   *tokenstore.File
	manager atomic.Pointer[refresh.Manager] // a signal may come at any time
	api     *http.Client
}

func (k *keeper) open(ctx context.Context) error {
	var err error
	if k.store, err = tokenstore.NewFile(k.cfg.Dir); err != nil {
		return err
	}
	return k.start(ctx, k.config())
}

// start starts the manager. What it hears of must not end with one command.
func (k *keeper) start(ctx context.Context, cfg refresh.Config) error {
	m := refresh.NewManager(cfg)
	k.manager.Store(m)
	k.api = m.Client()
	return m.Start(context.WithoutCancel(ctx), nil)
}

func (k *keeper) config() refresh.Config {
	return refresh.Config{
		OAuthClient:   oauth.NewClient(k.oauthConfig()),
		Store:         k.store,
		CheckInterval: k.cfg.CheckInterval,
		MaxWait:       k.cfg.MaxWait,
		Clock:         k.clock,
		OnEvent: func(e refresh.Event) {
			if e.Kind != refresh.EventChecked {
				k.tell(string(e.Kind))
			}
		},
	}
}

func (k *keeper) oauthConfig() oauth.Config {
	return oauth.Config{ClientID: oauthtest.DefaultClientID, TokenURL: k.cfg.TokenURL, Now: k.clock.Now}
}

func (k *keeper) call(ctx context.Context) error { return fetch(ctx, k.api, k.cfg.API) }

func (k *keeper) close(ctx context.Context) error {
	if m := k.manager.Load(); m != nil {
		return m.Close(ctx)
	}
	return nil
}

// A movedClock is real time, off by as much as it is told. It stands in for a
// machine's clock that somebody sets: no process may do that to the real one.
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
