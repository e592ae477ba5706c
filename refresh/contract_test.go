package refresh_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// What programs rely on that use Manager under its names from elsewhere.

func TestOnRefreshFailHearsOfARefusalAtTheFirstRefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		edit  func(t *testing.T, f *fixture)
		want  error
		state refresh.State
	}{
		"certain": {func(_ *testing.T, f *fixture) { f.server.RevokeAll("alice") }, oauth.ErrLoginRequired, refresh.StateLoginRequired},
		"suspected": {func(_ *testing.T, f *fixture) {
			f.server.Script(oauthtest.Fault{Status: 400, Body: `{}`, Times: -1})
		}, refresh.ErrSuspected, refresh.StateSuspected},
		"of the client": {func(_ *testing.T, f *fixture) {
			f.server.Script(oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`, Times: -1})
		}, oauth.ErrMisconfigured, refresh.StateMisconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				var logins atomic.Int32
				// A program that knows no events.
				f := newFixture(t, oauthtest.Config{}, told.use, func(cfg *refresh.Config) {
					cfg.OnEvent = nil
					tell := cfg.OnRefreshFail
					cfg.OnRefreshFail = func(err error) bool { tell(err); return true }
					cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
						logins.Add(1)
						return nil, errors.New("the person has left")
					}
				})
				tt.edit(t, f)
				f.start(t)
				time.Sleep(6 * time.Hour)
				heard := told.heard()
				if len(heard) != 1 || !errors.Is(heard[0], tt.want) {
					t.Errorf("OnRefreshFail heard %v; want one error that is %q", heard, tt.want)
				}
				if tt.want == oauth.ErrMisconfigured && len(heard) > 0 && errors.Is(heard[0], oauth.ErrLoginRequired) {
					t.Errorf("%v asks for a login, which does not help a client", heard[0])
				}
				if asked := logins.Load() > 0; asked == (tt.want == oauth.ErrMisconfigured) {
					t.Errorf("a login was begun: %v", asked)
				}
				f.inState(t, tt.state)
			})
		})
	}
}

// callback is the store of a program that has a TokenStoreFunc and no Store.
func callback(saved *[]*oauth.TokenPair) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		cfg.Store = nil
		cfg.TokenStore = func(_ context.Context, pair *oauth.TokenPair) error {
			*saved = append(*saved, pair)
			return nil
		}
	}
}

func TestForceRefreshOfAStoppedManagerRenewsTheTokensThatItHolds(t *testing.T) {
	for name, tt := range map[string]struct {
		hold func(t *testing.T, f *fixture)
	}{
		"before Start": {func(t *testing.T, f *fixture) {
			if err := f.UpdateTokens(f.first); err != nil {
				t.Fatal(err)
			}
		}},
		"after Stop": {func(t *testing.T, f *fixture) { f.start(t).Stop() }},
		"after Stop, with a dead token": {func(t *testing.T, f *fixture) {
			f.start(t).Stop()
			f.untilExpired()
		}},
		"after the end of the context": {func(t *testing.T, f *fixture) {
			ctx, cancel := context.WithCancel(t.Context())
			if err := f.Start(ctx, f.first); err != nil {
				t.Fatal(err)
			}
			cancel()
		}},
	} {
		for _, store := range []string{"a Store", "a TokenStoreFunc"} {
			t.Run(name+", "+store, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var saved []*oauth.TokenPair
					edits := []func(*refresh.Config){callback(&saved)}
					if store == "a Store" {
						edits = nil
					}
					f := newFixture(t, oauthtest.Config{}, edits...)
					tt.hold(t, f)
					started := f.events.count(refresh.EventStarted) // each has its stop
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
					renewedAtRest(t, f, saved, started)
					time.Sleep(24 * time.Hour)
					if n := f.server.Requests(oauthtest.TokenEndpoint); n != 1 {
						t.Errorf("%d requests in a day of a stopped manager; want the one", n)
					}
					f.clean(t)
				})
			})
		}
	}
}

// renewedAtRest fails the test unless f holds and has saved a new pair, by its TokenStoreFunc
// if there is any in saved, and is as stopped as before.
func renewedAtRest(t *testing.T, f *fixture, saved []*oauth.TokenPair, started int) {
	t.Helper()
	now := f.GetTokens()
	if now == nil || now.AccessToken == f.first.AccessToken || now.RefreshToken == f.first.RefreshToken {
		t.Fatalf("the pair is %v; want a new one", now)
	}
	if saved == nil {
		saved = []*oauth.TokenPair{f.saved(t)}
	}
	if saved[len(saved)-1].AccessToken != now.AccessToken {
		t.Error("the new pair is not saved")
	}
	f.serve(t, now)
	if f.IsRunning() || f.GetRefreshStatus().IsRunning {
		t.Error("it runs, without a Start")
	}
	if n := f.events.count(refresh.EventStarted); n != started || f.events.count(refresh.EventStopped) != started {
		t.Error("a refresh of a stopped manager is told as a start or a stop")
	}
}

func TestForceRefreshWithoutTokensIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		is(t, f.ForceRefresh(t.Context()), refresh.ErrStopped)
		f.start(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Stop()
		is(t, f.ForceRefresh(t.Context()), refresh.ErrStopped)
		f.clean(t)
	})
}

// A Start in the middle of it is not an ErrRunning for a manager that was not started.
func TestStartDuringTheForcedRefreshOfAStoppedManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		if err := f.UpdateTokens(f.first); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		forced := make(chan error, 2)
		for range 2 {
			go func() { forced <- f.ForceRefresh(t.Context()) }()
		}
		time.Sleep(time.Second)
		if f.IsRunning() {
			t.Error("it runs")
		}
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-forced; err != nil {
				t.Error(err)
			}
		}
		if !f.IsRunning() {
			t.Error("it does not run after Start")
		}
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes for two callers at once; want them to share one", n)
		}
		is(t, f.Start(t.Context(), nil), refresh.ErrRunning)
		time.Sleep(12 * time.Hour)
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}

// Law 3: the caller's context ends the wait, and not the refresh.
func TestLaw3_ForcedRefreshOfAStoppedManagerOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		if err := f.UpdateTokens(f.first); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Delay: 10 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, f.ForceRefresh(ctx), context.DeadlineExceeded)
		f.Stop() // waits for it
		if f.saved(t).AccessToken == f.first.AccessToken {
			t.Error("the refresh was not followed through")
		}
		f.clean(t)
	})
}

func TestNilTokensAreNamedInErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saved []*oauth.TokenPair
		for name, f := range map[string]*fixture{
			"no Store": newFixture(t, oauthtest.Config{}, callback(&saved)), "an empty Store": newFixture(t, oauthtest.Config{}),
		} {
			start, update, force := f.Start(t.Context(), nil), f.UpdateTokens(nil), f.ForceRefresh(t.Context())
			is(t, start, oauth.ErrLoginRequired)
			is(t, force, refresh.ErrStopped)
			for doing, err := range map[string]error{"Start": start, "UpdateTokens": update, "ForceRefresh": force} {
				if err == nil || !strings.Contains(err.Error(), "tokens are nil") {
					t.Errorf("%s, %s: %v; want it to say that tokens are nil", name, doing, err)
				}
			}
		}
	})
}

// A clientAround is a program's client that does something besides.
type clientAround struct{ *oauth.Client }

// A clientList is a client of another kind than a pointer.
type clientList []string

func (clientList) Refresh(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
	panic("asked although it is nil")
}

func TestATypedNilIsMisconfiguredAndNoPanic(t *testing.T) {
	var (
		client  *oauth.Client
		dialled *dialect.Client
		f       refresh.RefresherFunc
		file    *tokenstore.File
		mock    *clock.Mock
		pair    = &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}
	)
	for name, cfg := range map[string]refresh.Config{
		"oauth.Client": {OAuthClient: client}, "dialect.Client": {OAuthClient: dialled}, "a function": {OAuthClient: f}, "none": {},
		"a list": {OAuthClient: clientList(nil)}, "within a struct": {OAuthClient: clientAround{}}, "within a struct by pointer": {OAuthClient: new(clientAround)},
		"within a dialect's struct": {OAuthClient: struct{ *dialect.Client }{}},
		"a Store":                   {OAuthClient: oauth.NewClient(oauth.Config{}), Store: file},
		"a Clock":                   {OAuthClient: oauth.NewClient(oauth.Config{}), Clock: mock},
	} {
		t.Run(name, func(t *testing.T) {
			m := refresh.NewManager(cfg)
			is(t, m.Start(t.Context(), pair), oauth.ErrMisconfigured)
			if err := m.UpdateTokens(pair); err == nil {
				is(t, m.ForceRefresh(t.Context()), oauth.ErrMisconfigured)
			}
			is(t, m.StartOrLogin(t.Context(), func(context.Context) (*oauth.TokenPair, error) { return pair, nil }), oauth.ErrMisconfigured)
			m.Stop()
			pool := refresh.NewPool(refresh.PoolConfig{Config: cfg})
			if err := pool.Start(t.Context()); err == nil {
				if _, err := pool.Add(t.Context(), "alice", pair); !errors.Is(err, oauth.ErrMisconfigured) {
					t.Errorf("in a pool: %v; want ErrMisconfigured", err)
				}
			}
			_ = pool.Close(t.Context())
		})
	}
}
