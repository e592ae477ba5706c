package refresh_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// exits are where a program's code ends its goroutine, once, as t.FailNow does.
var exits = map[string]func(f *faultyStore, cfg *refresh.Config, exit func()){
	"Store.Get": func(s *faultyStore, _ *refresh.Config, exit func()) {
		s.onGet = func(context.Context) error { exit(); return nil }
	},
	"Store.Set": func(s *faultyStore, _ *refresh.Config, exit func()) {
		s.onSet = func(context.Context, *tokenstore.Record) error { exit(); return nil }
	},
	"Store.Lock": func(s *faultyStore, _ *refresh.Config, exit func()) {
		s.onLock = func(context.Context) error { exit(); return nil }
	},
	"a lock that takes its time": func(s *faultyStore, _ *refresh.Config, exit func()) {
		s.onLock = func(context.Context) error { time.Sleep(time.Second); exit(); return nil }
	},
	"Lease.Err": func(s *faultyStore, _ *refresh.Config, exit func()) {
		s.onLease = func() error { exit(); return nil }
	},
	"OAuthClient": func(_ *faultyStore, cfg *refresh.Config, exit func()) {
		next := cfg.OAuthClient
		cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
			exit()
			return next.Refresh(ctx, p)
		})
	},
	"TokenStore": func(_ *faultyStore, cfg *refresh.Config, exit func()) {
		cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { exit(); return nil }
	},
	"OnEvent: " + string(refresh.EventRefreshing): exitAt(refresh.EventRefreshing),
	"OnEvent: " + string(refresh.EventRefreshed):  exitAt(refresh.EventRefreshed),
	"OnEvent: " + string(refresh.EventChecked):    exitAt(refresh.EventChecked),
	"OnEvent: " + string(refresh.EventStopped):    exitAt(refresh.EventStopped),
}

func exitAt(kind refresh.EventKind) func(*faultyStore, *refresh.Config, func()) {
	return func(_ *faultyStore, cfg *refresh.Config, exit func()) {
		next := cfg.OnEvent
		cfg.OnEvent = func(e refresh.Event) {
			if next(e); e.Kind == kind {
				exit()
			}
		}
	}
}

// A callback that ends its goroutine has failed, and leaves nothing behind that others
// wait for: the turn, a flight, a worker, a lock, or the end of Stop.
func TestLaw10_ACallbackThatEndsItsGoroutine(t *testing.T) {
	for where, arm := range exits {
		for _, when := range []string{"in a look", "in a refresh that callers wait for", "of a stopped manager", "at the end"} {
			t.Run(where+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var armed atomic.Bool
					exit := func() {
						if armed.CompareAndSwap(true, false) {
							runtime.Goexit()
						}
					}
					s := newFaultyStore()
					f := newFixture(t, oauthtest.Config{}, s.use, func(cfg *refresh.Config) {
						s.edit(func(s *faultyStore) { arm(s, cfg, exit) })
					}).start(t)
					time.Sleep(time.Second)
					if when == "of a stopped manager" {
						f.Stop()
					}
					armed.Store(true)
					switch {
					case when == "at the end":
						ends(t, "Stop", minute, f.Stop)
					case when != "in a look":
						ends(t, "ForceRefresh", minute, func() { _ = f.ForceRefresh(context.Background()) })
					}
					time.Sleep(20 * minute)
					armed.Store(false)
					if !f.IsRunning() {
						if err := f.Start(t.Context(), nil); err != nil {
							t.Fatal(err)
						}
					}
					ends(t, "TokenContext", minute, func() {
						if _, err := f.TokenContext(context.Background()); err != nil {
							t.Error(err)
						}
					})
					before := f.events.count(refresh.EventChecked)
					time.Sleep(5 * minute)
					if n := f.events.count(refresh.EventChecked) - before; n < 4 {
						t.Errorf("%d looks in five minutes", n)
					}
					ends(t, "ForceRefresh", minute, func() {
						if err := f.ForceRefresh(context.Background()); err != nil {
							t.Error(err)
						}
					})
					ends(t, "Stop", minute, f.Stop)
					_ = f.hold(t).Unlock() // would hang if the lock was left behind
					if !strings.HasPrefix(where, "OAuthClient") {
						f.clean(t)
					}
				})
			})
		}
	}
}

