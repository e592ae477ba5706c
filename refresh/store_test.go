package refresh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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

func TestTwoManagersOverOneStoreSpendOnceAndTheOtherAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFixture(t, oauthtest.Config{}).start(t)
		b := a.sibling(t).resume(t)
		a.server.Script(forEver(oauthtest.Fault{Delay: 2 * time.Second}))
		for range 24 * 60 {
			time.Sleep(minute)
			for _, m := range []*fixture{a, b} {
				if _, err := m.TokenContext(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		// A 15-minute token is renewed every 9.5 to 10 minutes.
		if n := a.server.Refreshes(); n < 140 || n > 155 {
			t.Errorf("%d refreshes in a day; want one per expiry", n)
		}
		for _, m := range []*fixture{a, b} {
			spent, adopted := m.events.count(refresh.EventRefreshed), m.events.count(refresh.EventAdopted)
			if n := a.server.Refreshes(); spent+adopted < n-1 || spent+adopted > n {
				t.Errorf("one of two managers renewed %d times and adopted %d times; want %d together", spent, adopted, n)
			}
		}
		a.clean(t)
	})
}

func TestF12_LoserWithInvalidGrantAdoptsTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		// Without locks, so that there can be a loser at all; and the server
		// spares the session.
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, withoutLocks, told.use).start(t)
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		winner := f.renewElsewhere(t)
		version := f.record(t).Version

		if err := <-done; err != nil {
			t.Errorf("the loser: %v; want no error, the session is well", err)
		}
		f.serve(t, winner)
		f.inState(t, refresh.StateValid)
		if rec := f.record(t); rec.Version != version || rec.Dead != nil {
			t.Errorf("the loser touched the record: version %d, was %d", rec.Version, version)
		}
		synctest.Wait()
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
	})
}

func TestF15_LockHeldElsewhereAndTheTokenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		lease := f.hold(t)
		f.untilDue()
		for range 60 {
			time.Sleep(time.Second)
			f.serve(t, f.first)
		}
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests without the lock; want none", n)
		}
		_ = lease.Unlock()
		time.Sleep(minute)
		f.inState(t, refresh.StateValid)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests once the lock was free; want 1", n)
		}
		f.clean(t)
	})
}

// hold takes the session's lock, as another process.
func (f *fixture) hold(t *testing.T) tokenstore.Lease {
	t.Helper()
	lease, err := f.store.(tokenstore.Locker).Lock(context.Background(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestF15_LockHeldElsewhereAndTheTokenIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour)
		f.start(t)
		synctest.Wait()
		f.untilDue() // a pair of this hour
		lease := f.hold(t)
		f.untilExpired()
		before := f.requests()
		start := time.Now()
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		if waited := time.Since(start); waited > refreshWait {
			t.Errorf("the caller waited %v; want at most MaxWait", waited)
		}
		if n := f.requests(); n != before {
			t.Errorf("%d requests without the lock; want none", n-before)
		}
		synctest.Wait() // the refresh gives up at this moment, too
		_ = lease.Unlock()
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("once the lock is free: %v", err)
		}
		f.clean(t)
	})
}

func TestF15_LockHeldElsewhereDoesNotKeepStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		lease := f.hold(t)
		go f.ForceRefresh(t.Context())
		time.Sleep(time.Second)
		start := time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			_ = lease.Unlock()
		}()
		f.Stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("Stop waited %v for a lock, to begin a refresh", took)
		}
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests after Stop; want none", n)
		}
		time.Sleep(10 * time.Second)
		f.clean(t)
	})
}

func TestF16_LockOwnerDiedAfterItsSpendArrived(t *testing.T) {
	for name, grace := range map[string]time.Duration{"with grace": 30 * time.Second, "without grace": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{Grace: grace})
				time.Sleep(time.Hour)
				crash(t, f)
				f.resume(t)
				_, err := f.TokenContext(t.Context())
				if grace > 0 && err != nil {
					t.Errorf("the session is lost: %v", err)
				}
				want := 2
				if grace == 0 {
					want = 3 // and a second opinion
					is(t, err, oauth.ErrTransient)
					time.Sleep(minute)
					_, err = f.TokenContext(t.Context())
					is(t, err, oauth.ErrLoginRequired)
					if err == nil || !strings.Contains(err.Error(), "lost") {
						t.Errorf("error %v; want one that names the cause", err)
					}
				}
				if n := f.requests(); n != want {
					t.Errorf("%d requests; want %d", n, want)
				}
				f.clean(t)
			})
		})
	}
}

