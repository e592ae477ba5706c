package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// The laws of DESIGN.md, one section for each. What a scenario covers is in the
// files named after scenarios; here is the rest.

// Law 1: one spend.

func TestLaw1_SpendHoldsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		seen := 0
		client := onWire(f.server, func(*http.Request, url.Values) {
			seen++
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if lease, err := f.store.(tokenstore.Locker).Lock(ctx, "default"); err == nil {
				t.Error("a refresh token is spent without the session's lock")
				_ = lease.Unlock()
			}
		})
		m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = client }).start(t)
		if err := m.ForceRefresh(t.Context()); err != nil || seen != 1 {
			t.Errorf("error %v after %d requests", err, seen)
		}
		m.clean(t)
	})
}

func TestLaw1_NoLeaseNoSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		s.onLease = func() error { return tokenstore.ErrLeaseLost }
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient, tokenstore.ErrLeaseLost)
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests after the lease was lost; want none", n)
		}
		s.edit(func(s *faultyStore) { s.onLease = nil })
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestLaw1_NoReplayAfterTheLeaseWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, func(cfg *refresh.Config) {
			next := cfg.OnEvent
			cfg.OnEvent = func(e refresh.Event) {
				next(e)
				if e.Kind == refresh.EventRefreshFailed { // in the pause before the replay
					s.edit(func(s *faultyStore) { s.onLease = func() error { return tokenstore.ErrLeaseLost } })
				}
			}
		}).start(t)
		f.server.Script(oauthtest.Fault{Reset: true})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient, tokenstore.ErrLeaseLost)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
	})
}

func TestLaw1_NoReplayOfWhatSomebodyElseHasRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withoutLocks).start(t)
		f.server.Script(oauthtest.Fault{Reset: true}) // lost on the way there
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		synctest.Wait() // in the pause before the replay
		renewed := f.renewElsewhere(t)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.serve(t, renewed)
		if n := f.requests(); n != 2 {
			t.Errorf("%d requests; want 2: ours that was lost, and the other's", n)
		}
		f.clean(t)
	})
}

func TestLaw1_UnreadableStoreMeansNoSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		s.edit(func(s *faultyStore) {
			s.onGet = func(context.Context) error { return errors.New("input/output error") }
		})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		time.Sleep(20 * minute)
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests with a pair that may be superseded; want none", n)
		}
		s.edit(func(s *faultyStore) { s.onGet = nil })
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestLaw1_OldCopyPutBackIsNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		for range 3 {
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		newest := f.GetTokens()
		// A backup is restored under a running manager.
		rec := &tokenstore.Record{Tokens: f.first, Version: f.record(t).Version}
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		f.serve(t, newest)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute)
		if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
			t.Error("the old copy is still in the store")
		}
		f.clean(t)
	})
}

// Law 2: save before show.

func TestLaw2_PairIsDurableBeforeAnyCallerSeesIt(t *testing.T) {
	for _, where := range []string{"Store", "TokenStore", "both"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f *fixture
				var saved []string // where a pair other than the first was saved, in order
				save := func(where string, pair *oauth.TokenPair) error {
					if pair.AccessToken == f.first.AccessToken {
						return nil
					}
					saved = append(saved, where)
					time.Sleep(2 * time.Second) // a slow disk
					if f.GetTokens().AccessToken == pair.AccessToken || f.events.count(refresh.EventRefreshed) > 0 {
						t.Errorf("the pair is shown before the %s has saved it", where)
					}
					return nil
				}
				s := newFaultyStore()
				s.onSet = func(_ context.Context, rec *tokenstore.Record) error { return save("Store", rec.Tokens) }
				f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.Store = s
					if where == "TokenStore" {
						cfg.Store = nil
					}
					if where != "Store" {
						cfg.TokenStore = func(_ context.Context, pair *oauth.TokenPair) error { return save("TokenStore", pair) }
					}
				}).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				want := []string{"Store", "TokenStore"}
				if where != "both" {
					want = []string{where}
				}
				if !slices.Equal(saved, want) {
					t.Errorf("saved in %v; want %v", saved, want)
				}
				if f.GetTokens().AccessToken == f.first.AccessToken {
					t.Error("the new pair is not shown")
				}
				f.clean(t)
			})
		})
	}
}

