package refresh_test

import (
	"context"
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