// A callback that ends the goroutine of a caller that opens a session, or panics there, costs
// that caller the session, and no other.
func TestLaw10_ACallbackThatEndsAnOpening(t *testing.T) {
	for where, arm := range map[string]func(s *faultyStore, cfg *refresh.PoolConfig, exit func()){
		"Configure": func(_ *faultyStore, cfg *refresh.PoolConfig, exit func()) {
			cfg.Configure = func(string, *refresh.Config) { exit() }
		},
		"Store.Get": func(s *faultyStore, _ *refresh.PoolConfig, exit func()) {
			s.onGet = func(context.Context) error { exit(); return nil }
		},
		"OnEvent": func(_ *faultyStore, cfg *refresh.PoolConfig, exit func()) {
			cfg.OnEvent = func(e refresh.Event) {
				if e.Kind == refresh.EventStarted {
					exit()
				}
			}
		},
	} {
		for how, end := range map[string]func(){"ends its goroutine": runtime.Goexit, "panics": func() { panic("a mistake") }} {
			t.Run(where+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, s := oauthtest.New(oauthtest.Config{}), newFaultyStore()
					first, err := server.Login("alice")
					if err != nil {
						t.Fatal(err)
					}
					if _, err := s.Store.Set(t.Context(), "alice", &tokenstore.Record{Tokens: first}); err != nil {
						t.Fatal(err)
					}
					var ended atomic.Bool
					cfg := refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: s}}
					arm(s, &cfg, func() {
						if !ended.Swap(true) {
							time.Sleep(time.Second)
							end()
						}
					})
					p := refresh.NewPool(cfg)
					if err := p.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					go func() {
						defer func() { _ = recover() }()
						_, _ = p.Session(context.Background(), "alice")
					}()
					time.Sleep(time.Millisecond)
					for range 2 { // one that waits for the first, and one that comes later
						ends(t, "Session", minute, func() {
							if m, err := p.Session(context.Background(), "alice"); err != nil || m.GetTokens() == nil {
								t.Errorf("the session is not there: %v", err)
							}
						})
					}
					time.Sleep(30 * minute)
					if n := server.Refreshes(); n < 2 {
						t.Errorf("%d refreshes in half an hour", n)
					}
					ends(t, "Stop", minute, p.Stop)
				})
			})
		}
	}
}

// A Store that ends the goroutine which it is asked on costs a restoration the sessions that
// it was asked for, or the rest of its list.
func TestLaw10_AStoreThatEndsARestoration(t *testing.T) {
	const sessions, ended = 200, 100 // more than are opened at a time
	synctest.Test(t, func(t *testing.T) {
		server, s := oauthtest.New(oauthtest.Config{}), newFaultyStore()
		first, err := server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		for i := range sessions {
			if _, err := s.Store.Set(t.Context(), fmt.Sprint("alice", i), &tokenstore.Record{Tokens: first}); err != nil {
				t.Fatal(err)
			}
		}
		var gets, lists atomic.Int64
		s.onGet = func(context.Context) error {
			if gets.Add(1) <= ended {
				runtime.Goexit()
			}
			return nil
		}
		store := &exitingLister{s, s.Store.(tokenstore.Lister), func() {
			if lists.Add(1) == 2 {
				runtime.Goexit()
			}
		}}
		p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: store}})
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		restore := func(want int) {
			ends(t, "Restore", minute, func() {
				if n, err := p.Restore(context.Background()); n != want || (err == nil) != (want == sessions) {
					t.Errorf("%d restored, %v; want %d", n, err, want)
				}
			})
		}
		restore(sessions - ended)
		ends(t, "a list that ends its goroutine", minute, func() { _, _ = p.Restore(context.Background()) })
		restore(sessions)
		ends(t, "Stop", minute, p.Stop)
	})
}

// An exitingLister is a Store that can list its sessions. In a bubble, all goroutines of a restoration
// have to end, or the test fails.
type exitingLister struct {
	tokenstore.Store
	tokenstore.Lister
	onNames func()
}

func (s *exitingLister) Names(ctx context.Context) ([]string, error) {
	s.onNames()
	return s.Lister.Names(ctx)
}

// A login whose look at the Store ends its goroutine does not count as one under way.
func TestLaw10_ALoginThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use)
		var locked atomic.Bool
		s.onLock = func(context.Context) error { locked.Store(true); return nil }
		s.onGet = func(context.Context) error {
			if locked.Load() {
				runtime.Goexit()
			}
			return nil
		}
		ends(t, "StartOrLogin", minute, func() {
			_ = f.StartOrLogin(context.Background(), func(context.Context) (*oauth.TokenPair, error) { return f.server.Login("alice") })
		})
		s.edit(func(s *faultyStore) { s.onLock, s.onGet = nil, nil })
		f.start(t)
		ends(t, "ForceRefresh", minute, func() {
			if err := f.ForceRefresh(context.Background()); err != nil {
				t.Error(err)
			}
		})
		ends(t, "Stop", minute, f.Stop)
		f.clean(t)
	})
}

// A Store whose notices end their goroutine is listened to again.
func TestLaw10_AWatchThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &exitingWatcher{faultyStore: newFaultyStore()}
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = w }).start(t)
		time.Sleep(10 * minute)
		if n := w.watches.Load(); n < 2 {
			t.Errorf("listened to %d times", n)
		}
		ends(t, "Stop", minute, f.Stop)
	})
}

type exitingWatcher struct {
	*faultyStore
	watches atomic.Int64
}

func (w *exitingWatcher) Watch(_ context.Context, notify func(tokenstore.Change)) error {
	w.watches.Add(1)
	notify(tokenstore.Change{Name: "default", Version: 1})
	runtime.Goexit()
	return nil
}
