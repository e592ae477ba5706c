package refresh_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A pooled is a pool over a real authorization server in process.
type pooled struct {
	*refresh.Pool
	server *oauthtest.Server
	store  tokenstore.Store
	events *recorder
}

func newPooled(t *testing.T, server oauthtest.Config, edits ...func(*refresh.PoolConfig)) *pooled {
	t.Helper()
	server.Users = map[string]string{"alice": "", "bob": "", "locked": "", "panics": "", "again": ""}
	for i := range 20 {
		server.Users[fmt.Sprint("user", i)] = ""
	}
	c := &pooled{server: oauthtest.New(server), store: new(tokenstore.Memory), events: new(recorder)}
	cfg := refresh.PoolConfig{Config: refresh.Config{
		OAuthClient: oauth.NewClient(c.server.OAuthConfig()),
		Store:       c.store,
		OnEvent:     c.events.add,
	}}
	for _, edit := range edits {
		edit(&cfg)
	}
	c.Pool = refresh.NewPool(cfg)
	t.Cleanup(c.Stop)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// login logs the named user in and saves the session.
func (c *pooled) login(t *testing.T, name string) *oauth.TokenPair {
	t.Helper()
	pair, err := c.server.Login(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := tokenstore.Func(c.store, name)(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	return pair
}

func (c *pooled) session(t *testing.T, name string) *refresh.Manager {
	t.Helper()
	m, err := c.Session(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (c *pooled) clean(t *testing.T) {
	t.Helper()
	for _, mistake := range c.server.Audit() {
		t.Errorf("the server saw a mistake: %v", mistake)
	}
}

func TestPoolKeepsItsSessionsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		var managers []*refresh.Manager
		for i := range 4 {
			name := fmt.Sprint("user", i)
			c.login(t, name)
			managers = append(managers, c.session(t, name))
		}
		for range 8 * 4 {
			time.Sleep(15 * minute)
			for _, m := range managers {
				if _, err := m.TokenContext(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Every token is renewed seven and a half to ten minutes after it was issued.
		if n := c.server.Refreshes(); n < 4*43 || n > 4*64 {
			t.Errorf("%d refreshes of four sessions in eight hours; want 192 to 256", n)
		}
		c.clean(t)
	})
}

func TestPoolOpensASessionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.login(t, "alice")
		first := c.session(t, "alice")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if m := c.session(t, "alice"); m != first || !m.IsRunning() {
					t.Error("a second manager for one session, or a stopped one")
				}
			})
		}
		wg.Wait()
		if n := c.events.count(refresh.EventStarted); n != 1 {
			t.Errorf("started %d times; want once", n)
		}
	})
}

// unhurriedStore answers reads after a while.
type unhurriedStore struct {
	tokenstore.Store
	takes time.Duration
	reads atomic.Int32
}

func (s *unhurriedStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.reads.Add(1)
	if err := sleep.For(ctx, s.takes); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, name)
}

func TestPoolReadsASessionOnceForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &unhurriedStore{takes: 3 * time.Second}
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) {
			slow.Store = cfg.Store
			cfg.Store = slow
		})
		c.login(t, "alice")
		start := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { // opens it, and leaves
			_, err := c.Session(impatient, "alice")
			is(t, err, context.DeadlineExceeded)
		})
		synctest.Wait()
		wg.Go(func() { // waits for the other, and leaves as well
			_, err := c.Session(impatient, "alice")
			is(t, err, context.DeadlineExceeded)
		})
		for range 10 {
			wg.Go(func() {
				if _, err := c.Session(t.Context(), "alice"); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != 4*time.Second {
					t.Errorf("open after %v; want 4 s: one second in vain, and three", took)
				}
			})
		}
		wg.Wait()
		if n := slow.reads.Load(); n > 4 {
			t.Errorf("%d reads to open one session", n)
		}
	})
}

func TestPoolDoesNotKnowASessionNobodySaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		_, err := c.Session(t.Context(), "nobody")
		is(t, err, oauth.ErrLoginRequired)
		for range c.Statuses() {
			t.Error("it is among the open sessions")
		}
		_, err = c.Session(t.Context(), "")
		is(t, err, tokenstore.ErrInvalidName)
		_, err = c.Add(t.Context(), "nobody", nil)
		if err == nil {
			t.Error("added without tokens")
		}
	})
}

func TestPoolAddMakesALoginTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		first, err := c.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Add(t.Context(), "alice", first)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		renewed := m.GetTokens()

		// The same seed again changes nothing; another login does.
		if again, err := c.Add(t.Context(), "alice", first); err != nil || again != m {
			t.Errorf("the seed once more: %v, %v", again, err)
		}
		if got := m.GetTokens(); got.AccessToken != renewed.AccessToken {
			t.Error("a seed that was spent has replaced its successor")
		}
		time.Sleep(time.Second)
		second, err := c.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Add(t.Context(), "alice", second); err != nil {
			t.Fatal(err)
		}
		if got := m.GetTokens(); got.AccessToken != second.AccessToken {
			t.Error("a new login was not taken over")
		}
		rec, err := c.store.Get(t.Context(), "alice")
		if err != nil || rec.Tokens.AccessToken != second.AccessToken {
			t.Errorf("the store has %v, %v; want the new login", rec, err)
		}
		c.clean(t)
	})
}

func TestPoolRestoresEverySessionOfItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		for i := range 7 {
			c.login(t, fmt.Sprint("user", i))
		}
		c.session(t, "user3")
		n, err := c.Restore(t.Context())
		if n != 7 || err != nil {
			t.Errorf("restored %d, %v; want 7", n, err)
		}
		time.Sleep(time.Hour)
		seen := 0
		for st := range c.Statuses() {
			if seen++; !st.IsRunning || st.State != refresh.StateValid || st.TimeUntilExpiry <= 0 {
				t.Errorf("%s: %+v", st.Session, st)
			}
		}
		if seen != 7 {
			t.Errorf("%d open sessions; want 7", seen)
		}
		for range c.Statuses() {
			break // must be possible
		}
		c.Stop()
		_, err = c.Restore(t.Context())
		is(t, err, refresh.ErrStopped)
		c.clean(t)
	})
}

func TestPoolRestoreNeedsAStoreThatLists(t *testing.T) {
	c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) { cfg.Store = nil })
	_, err := c.Restore(t.Context())
	is(t, err, oauth.ErrMisconfigured)
}

func TestPoolConfigureGivesASessionItsOwnCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ended := map[string]int{}
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) {
			cfg.Configure = func(session string, cfg *refresh.Config) {
				cfg.Clock, cfg.CheckInterval = nil, time.Second // stay the pool's
				cfg.OnRefreshFail = func(error) bool {
					mu.Lock()
					defer mu.Unlock()
					ended[session]++
					return false
				}
			}
		})
		for _, name := range []string{"alice", "bob"} {
			c.login(t, name)
			c.session(t, name)
		}
		c.server.EndUser("bob")
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if ended["bob"] != 1 || ended["alice"] != 0 {
			t.Errorf("ended: %v; want bob, once", ended)
		}
		if n := c.events.count(refresh.EventChecked); n > 300 {
			t.Errorf("%d checks of two sessions in an hour: Configure has changed the interval", n)
		}
	})
}

// A valueStore is a Store that is no pointer, and cannot be compared with another one.
type valueStore struct {
	*timedStore
	_ []string
}

// Sessions that are configured one by one ask one Store what time it is there, once for all,
// and any Store may be given.
func TestPoolConfigureKeepsWhatIsKnownOfTheStore(t *testing.T) {
	for _, comparable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := newTimedStore()
			c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 5 * minute}, func(cfg *refresh.PoolConfig) {
				if cfg.Store = store; !comparable {
					cfg.Store = valueStore{timedStore: store}
				}
				cfg.Configure = func(string, *refresh.Config) {}
			})
			c.store = store
			for i := range 10 {
				name := fmt.Sprint("user", i)
				c.login(t, name)
				if _, err := c.Session(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			before := store.times.Load()
			time.Sleep(time.Hour)
			if n := store.times.Load() - before; comparable && n > 61 {
				t.Errorf("the Store was asked %d times in an hour what time it is; want once a minute", n)
			}
		})
	}
}

func TestLaw8_PoolPrintsNoTokens(t *testing.T) {
	c := newPooled(t, oauthtest.Config{})
	c.login(t, "alice")
	m := c.session(t, "alice")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		if got := fmt.Sprintf(verb, c.Pool); got != "refresh.Pool{sessions:1 running:true}" {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, struct{ P *refresh.Pool }{c.Pool}); strings.Contains(got, m.GetTokens().AccessToken) {
			t.Errorf("%s prints a token", verb)
		}
	}
}

// One session's server hangs, another's lock is held, a third one's callback
// panics: the others are served in time even by a single worker.
func TestPoolOneBadSessionDoesNotDisturbOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) {
			cfg.Workers = 1
			cfg.MaxWait = 20 * minute // for the lock
			cfg.OnEvent = func(e refresh.Event) {
				if e.Session == "panics" {
					panic("a callback of the program")
				}
			}
		})
		for _, name := range []string{"locked", "panics"} {
			c.login(t, name)
			c.session(t, name)
		}
		var others []*refresh.Manager
		for i := range 10 {
			name := fmt.Sprint("user", i)
			c.login(t, name)
			others = append(others, c.session(t, name))
		}
		lease, err := c.store.(tokenstore.Locker).Lock(t.Context(), "locked")
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(minute)
			for _, m := range others {
				if m.GetRefreshStatus().TimeUntilExpiry < 4*minute {
					t.Errorf("%v is renewed late", m)
				}
			}
		}
		_ = lease.Unlock()
		time.Sleep(2 * minute)
		for _, name := range []string{"locked", "panics"} {
			if _, err := c.session(t, name).TokenContext(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.clean(t)
	})
}