func TestF16_LockOwnerDiedBeforeItsSpendArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		rec := &tokenstore.Record{Tokens: f.first, Pending: &tokenstore.Mark{
			Token: tokenstore.Fingerprint(f.first.RefreshToken), At: time.Now(),
		}}
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		f.resume(t)
		time.Sleep(24 * time.Hour)
		f.inState(t, refresh.StateValid)
		if rec := f.record(t); rec.Pending != nil {
			t.Errorf("the mark of the dead process is still there: %v", rec.Pending)
		}
		f.clean(t)
	})
}

func TestF16_WhoWaitsInVainForTheLockLeavesTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Grace: 2 * minute})
		time.Sleep(time.Hour)
		lease := f.hold(t) // of a process that hangs
		crash(t, f)
		f.resume(t)
		time.Sleep(minute)
		if rec := f.record(t); !rec.Pending.On(f.first.RefreshToken) {
			t.Error("a process without the lock removed the mark of the one that has it")
		}
		_ = lease.Unlock()
		time.Sleep(minute - time.Second)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestF19_OlderResultDoesNotOverwriteANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, forking(), func(cfg *refresh.Config) { cfg.Store = unlocked{s} }).start(t)
		// The write takes two seconds, in which another replica obtains and saves a
		// successor of its own.
		var newer *oauth.TokenPair
		s.edit(func(s *faultyStore) {
			s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
				if rec.Pending == nil && newer == nil {
					time.Sleep(time.Second)
					other := *f
					other.store = s.Store
					newer = other.renewElsewhere(t)
				}
				return nil
			}
		})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("error %v; want none", err)
		}
		if f.saved(t).RefreshToken != newer.RefreshToken {
			t.Error("the older result was written over the newer one")
		}
		f.serve(t, newer)
		s.edit(func(s *faultyStore) { s.onSet = nil })
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
	})
}

func TestF20_FollowerLooksOnceMoreBeforeItGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		if err := tokenstore.Func(f.store, "default")(t.Context(), f.first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		f.hold(t) // and never lets go of it
		go func() {
			time.Sleep(35 * time.Second)
			f.renewElsewhere(t)
		}()
		f.resume(t)
		// The refresh that begins now waits for 30 s, and the next one beyond the
		// patience of a caller who comes now.
		time.Sleep(10 * time.Second)
		start := time.Now()
		pair, err := f.TokenContext(t.Context())
		if err != nil || pair.RefreshToken != f.saved(t).RefreshToken {
			t.Errorf("after %v: %v; want the pair that the leader has saved", time.Since(start), err)
		}
		f.clean(t)
	})
}

func TestF32_EmptyRefreshTokenDoesNotOverwrite(t *testing.T) {
	tests := map[string]func(*refresh.Config){
		"the server omits it": func(*refresh.Config) {},
		"the refresher loses it": func(cfg *refresh.Config) {
			next := cfg.OAuthClient
			cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
				got, err := next.Refresh(ctx, p)
				if err == nil {
					got = &oauth.TokenPair{AccessToken: got.AccessToken, ExpiresIn: 900}
				}
				return got, err
			})
		},
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{NoRotation: true}, edit).start(t)
				for range 3 {
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				for where, pair := range map[string]*oauth.TokenPair{"store": f.saved(t), "manager": f.GetTokens()} {
					if pair.RefreshToken != f.first.RefreshToken || pair.AccessToken == f.first.AccessToken {
						t.Errorf("the %s holds %v; want the refresh token kept and the access token new", where, pair)
					}
					if left := time.Until(pair.ExpiresAt); left != 15*minute {
						t.Errorf("in the %s the token lives for another %v; want 15m", where, left)
					}
				}
				f.clean(t)
			})
		})
	}
}

