package refresh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// ends fails the test unless a call ends within a time.
func ends(t *testing.T, what string, within time.Duration, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); call() }()
	select {
	case <-done:
	case <-time.After(within):
		t.Fatalf("%s has not returned after %v", what, within)
	}
}

// A login has the session's lock while a person takes their time, and then wants the turn.
// What does it the other way round waits for ever.
func TestALogoutWhileAPersonLogsIn(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, f *fixture) <-chan error{
		"asked by Reauthenticate": func(t *testing.T, f *fixture) <-chan error {
			f.start(t)
			time.Sleep(2 * minute)
			f.server.RevokeAll("alice")
			is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
			return nil
		},
		"asked by StartOrLogin": func(t *testing.T, f *fixture) <-chan error {
			done := make(chan error, 1)
			go func() { done <- f.StartOrLogin(t.Context(), f.slowLogin) }()
			return done
		},
	} {
		for locks, edit := range map[string]func(*refresh.Config){"locks": func(*refresh.Config) {}, "no locks": withoutLocks} {
			t.Run(name+", "+locks, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var f *fixture
					f = newFixture(t, oauthtest.Config{}, edit, func(cfg *refresh.Config) {
						cfg.OnRefreshFail = func(error) bool { return true }
						cfg.Reauthenticate = func(ctx context.Context) (*oauth.TokenPair, error) { return f.slowLogin(ctx) }
					})
					done := begin(t, f)
					time.Sleep(5 * time.Second)
					ends(t, "Logout", minute/2, func() {
						if err := f.Logout(context.Background()); err != nil {
							t.Error(err)
						}
					})
					time.Sleep(2 * minute)
					if done != nil {
						ends(t, "StartOrLogin", time.Second, func() {
							if err := <-done; err != nil {
								t.Error(err)
							}
						})
					}
					if f.inState(t, refresh.StateValid); f.GetTokens().RefreshToken == f.first.RefreshToken {
						t.Error("what the login brought is not the session")
					}
					ends(t, "UpdateTokens", minute, func() {
						if err := f.UpdateTokens(f.first); err != nil {
							t.Error(err)
						}
					})
					ends(t, "Stop", minute, f.Stop)
					if _, locks := f.store.(tokenstore.Locker); locks {
						_ = f.hold(t).Unlock() // would hang if the lock was left behind
					}
				})
			})
		}
	}
}

// slowLogin is a person's who takes a minute.
func (f *fixture) slowLogin(ctx context.Context) (*oauth.TokenPair, error) {
	select {
	case <-time.After(minute):
		return f.server.Login("alice")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A logout that waits for a lock which its holder does not give keeps neither Stop nor
// callers, and goes on when it is given.
func TestALogoutThatWaitsForTheLockKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		time.Sleep(time.Second)
		lease := f.hold(t)
		done := make(chan error, 1)
		go func() { done <- f.Logout(context.Background()) }()
		time.Sleep(time.Second)
		ends(t, "UpdateTokens", time.Second, func() { _ = f.UpdateTokens(f.first) })
		renewed := f.first.Clone()
		renewed.AccessToken, renewed.IssuedAt = "renewed elsewhere", time.Now()
		rec := f.record(t)
		rec.Supersede(renewed)
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		if got := f.GetTokens(); got.AccessToken != renewed.AccessToken {
			t.Error("the session was not looked at meanwhile")
		}
		ends(t, "Stop", time.Second, f.Stop)
		_ = lease.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.isGone(t)
	})
}

// A refresh that has the turn and waits for the lock gives way to the logout that has it.
func TestARefreshGivesWayToTheLogoutThatHasTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		time.Sleep(time.Second)
		lease := f.hold(t)
		out, forced := make(chan error, 1), make(chan error, 1)
		go func() { out <- f.Logout(context.Background()) }()
		time.Sleep(time.Second)
		go func() { forced <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		_ = lease.Unlock()
		ends(t, "Logout", time.Second, func() {
			if err := <-out; err != nil {
				t.Error(err)
			}
		})
		is(t, <-forced, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
		if n := f.events.count(refresh.EventRefreshFailed); n != 0 {
			t.Errorf("%d failures are told; want none", n)
		}
		f.isGone(t)
		f.clean(t)
	})
}

// A session that begins to keep the lock, for a pair that it cannot save, keeps it from the
// logout that waits for it here too.
func TestALogoutUnderTheLockThatTheSessionBeginsToKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		time.Sleep(time.Second)
		var asked atomic.Bool
		s.edit(func(s *faultyStore) {
			s.onLock = func(ctx context.Context) error {
				if asked.Swap(true) { // the logout's is first, and is answered later than the refresh's
					return nil
				}
				select {
				case <-time.After(10 * time.Second):
					return nil
				case <-ctx.Done():
					return errors.Join(tokenstore.ErrLocked, ctx.Err())
				}
			}
		})
		out := make(chan error, 1)
		go func() { out <- f.Logout(context.Background()) }()
		time.Sleep(time.Second)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends(t, "Logout", minute, func() {
			if err := <-out; err != nil {
				t.Error(err)
			}
		})
		s.full(false)
		f.isGone(t)
		_ = f.hold(t).Unlock() // would hang if the lock was left behind
		f.clean(t)
	})
}