func TestLaw2_SpendIsAnnouncedBeforeItHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		client := onWire(f.server, func(_ *http.Request, form url.Values) {
			rec := f.record(t)
			if spent := form.Get("refresh_token"); !rec.Pending.On(spent) {
				t.Errorf("a spend that is not announced: pending %v", rec.Pending)
			}
			if rec.Pending != nil && !rec.Pending.At.Equal(time.Now().Round(0)) {
				t.Errorf("announced at %v; want now", rec.Pending.At)
			}
		})
		m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = client }).start(t)
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rec := m.record(t); rec.Pending != nil {
			t.Errorf("after the success the store still says pending: %v", rec.Pending)
		}
		m.clean(t)
	})
}

// A token that lives by the clock, and that the API does not take, is dead.
func TestLaw2_SpendForARejectedTokenDoesNotWaitToBeAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		synctest.Wait()
		s.full(true)
		client, _ := f.wired()
		f.server.ExpireAccess("alice")
		if status := get(t, client, f.server.Resource()); status != http.StatusOK {
			t.Errorf("status %d; want a refresh and 200", status)
		}
		s.full(false)
		time.Sleep(2 * minute)
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}

func TestLaw2_SpendThatCannotBeAnnouncedWaitsWhileTheTokenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		s.full(true)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient, errDiskFull)
		for time.Until(f.first.ExpiresAt) > 0 {
			f.serve(t, f.first)
			time.Sleep(time.Second)
		}
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests that left no trace; want none while there is no need", n)
		}
		time.Sleep(2 * minute) // better without a trace than without a session
		f.serve(t, f.GetTokens())
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		s.full(false)
		time.Sleep(minute + time.Second)
		if st := f.GetRefreshStatus(); st.Unsaved || f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
			t.Errorf("status %+v; want saved", st)
		}
		f.clean(t)
	})
}

func TestLaw2_TokenStoreThatFailsIsCalledUntilItWorks(t *testing.T) {
	for name, trouble := range map[string]func(context.Context) error{
		"it returns an error": func(context.Context) error { return errDiskFull },
		"it hangs":            hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				broken, saved := true, ""
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.Store = nil
					cfg.TokenStore = func(ctx context.Context, pair *oauth.TokenPair) error {
						mu.Lock()
						failing := broken
						if !failing {
							saved = pair.RefreshToken
						}
						mu.Unlock()
						pair.RefreshToken = "the callback's own copy"
						if failing {
							return trouble(ctx)
						}
						return nil
					}
				}).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatalf("a failed save is not a failed refresh: %v", err)
				}
				renewed := f.GetTokens()
				if renewed.AccessToken == f.first.AccessToken || !f.GetRefreshStatus().Unsaved {
					t.Errorf("status %+v; want a renewed pair that is not saved", f.GetRefreshStatus())
				}
				time.Sleep(2 * minute)
				f.serve(t, renewed)
				if n := f.events.count(refresh.EventSaveFailed); n < 2 || n > 20 {
					t.Errorf("%d failed saves were reported in two minutes; want a few", n)
				}
				mu.Lock()
				broken = false
				mu.Unlock()
				time.Sleep(minute + time.Second)
				mu.Lock()
				defer mu.Unlock()
				if saved != renewed.RefreshToken {
					t.Error("the pair was not handed to TokenStore again")
				}
				if f.GetRefreshStatus().Unsaved || f.events.count(refresh.EventSaved) != 1 {
					t.Errorf("status %+v; want saved, reported once", f.GetRefreshStatus())
				}
				f.clean(t)
			})
		})
	}
}

func TestLaw2_UnsavedPairDoesNotMakeTheManagerSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.Store = nil
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { return errDiskFull }
		}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Delay: 25 * time.Second})
		go f.ForceRefresh(t.Context()) // it has the session; saving has to wait for it
		before := f.events.count(refresh.EventChecked)
		time.Sleep(20 * time.Second)
		if n := f.events.count(refresh.EventChecked) - before; n > 20 {
			t.Errorf("%d checks within 20 s; want a few", n)
		}
		time.Sleep(minute)
		f.clean(t)
	})
}
