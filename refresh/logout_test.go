package refresh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// ended fails the test unless the server has ended pair's session.
func (f *fixture) ended(t *testing.T, pair *oauth.TokenPair) {
	t.Helper()
	info, err := oauth.NewClient(f.server.OAuthConfig()).Introspect(t.Context(), pair.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if info.Active {
		t.Error("the session lives on at the server")
	}
}

func TestF22_LogoutEndsWhatARefreshInFlightBrings(t *testing.T) {
	for name, inThisProcess := range map[string]bool{"in this process": true, "in another process": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				other := f.sibling(t).start(t)
				synctest.Wait()
				who := other
				if inThisProcess {
					who = f
				}
				f.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
				go who.ForceRefresh(t.Context())
				time.Sleep(time.Second)
				begun := time.Now()
				if err := f.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begun); waited < 2*time.Second {
					t.Errorf("it did not wait for the refresh: %v", waited)
				}
				f.isGone(t)
				f.inState(t, refresh.StateLoggedOut)
				newest := who.GetTokens()
				if newest == nil && !inThisProcess {
					t.Fatal("the other process does not know what it got")
				}
				if newest != nil {
					f.ended(t, newest)
				}
				time.Sleep(time.Hour)
				f.isGone(t)
				_, err := other.TokenContext(t.Context())
				is(t, err, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
				if n := f.server.Refreshes(); n != 1 {
					t.Errorf("%d refreshes; want the one that was under way", n)
				}
				f.clean(t)
			})
		})
	}
}

func TestLogoutWithoutTheServerKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		synctest.Wait()
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: 503})
		is(t, f.Logout(t.Context()), oauth.ErrTransient)
		f.serve(t, f.first)
		f.saved(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.isGone(t)
		f.ended(t, f.first)
		if err := f.Logout(t.Context()); err != nil {
			t.Errorf("without a session: %v", err)
		}
	})
}

func TestLogoutOfAServerThatCannotRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, client := range []func(cfg *refresh.Config){
			func(cfg *refresh.Config) {
				oc := cfg.OAuthClient.(*oauth.Client).Config()
				oc.RevocationURL = ""
				cfg.OAuthClient = oauth.NewClient(oc)
			},
			func(cfg *refresh.Config) { cfg.OAuthClient = refresh.RefresherFunc(cfg.OAuthClient.Refresh) },
		} {
			f := newFixture(t, oauthtest.Config{}, client).start(t)
			if err := f.Logout(t.Context()); err != nil {
				t.Error(err)
			}
			f.isGone(t)
			_, err := f.TokenContext(t.Context())
			is(t, err, refresh.ErrLoggedOut)
		}
	})
}

func TestLogoutWithoutAStoreForgetsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = nil }).start(t)
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.ended(t, f.first)
		if f.GetTokens() != nil {
			t.Error("it still has tokens")
		}
		f.clean(t)
	})
}

func TestLogoutOfAStoppedManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.Stop()
		other := f.sibling(t) // which has never run
		if err := other.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.isGone(t)
		f.ended(t, f.first)
	})
}

// A token that the server has ended is not shown to it again.
func TestLogoutOfADeadSessionOnlyDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.isGone(t)
		if n := f.server.Requests(oauthtest.RevocationEndpoint); n != 0 {
			t.Errorf("%d revocations of a dead session; want none", n)
		}
	})
}

func TestLogoutEndsAPairThatCouldNotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, breakAtSpend(s)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		newest := f.GetTokens()
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.ended(t, newest)
		s.full(false)
		time.Sleep(time.Hour)
		f.isGone(t)
		_ = f.hold(t).Unlock() // would hang if the lock was left behind
		f.clean(t)
	})
}

func TestLogoutDoesNotEndAnotherAccountsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: twoUsers}).start(t)
		synctest.Wait()
		bob := f.loginElsewhere(t, "bob")
		if err := f.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		f.ended(t, f.first)
		if got := f.saved(t); got.AccessToken != bob.AccessToken {
			t.Error("bob's session is gone")
		}
		info, err := oauth.NewClient(f.server.OAuthConfig()).Introspect(t.Context(), bob.RefreshToken)
		if err != nil || !info.Active {
			t.Errorf("bob's session at the server: %+v, %v", info, err)
		}
	})
}

// Writers that do not heed the lock: one that has marked the session, and one
// that has logged in anew.
func TestLogoutMeetsWritersWithoutTheLock(t *testing.T) {
	for name, newLogin := range map[string]bool{"a mark": false, "a new login": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				synctest.Wait()
				f.server.Script(oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Delay: 2 * time.Second})
				done := make(chan error)
				go func() { done <- f.Logout(t.Context()) }()
				time.Sleep(time.Second)
				if newLogin {
					f.loginElsewhere(t, "alice")
				} else {
					rec := f.record(t)
					rec.NotBefore = time.Now()
					if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
						t.Fatal(err)
					}
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if newLogin {
					f.saved(t)
				} else {
					f.isGone(t)
				}
			})
		})
	}
}

func TestLogoutThatCannotReadOrLockTheSessionSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		synctest.Wait()
		gone := errors.New("the disk is gone")
		s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return gone } })
		is(t, f.Logout(t.Context()), gone)
		s.edit(func(s *faultyStore) { s.onGet = nil })
		lease := f.hold(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, f.Logout(ctx), tokenstore.ErrLocked)
		_ = lease.Unlock()
		f.serve(t, f.first)
		if n := f.server.Requests(oauthtest.RevocationEndpoint); n != 0 {
			t.Errorf("%d revocations", n)
		}
	})
}
