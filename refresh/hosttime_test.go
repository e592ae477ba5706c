package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/internal/wrongclock"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A timedStore is a store with a clock that is right, or that does not answer.
type timedStore struct {
	*tokenstore.Memory
	times  atomic.Int64 // how often it was asked
	broken atomic.Pointer[error]
}

func newTimedStore() *timedStore { return &timedStore{Memory: new(tokenstore.Memory)} }

func (s *timedStore) Time(context.Context) (time.Time, error) {
	s.times.Add(1)
	if err := s.broken.Load(); err != nil {
		return time.Time{}, *err
	}
	return time.Now().UTC(), nil
}

func (s *timedStore) use(cfg *refresh.Config) { cfg.Store = s }

// ages notes how old pairs are when they are renewed, by the true time.
type ages struct {
	mu     sync.Mutex
	issued map[string]time.Time
	all    []time.Duration
}

func (a *ages) note(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued[token] = time.Now()
}

func (a *ages) wrap(r refresh.Refresher) refresh.Refresher {
	return refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		a.mu.Lock()
		a.all = append(a.all, time.Since(a.issued[t.RefreshToken]))
		a.mu.Unlock()
		next, err := r.Refresh(ctx, t)
		if err == nil {
			a.note(next.RefreshToken)
		}
		return next, err
	})
}

// Expiry is a time by the clock of the host that wrote it. Without a clock that they
// share, a host that is ahead takes what another one has just saved for expired and
// renews it at once; and one that is behind hands out tokens that have ended.
func TestHostsWhoseClocksDisagreeRenewInTimeAndNotBefore(t *testing.T) {
	for _, life := range []time.Duration{30 * time.Second, 5 * minute, time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, ages := newTimedStore(), &ages{issued: make(map[string]time.Time)}
				var hosts []*pooled
				for _, off := range []time.Duration{0, -5 * minute, 5 * minute, 5*minute + 900*time.Millisecond} {
					hosts = append(hosts, newPooled(t, oauthtest.Config{AccessTokenLifetime: life}, func(cfg *refresh.PoolConfig) {
						cfg.Store = store
						drivenBy(wrongclock.By(off))(&cfg.Config)
						if hosts != nil {
							cfg.OAuthClient = clientOf(hosts[0].server, wrongclock.By(off))
						}
						cfg.OAuthClient = ages.wrap(cfg.OAuthClient)
					}))
				}
				server := hosts[0].server
				hosts[0].store = store
				for i := range 5 {
					ages.note(hosts[0].login(t, fmt.Sprint("user", i)).RefreshToken)
				}
				const lives = 12
				for step := range lives * 7 {
					time.Sleep(life / 7)
					for i := range 5 {
						host := hosts[(step+i)%len(hosts)]
						m := host.session(t, fmt.Sprint("user", i))
						if status := statusOf(t, m, server); status != http.StatusOK {
							t.Errorf("a call was answered %d", status)
						}
					}
				}
				for _, age := range ages.all {
					if age < life/2 {
						t.Errorf("a pair was renewed after %v; its token lives %v", age, life)
					}
				}
				if n := len(ages.all); n < 5*lives || n > 5*2*lives {
					t.Errorf("%d renewals; want one for each expiry of 5 sessions in %d lives, and at most two", n, lives)
				}
				if n := server.Rejected(); n != 0 {
					t.Errorf("the resource refused %d requests: a token was handed out that had ended", n)
				}
				hosts[0].clean(t)
			})
		})
	}
}

// clientOf returns a client of the server on a host with that clock.
func clientOf(server *oauthtest.Server, clk clock.Clock) *oauth.Client {
	cfg := server.OAuthConfig()
	cfg.Now = clk.Now
	return oauth.NewClient(cfg)
}