// What a login may call of the manager that it is for, under the lock that it has.
func TestALoginThatCallsItsManager(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, f *fixture) error{
		"to log out":                      func(ctx context.Context, f *fixture) error { return f.Logout(ctx) },
		"to log out, without its context": func(_ context.Context, f *fixture) error { return f.Logout(context.Background()) },
		"to start or log in": func(ctx context.Context, f *fixture) error {
			return f.StartOrLogin(ctx, func(ctx context.Context) (*oauth.TokenPair, error) {
				return f.server.Login("alice")
			})
		},
		"to start or log in, and that to log out": func(ctx context.Context, f *fixture) error {
			return f.StartOrLogin(ctx, func(ctx context.Context) (*oauth.TokenPair, error) {
				if err := f.Logout(ctx); err != nil {
					return nil, err
				}
				return f.server.Login("alice")
			})
		},
		"to save tokens": func(ctx context.Context, f *fixture) error {
			tokens, err := f.server.Login("alice")
			if err != nil {
				return err
			}
			return f.UpdateTokens(tokens)
		},
		"to start it anew": func(ctx context.Context, f *fixture) error {
			f.Stop()
			tokens, err := f.server.Login("alice")
			if err != nil {
				return err
			}
			return f.Start(context.WithoutCancel(ctx), tokens)
		},
	} {
		for _, by := range []string{"Reauthenticate", "StartOrLogin"} {
			t.Run(name+", in "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var f *fixture
					login := func(ctx context.Context) (*oauth.TokenPair, error) {
						if err := call(ctx, f); err != nil {
							t.Error(err)
						}
						if tokens := f.GetTokens(); tokens != nil && f.GetRefreshStatus().State == refresh.StateValid {
							return tokens, nil
						}
						return f.server.Login("alice")
					}
					f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
						if by == "Reauthenticate" {
							cfg.OnRefreshFail = func(error) bool { return true }
							cfg.Reauthenticate = login
						}
					}).start(t)
					time.Sleep(2 * minute)
					f.server.RevokeAll("alice")
					_ = f.ForceRefresh(t.Context())
					if by == "StartOrLogin" {
						ends(t, by, minute, func() {
							if err := f.StartOrLogin(t.Context(), login); err != nil {
								t.Error(err)
							}
						})
					}
					time.Sleep(minute)
					f.inState(t, refresh.StateValid)
					if n := f.events.count(refresh.EventReauthenticateFailed); n != 0 {
						t.Errorf("%d logins have failed", n)
					}
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Error(err)
					}
					ends(t, "Stop", minute, f.Stop)
					_ = f.hold(t).Unlock() // would hang if the lock was left behind
				})
			})
		}
	}
}

// The lock of a login is held until the logout that goes on under it has ended, too.
func TestTheLockOfALoginThatFailsOutlastsItsLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		done := make(chan error, 1)
		go func() {
			done <- f.StartOrLogin(t.Context(), func(context.Context) (*oauth.TokenPair, error) {
				f.loginElsewhere(t, "alice") // by a writer without the lock: there is something to revoke
				f.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Delay: 10 * time.Second})
				go f.Logout(context.Background())
				time.Sleep(time.Second)
				return nil, oauth.ErrAccessDenied
			})
		}()
		is(t, <-done, oauth.ErrAccessDenied)
		begun := time.Now()
		_ = f.hold(t).Unlock()
		if waited := time.Since(begun); waited < 8*time.Second {
			t.Errorf("the lock was free after %v, while the logout was under way", waited)
		}
		synctest.Wait()
		f.isGone(t)
	})
}

// Somebody logs in while the program asks whether to: then nobody is asked any more.
func TestReauthenticateIsNotCalledAfterALoginThatCameFirst(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"a store with locks": func(*refresh.Config) {}, "a store without": withoutLocks, "no store": func(cfg *refresh.Config) { cfg.Store = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, edit, func(cfg *refresh.Config) {
					cfg.OnRefreshFail = func(error) bool { time.Sleep(minute); return true }
					cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
						t.Error("Reauthenticate is called")
						return nil, oauth.ErrAccessDenied
					}
				}).start(t)
				time.Sleep(2 * minute)
				f.server.RevokeAll("alice")
				is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
				time.Sleep(30 * time.Second)
				person, err := f.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				if err := f.UpdateTokens(person); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * minute)
				if got := f.GetTokens(); got.RefreshToken != person.RefreshToken {
					t.Error("the person's login was replaced")
				}
			})
		})
	}
}
