package refresh_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// inParallel is the largest number of requests under way at a time.
type inParallel struct {
	mu        sync.Mutex
	now, most int
	takes     time.Duration
}

func (p *inParallel) wrap(next refresh.Refresher) refresh.Refresher {
	return refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		p.mu.Lock()
		p.now++
		p.most = max(p.most, p.now)
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			p.now--
			p.mu.Unlock()
		}()
		time.Sleep(p.takes)
		return next.Refresh(ctx, t)
	})
}

func (p *inParallel) use(cfg *refresh.PoolConfig) { cfg.OAuthClient = p.wrap(cfg.OAuthClient) }

// Callers with dead tokens are a crowd, too.
func TestF54_CallersOfManyDeadSessionsShareTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions, workers = 200, 5
		requests := &inParallel{takes: 500 * time.Millisecond}
		c := newPooled(t, oauthtest.Config{}, requests.use, func(cfg *refresh.PoolConfig) {
			cfg.Workers, cfg.Store = workers, nil
		})
		for range 2 {
			var callers sync.WaitGroup
			for range sessions {
				pair, err := c.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				m, err := c.Add(t.Context(), pair.RefreshToken, &oauth.TokenPair{RefreshToken: pair.RefreshToken})
				if err != nil {
					t.Fatal(err)
				}
				callers.Go(func() {
					if _, err := m.TokenContext(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
		}
		if requests.most != workers {
			t.Errorf("%d requests at a time; want %d", requests.most, workers)
		}
		c.clean(t)
	})
}

func TestPoolThatStopsDoesNotWaitForItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := &inParallel{takes: 10 * time.Second}
		c := newPooled(t, oauthtest.Config{}, requests.use, func(cfg *refresh.PoolConfig) { cfg.Workers = 1 })
		for i := range 20 {
			c.login(t, fmt.Sprint("user", i))
			go c.session(t, fmt.Sprint("user", i)).ForceRefresh(t.Context())
		}
		time.Sleep(time.Second)
		start := time.Now()
		c.Stop()
		if took := time.Since(start); took != 9*time.Second || c.server.Refreshes() != 1 {
			t.Errorf("Stop took %v and let %d refreshes through; want 9 s for the one under way", took, c.server.Refreshes())
		}
		c.clean(t)
	})
}

// goroutines returns how many goroutines the caller's bubble has. The tests beside it have
// some, too.
func goroutines() int {
	buf := make([]byte, 16<<20)
	head, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), "\n")
	_, bubble, _ := strings.Cut(head, ", synctest bubble ")
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), ", synctest bubble "+bubble)
}

func TestF54_TenThousandSessionsExpireInTheSameSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions, workers = 10_000, 16
		requests := &inParallel{takes: 200 * time.Millisecond}
		issue := func() *oauth.TokenPair { // a server that signs would take most of the test's time
			return &oauth.TokenPair{
				AccessToken: rand.Text(), RefreshToken: rand.Text(),
				IssuedAt: time.Now(), ExpiresAt: time.Now().Add(15 * minute),
			}
		}
		var mu sync.Mutex
		spent := make(map[string]bool, sessions)
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) {
			cfg.OAuthClient = requests.wrap(refresh.RefresherFunc(func(_ context.Context, old *oauth.TokenPair) (*oauth.TokenPair, error) {
				mu.Lock()
				defer mu.Unlock()
				if spent[old.RefreshToken] {
					t.Error("a refresh token is spent twice")
				}
				spent[old.RefreshToken] = true
				return issue(), nil
			}))
			cfg.Workers, cfg.OnEvent, cfg.Store, cfg.CheckInterval = workers, nil, nil, 5*minute
		})
		managers := make([]*refresh.Manager, sessions)
		for i := range managers {
			var err error
			if managers[i], err = c.Add(t.Context(), fmt.Sprint(i), issue()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := goroutines(); n > 50 {
			t.Errorf("%d goroutines for sessions at rest", n)
		}
		due := managers[0].GetExpiresAt().Add(-5 * minute)
		time.Sleep(time.Until(due.Add(minute)))
		if n := goroutines(); n > workers+50 {
			t.Errorf("%d goroutines for %d workers", n, workers)
		}
		time.Sleep(time.Until(due.Add(4 * minute)))
		synctest.Wait()
		late := 0
		for _, m := range managers {
			if m.GetLastRefreshAt().IsZero() {
				late++
			}
		}
		if late > 0 || requests.most > workers {
			t.Errorf("%d of %d sessions not renewed a minute before they expire, %d requests at a time; want none, and %d", late, sessions, requests.most, workers)
		}
		if n := len(spent); n != sessions {
			t.Errorf("%d refreshes of %d sessions", n, sessions)
		}
	})
}

// A laptop, or the host of a daemon, sleeps for eight hours: the wall clock jumps
// and no timer notices.
func TestF50_ACrowdIsRenewedAfterASleepWithoutAHerd(t *testing.T) {
	t.Parallel()
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		const sessions, workers = 500, 8
		requests := &inParallel{takes: 50 * time.Millisecond}
		c := newPooled(t, oauthtest.Config{Now: clk.wall}, func(cfg *refresh.PoolConfig) {
			drivenBy(clk)(&cfg.Config)
			requests.use(cfg)
			cfg.Workers, cfg.OnEvent, cfg.Store = workers, nil, nil
		})
		managers := make([]*refresh.Manager, sessions)
		for i := range managers {
			pair, err := c.server.Login("alice")
			if err != nil {
				t.Fatal(err)
			}
			if managers[i], err = c.Add(t.Context(), fmt.Sprint(i), pair); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(90 * time.Second)
		clk.move(8 * time.Hour)
		if pair, err := managers[0].TokenContext(t.Context()); err != nil || !pair.ExpiresAt.After(clk.Now()) {
			t.Errorf("the first request after waking up has %v, %v", pair, err)
		}
		time.Sleep(minute + minute/2 + sessions/workers*requests.takes + 5*time.Second)
		for _, m := range managers {
			if m.GetRefreshStatus().TimeUntilExpiry <= 0 {
				t.Fatal("a session still has a dead token, more than a check interval and a half after waking up")
			}
		}
		if requests.most > workers {
			t.Errorf("%d requests at a time; want at most %d", requests.most, workers)
		}
		if n := c.server.Refreshes(); n != sessions {
			t.Errorf("%d refreshes of %d sessions", n, sessions)
		}
		c.clean(t)
	})
}