// statusOf calls the server's API with the session's token.
func statusOf(t *testing.T, m *refresh.Manager, server *oauthtest.Server) int {
	t.Helper()
	client := &http.Client{Transport: m.Transport(server.Client().Transport)}
	resp, err := client.Get(server.Resource())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// hostAt returns a manager of the same session on one more host, whose clock is off.
func (f *fixture) hostAt(t *testing.T, off time.Duration) *refresh.Manager {
	t.Helper()
	cfg := refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store}
	drivenBy(wrongclock.By(off))(&cfg)
	through(dated)(&cfg)
	m := refresh.NewManager(cfg)
	if err := m.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

// newBehind returns a fixture whose host is behind by five minutes.
func newBehind(t *testing.T, store *timedStore) *fixture {
	t.Helper()
	f := newFixture(t, oauthtest.Config{}, store.use, drivenBy(wrongclock.By(-5*minute)), through(dated))
	f.first.IssuedAt, f.first.ExpiresAt = f.first.IssuedAt.Add(-5*minute), f.first.ExpiresAt.Add(-5*minute)
	return f.start(t)
}

func TestRecordsHaveTheStoresTimeAndProgramsSeeTheHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTimedStore()
		f := newBehind(t, store)
		for range 2 { // as it was handed in, and as it was renewed
			ahead := f.hostAt(t, 5*minute)
			ends := time.Now().Add(oauthtest.DefaultAccessTokenLifetime)
			if got := f.saved(t).ExpiresAt; !got.Equal(ends) {
				t.Errorf("the record says that the token ends at %v; want %v", got, ends)
			}
			if got := f.GetExpiresAt(); !got.Equal(ends.Add(-5 * minute)) {
				t.Errorf("the host that is behind says %v; want %v", got, ends.Add(-5*minute))
			}
			if got := ahead.GetExpiresAt(); !got.Equal(ends.Add(5 * minute)) {
				t.Errorf("the host that is ahead says %v; want %v", got, ends.Add(5*minute))
			}
			if left := ahead.GetRefreshStatus().TimeUntilExpiry; left != oauthtest.DefaultAccessTokenLifetime {
				t.Errorf("the token lives for %v, says the host that is ahead", left)
			}
			ahead.Stop()
			time.Sleep(time.Second)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// What the one has learnt about its clock from the server, the other translates.
		if here, there := f.GetRefreshStatus().ClockSkew, f.hostAt(t, 5*minute).GetRefreshStatus().ClockSkew; here != -5*minute || there != 5*minute {
			t.Errorf("clocks are ahead of the server's by %v and %v; want -5m and 5m", here, there)
		}
		f.clean(t)
	})
}

func TestF38_RetryAfterHoldsOnHostsWhoseClocksDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBehind(t, newTimedStore())
		f.server.Script(oauthtest.Fault{RetryAfter: 20 * minute})
		time.Sleep(11 * minute) // it was due after ten
		ahead := f.hostAt(t, 5*minute)
		f.Stop()
		time.Sleep(18 * minute)
		if n := f.tokenRequests(); n != 1 {
			t.Errorf("%d token requests before the server wants any; want the one that it answered so", n)
		}
		time.Sleep(3 * minute)
		if _, err := ahead.TokenContext(t.Context()); err != nil || f.server.Refreshes() != 1 {
			t.Errorf("when the time had come: %d refreshes, %v", f.server.Refreshes(), err)
		}
		f.clean(t)
	})
}

func TestAClockThatIsSetIsComparedAnewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, clk := newTimedStore(), newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, store.use, drivenBy(clk)).start(t)
		for _, step := range []time.Duration{7 * minute, -12 * minute, 5 * minute} {
			clk.move(step)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := f.saved(t).ExpiresAt, time.Now().Add(oauthtest.DefaultAccessTokenLifetime); !got.Equal(want) {
				t.Errorf("after the clock was set by %v the record says that the token ends at %v; want %v", step, got, want)
			}
		}
		before := store.times.Load()
		time.Sleep(10 * minute)
		if n := store.times.Load() - before; n > 11 {
			t.Errorf("the store was asked for the time %d times in ten minutes", n)
		}
		f.clean(t)
	})
}

func TestAStoreThatDoesNotTellTheTimeIsUsedWithTheHosts(t *testing.T) {
	for _, why := range []error{errors.ErrUnsupported, errors.New("NOPERM")} {
		synctest.Test(t, func(t *testing.T) {
			store := newTimedStore()
			store.broken.Store(&why)
			f := newFixture(t, oauthtest.Config{}, store.use).start(t)
			time.Sleep(time.Hour)
			f.mustCall(t)
			f.served(t)
			f.clean(t)
		})
	}
}

// A host that does not know how far its clock is off must not write as if it did.
func TestTheTimeIsNotGuessedWhileTheStoreIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTimedStore()
		away := fmt.Errorf("no route: %w", tokenstore.ErrUnavailable)
		store.broken.Store(&away)
		f := newFixture(t, oauthtest.Config{}, store.use, drivenBy(wrongclock.By(-5*minute)))
		f.first.IssuedAt, f.first.ExpiresAt = f.first.IssuedAt.Add(-5*minute), f.first.ExpiresAt.Add(-5*minute)
		f.start(t)
		if _, err := store.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("a record was written with times of an unknown clock: %v", err)
		}
		store.broken.Store(nil)
		time.Sleep(5 * minute)
		want := f.GetExpiresAt().Add(5 * minute)
		if got := f.saved(t).ExpiresAt; !got.Equal(want) {
			t.Errorf("saved later, the token ends at %v; want %v", got, want)
		}
		store.broken.Store(&away) // now it is known
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := f.saved(t).ExpiresAt, time.Now().Add(oauthtest.DefaultAccessTokenLifetime); !got.Equal(want) {
			t.Errorf("the record says that the token ends at %v; want %v", got, want)
		}
		f.clean(t)
	})
}