func TestLogoutInTheStoreIsNoticedWithinACheckInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		time.Sleep(5 * time.Second)
		f.logout(t)
		time.Sleep(minute)
		f.inState(t, refresh.StateLoggedOut)
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
		if f.GetTokens() != nil {
			t.Error("tokens outlive the logout")
		}
		time.Sleep(time.Hour)
		if n := f.events.count(refresh.EventLoggedOut); n != 1 {
			t.Errorf("%d events; want 1", n)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times; nothing failed", n)
		}
		f.isGone(t)
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests; want none", n)
		}
		f.clean(t)
	})
}

// logout removes the session from the store, as another process.
func (f *fixture) logout(t *testing.T) {
	t.Helper()
	if err := f.store.Delete(t.Context(), "default", f.record(t).Version); err != nil {
		t.Fatal(err)
	}
}

// isGone fails the test if the session is in the store.
func (f *fixture) isGone(t *testing.T) {
	t.Helper()
	if rec, err := f.store.Get(t.Context(), "default"); err == nil {
		t.Errorf("the session came back: %v", rec)
	}
}

func TestLogoutIsNotUndoneByARefreshInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		f.logout(t)
		is(t, <-done, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
		time.Sleep(time.Hour)
		f.isGone(t)
		f.inState(t, refresh.StateLoggedOut)
		f.clean(t)
	})
}

func TestLogoutIsNotUndoneByAPairThatCouldNotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.logout(t)
		s.full(false)
		time.Sleep(time.Hour)
		f.isGone(t)
		f.inState(t, refresh.StateLoggedOut)
		if st := f.GetRefreshStatus(); st.Unsaved {
			t.Errorf("status %+v; there is nothing to save", st)
		}
		f.clean(t)
	})
}

func TestLogoutEndsTheTokensOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		api := f.Resource("https://api.example")
		if _, err := api.TokenContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.logout(t)
		time.Sleep(minute + time.Second)
		_, err := api.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
		f.clean(t)
	})
}

func TestLogoutIsFollowedByALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.logout(t)
		time.Sleep(minute + time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(f.store, "default")(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		f.serve(t, login)
		f.clean(t)
	})
}

func TestDamagedRecordThatAnotherProcessFoundIsNoLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = file }).start(t)
		synctest.Wait() // the first look is over
		if err := os.WriteFile(filepath.Join(dir, "default.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrDamaged) {
			t.Fatalf("Get: %v; want ErrDamaged", err)
		}
		time.Sleep(3 * minute)
		f.inState(t, refresh.StateValid)
		f.serve(t, f.first)
		if got := f.saved(t); got.RefreshToken != f.first.RefreshToken {
			t.Error("the good copy was not saved again")
		}
		time.Sleep(10 * minute)
		if f.server.Refreshes() != 1 {
			t.Errorf("%d refreshes; want 1, as if nothing had happened", f.server.Refreshes())
		}
		f.clean(t)
	})
}

// What the Store prevents in the last second of a token is tried again after a pause, not
// as fast as the Store fails.
func TestAStoreThatFailsInATokensLastSecondIsNotAskedAllTheTime(t *testing.T) {
	for name, trouble := range map[string]func(s *faultyStore, fail func() error){
		"it cannot be written": func(s *faultyStore, fail func() error) {
			s.onSet = func(context.Context, *tokenstore.Record) error { return fail() }
		},
		"it cannot be locked": func(s *faultyStore, fail func() error) { s.onLock = func(context.Context) error { return fail() } },
		"it cannot be read":   func(s *faultyStore, fail func() error) { s.onGet = func(context.Context) error { return fail() } },
		"it is written all the same": func(s *faultyStore, fail func() error) {
			s.afterOK = func(*tokenstore.Record) error { return fail() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, store.use).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil { // so that there was a request once
					t.Fatal(err)
				}
				var failures atomic.Int64
				store.edit(func(s *faultyStore) {
					trouble(s, func() error {
						failures.Add(1)
						time.Sleep(2 * time.Millisecond)
						return errDiskFull
					})
				})
				time.Sleep(time.Until(f.GetExpiresAt()) - time.Second)
				before := failures.Load()
				time.Sleep(time.Second)
				if n := failures.Load() - before; n > 20 {
					t.Errorf("the Store is asked %d times in the token's last second; want a few", n)
				}
			})
		})
	}
}
