package refresh_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// What was planned by a clock that was set back lies far in the future. Looking at
// the Store must not wait for that.
func TestClockSetBackDoesNotPutOffTheNextCheck(t *testing.T) {
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk)).start(t)
		time.Sleep(90 * time.Second)
		clk.move(-time.Hour)
		pair := f.renewElsewhere(t)
		time.Sleep(refresh.DefaultCheckInterval)
		if got := f.GetTokens(); got.AccessToken != pair.AccessToken {
			t.Error("a check interval later, it has not noticed what another process has saved")
		}
		f.clean(t)
	})
}

// lateStore hands out once what it had a while ago.
type lateStore struct {
	tokenstore.Store
	late atomic.Int64
}

func (s *lateStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	rec, err := s.Store.Get(ctx, name)
	time.Sleep(time.Duration(s.late.Swap(0)))
	return rec, err
}

func TestNewsDuringACheckMakesItLookOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lateStore{Store: new(tokenstore.Memory)}
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = store }).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusForbidden)
		time.Sleep(30 * time.Second)
		store.late.Store(int64(5 * time.Second))
		time.Sleep(31 * time.Second) // into the next check, which has read by now
		f.store = store.Store
		pair := f.renewElsewhere(t)
		// The answer 403 makes the manager look: somebody else may know more.
		get(t, client, "https://api.test/")
		time.Sleep(10 * time.Second)
		if got := f.GetTokens(); got.AccessToken != pair.AccessToken {
			t.Error("it missed what changed while it was looking")
		}
		f.clean(t)
	})
}

func TestFailureThatACallerMetIsRetriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		time.Sleep(10 * time.Second)
		f.server.Script(oauthtest.Fault{Status: 503})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		time.Sleep(2 * time.Second)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes two seconds after a failure; want 1", n)
		}
		f.clean(t)
	})
}

// What a caller finds in the Store is renewed in time, though the next check is later.
func TestAPairThatACallerFindsIsRenewedInTime(t *testing.T) {
	for name, finds := range map[string]func(t *testing.T, f *fixture, client *http.Client){
		"StartOrLogin":     func(t *testing.T, f *fixture, _ *http.Client) { _ = f.StartOrLogin(t.Context(), nil) },
		"a refused access": func(t *testing.T, _ *fixture, client *http.Client) { get(t, client, "https://api.test/") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.CheckInterval = 5 * time.Minute }).start(t)
				client, w := f.wired()
				w.hosts["api.test"] = answering(http.StatusForbidden)
				time.Sleep(time.Minute)
				pair, err := oauth.NewClient(f.server.OAuthConfig()).Refresh(t.Context(), f.saved(t))
				if err != nil {
					t.Fatal(err)
				}
				pair.RefreshAt = time.Now().Add(time.Minute)
				if err := tokenstore.Func(f.store, "default")(t.Context(), pair); err != nil {
					t.Fatal(err)
				}
				finds(t, f, client)
				if got := f.GetTokens(); got.AccessToken != pair.AccessToken {
					t.Fatal("it was not found")
				}
				time.Sleep(time.Until(f.GetRefreshStatus().RefreshAt) + 2*time.Second)
				if n := f.server.Refreshes(); n != 2 {
					t.Errorf("%d refreshes two seconds after one was due; want the other one's, and one", n)
				}
				f.clean(t)
			})
		})
	}
}

// Whoever changes the session just when a check is due makes up for it.
func TestCheckThatWasLeftOutIsMadeUpFor(t *testing.T) {
	for name, busy := range map[string]func(t *testing.T, f *fixture, store *lateStore){
		"StartOrLogin": func(t *testing.T, f *fixture, store *lateStore) {
			store.late.Store(int64(5 * time.Second))
			if err := f.StartOrLogin(t.Context(), nil); err != nil {
				t.Error(err)
			}
		},
		"Logout that fails": func(t *testing.T, f *fixture, _ *lateStore) {
			f.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Delay: 5 * time.Second, Status: 503})
			is(t, f.Logout(t.Context()), oauth.ErrTransient)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &lateStore{Store: new(tokenstore.Memory)}
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = store }).start(t)
				synctest.Wait()
				time.Sleep(time.Until(f.GetRefreshStatus().RefreshAt) - 2*time.Second)
				busy(t, f, store)
				time.Sleep(2 * time.Second)
				if n := f.server.Refreshes(); n != 1 {
					t.Errorf("%d refreshes soon after one was due; want 1", n)
				}
				f.clean(t)
			})
		})
	}
}
