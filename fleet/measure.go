package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// What is measured: this many sessions, in as many pools, at rest for a while.
const (
	measuredSessions = 1000
	measuredSiblings = 2 // pools that have the same sessions
	measuredCheck    = 2 * time.Second
	measuredLooks    = 10 // check intervals
)

// measure counts what an engine is asked for: for a session at rest, and for a
// renewal that siblings adopt; with and without hearing of changes.
func measure(ctx context.Context, stdout io.Writer) error {
	fmt.Fprintf(stdout, "fleet -measure: %d sessions, a look every %s\n\n", measuredSessions, measuredCheck)
	fmt.Fprintln(stdout, "| engine | pools hear of changes | what | commands | engine's CPU, µs |\n|---|---|---|---|---:|")
	if err := measureMemory(ctx, stdout); err != nil {
		return err
	}
	for _, k := range []kind{inRedis, inPostgres} {
		for _, hears := range []bool{false, true} {
			for _, siblings := range []int{0, measuredSiblings} {
				if err := measureOne(ctx, stdout, k, hears, siblings); err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
			}
		}
	}
	return nil
}

// measureMemory weighs sessions at rest in a pool, beside their tokens.
func measureMemory(ctx context.Context, stdout io.Writer) error {
	const sessions = 50_000
	p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(oauth.Config{})}})
	if err := p.Start(ctx); err != nil {
		return err
	}
	defer p.Stop()
	names, before := users(sessions), heap()
	pair := oauth.TokenPair{RefreshToken: strings.Repeat("r", 60), ExpiresAt: time.Now().Add(time.Hour), IssuedAt: time.Now()}
	for _, name := range names {
		pair.AccessToken = strings.Repeat("a", 700)
		if _, err := p.Add(ctx, name, &pair); err != nil {
			return err
		}
	}
	each := float64(heap()-before)/sessions - float64(len(pair.AccessToken)+len(pair.RefreshToken))
	runtime.KeepAlive(names)
	fmt.Fprintf(stdout, "| – | – | bytes of a session in a pool at rest, beside its tokens | %.0f | |\n", each)
	return nil
}

// heap is what lives in this process.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A deaf store does not hear of changes.
type deaf struct {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Lister
	tokenstore.Stamper
	tokenstore.Timekeeper
}

func measureOne(ctx context.Context, stdout io.Writer, k kind, hears bool, siblings int) error {
	dir, err := os.MkdirTemp("", "evertoken-fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sub := dir + "/engine"
	if err := os.Mkdir(sub, 0o700); err != nil {
		return err
	}
	e, err := startEngine(ctx, k, "127.0.0.1", sub)
	if err != nil {
		return err
	}
	defer e.kill()
	g := &gauge{engine: e, kind: k, hears: hears, pools: make([]*refresh.Pool, 1+siblings), names: users(measuredSessions), out: stdout}
	defer g.close()
	if err := g.open(ctx); err != nil {
		return err
	}
	if siblings == 0 {
		if err := g.rest(ctx); err != nil {
			return err
		}
	}
	return g.renew(ctx)
}

// A gauge is some pools of the same sessions on one engine, whose load it reads.
type gauge struct {
	engine *engine
	kind   kind
	hears  bool
	names  []string
	out    io.Writer
	pools  []*refresh.Pool
	closes []func() error
}

func (g *gauge) close() {
	for _, p := range g.pools {
		if p != nil {
			p.Stop()
		}
	}
	for _, c := range g.closes {
		_ = c() // nothing is left to lose
	}
}

func (g *gauge) open(ctx context.Context) error {
	known := make(map[string]string)
	for _, name := range g.names {
		known[name] = "secret"
	}
	a := newAuthority(oauthtest.Config{AccessTokenLifetime: time.Hour, Users: known})
	for i := range g.pools {
		s, closeStore, err := openStore(g.kind, g.engine.addr, time.Minute)
		if err != nil {
			return err
		}
		g.closes = append(g.closes, closeStore)
		if i == 0 {
			if err := g.fill(ctx, a, s); err != nil {
				return err
			}
		}
		if g.pools[i], err = g.openPool(ctx, a.OAuthConfig(), s); err != nil {
			return err
		}
	}
	return sleep.For(ctx, measuredLooks/2*measuredCheck) // until all have been looked at
}

func (g *gauge) hearing() string {
	if g.hears {
		return "yes"
	}
	return "no"
}

// fill saves the sessions, and tells what they take up in the engine.
func (g *gauge) fill(ctx context.Context, a *authority, s store) error {
	if m, ok := s.(interface{ Migrate(context.Context) error }); ok {
		if err := m.Migrate(ctx); err != nil {
			return err
		}
	}
	before, err := g.engine.load(ctx)
	if err != nil {
		return err
	}
	if err := a.fill(ctx, s, g.names, 0); err != nil {
		return err
	}
	after, err := g.engine.load(ctx)
	if err != nil {
		return err
	}
	if !g.hears && len(g.pools) == 1 {
		fmt.Fprintf(g.out, "| %s | – | bytes of a session in the engine | %.0f | |\n", g.kind, after.minus(before).bytes/float64(len(g.names)))
	}
	return nil
}

func (g *gauge) openPool(ctx context.Context, client oauth.Config, s store) (*refresh.Pool, error) {
	cfg := refresh.Config{OAuthClient: oauth.NewClient(client), Store: s, CheckInterval: measuredCheck}
	if !g.hears {
		cfg.Store = deaf{s, s, s, s, s}
	}
	p := refresh.NewPool(refresh.PoolConfig{Config: cfg})
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	_, err := p.Restore(ctx)
	return p, err
}

// rest reads the load of sessions that nothing happens to.
func (g *gauge) rest(ctx context.Context) error {
	return g.read(ctx, "a session at rest, in a check interval", measuredLooks*float64(len(g.names)), func() error {
		return sleep.For(ctx, measuredLooks*measuredCheck)
	})
}

// renew reads the load of renewals: alone, and until all pools have adopted them.
func (g *gauge) renew(ctx context.Context) error {
	what := "a renewal"
	if siblings := len(g.pools) - 1; siblings > 0 {
		what = fmt.Sprintf("a renewal, and its adoption by %d other pools", siblings)
	}
	return g.read(ctx, what, float64(len(g.names)), func() error {
		if err := g.renewAll(ctx); err != nil {
			return err
		}
		for _, p := range g.pools[1:] {
			for _, name := range g.names {
				if err := g.awaitAdoption(ctx, p, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// renewAll renews all sessions in the first pool, a few at a time.
func (g *gauge) renewAll(ctx context.Context) error {
	var mu sync.Mutex
	var failed error
	var running sync.WaitGroup
	queue := make(chan string)
	for range 8 {
		running.Go(func() {
			for name := range queue {
				m, err := g.pools[0].Session(ctx, name)
				if err == nil {
					err = m.ForceRefresh(ctx)
				}
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, name := range g.names {
		queue <- name
	}
	close(queue)
	running.Wait()
	return failed
}

func (g *gauge) awaitAdoption(ctx context.Context, p *refresh.Pool, name string) error {
	mine, err := g.pools[0].Session(ctx, name)
	if err != nil {
		return err
	}
	other, err := p.Session(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for other.GetTokens().AccessToken != mine.GetTokens().AccessToken {
		if err := sleep.For(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// read prints what the engine did while something happened, for each of n things.
func (g *gauge) read(ctx context.Context, what string, n float64, during func() error) error {
	before, err := g.engine.load(ctx)
	if err != nil {
		return err
	}
	if err := during(); err != nil {
		return err
	}
	after, err := g.engine.load(ctx)
	if err != nil {
		return err
	}
	did := after.minus(before)
	fmt.Fprintf(g.out, "| %s | %s | %s | %s | %.1f |\n", g.kind, g.hearing(), what, did.per(n), float64(did.cpu.Microseconds())/n)
	return nil
}
