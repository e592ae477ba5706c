package refresh_test

import (
	"context"
	"errors"
	"fmt"
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

// A server that will not revoke for this client does not keep a session here for ever,
// and the program learns that it lives on there.
func TestF87_LogoutWhereTheServerDoesNotRevoke(t *testing.T) {
	for _, fault := range []oauthtest.Fault{
		{Status: 401, Body: `{"error":"invalid_client"}`},
		{Status: 401, HTML: true},
		{Status: 403, Body: `{"error":"access_denied"}`},
		{Status: 403, HTML: true},
		{Status: 404, HTML: true},
		{Status: 405},
		{Status: 501},
		{Status: 400, Body: `{"error":"unsupported_token_type"}`},
		{Redirect: "https://elsewhere.example/", Status: 308},
	} {
		for name, edit := range map[string]func(*refresh.Config){
			"with a store": nil, "without locks": withoutLocks, "without a store": func(cfg *refresh.Config) { cfg.Store = nil },
		} {
			t.Run(fmt.Sprintf("%d %s, %s", fault.Status, fault.Body, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
						if edit != nil {
							edit(cfg)
						}
					}).start(t)
					fault.Endpoint = oauthtest.RevocationEndpoint
					f.server.Script(fault)
					err := f.Logout(t.Context())
					is(t, err, oauth.ErrNotRevoked)
					if errors.Is(err, oauth.ErrTransient) {
						t.Errorf("error %v; want none that says to try again", err)
					}
					if f.store != nil {
						f.isGone(t)
					}
					f.inState(t, refresh.StateLoggedOut)
					_, err = f.TokenContext(t.Context())
					is(t, err, oauth.ErrLoginRequired, refresh.ErrLoggedOut)
					if err := f.Logout(t.Context()); err != nil {
						t.Errorf("a second time: %v", err)
					}
					time.Sleep(time.Hour)
					if n := f.tokenRequests(); n != 0 {
						t.Errorf("%d refreshes after a logout", n)
					}
				})
			})
		}
	}
}

// What passes, and what was never asked, keeps the session for the next try.
func TestF87_LogoutThatCanBeTriedAgainKeepsTheSession(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"500": {Status: 500}, "502": {Status: 502, HTML: true}, "503": {Status: 503}, "429": {Status: 429}, "408": {Status: 408},
		"down": {Down: true}, "reset": {Reset: true}, "silent": {Hang: true}, "403 for a while": {Status: 403, RetryAfter: minute},
		"trouble in words": {Status: 400, Body: `{"error":"temporarily_unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				fault.Endpoint = oauthtest.RevocationEndpoint
				f.server.Script(fault)
				err := f.Logout(t.Context())
				is(t, err, oauth.ErrTransient)
				if errors.Is(err, oauth.ErrNotRevoked) {
					t.Errorf("error %v; want one that does not say never", err)
				}
				f.serve(t, f.first)
				f.saved(t)
			})
		})
	}
}

// A Revoker of the program's says it in its own way, or not at all.
func TestF87_RevokersOfPrograms(t *testing.T) {
	for name, tt := range map[string]struct {
		revoke func(ctx context.Context) error
		want   error // nil: none
		gone   bool
	}{
		"never, in our words": {func(context.Context) error { return fmt.Errorf("no: %w", oauth.ErrNotRevoked) }, oauth.ErrNotRevoked, true},
		"never, by an Error": {func(context.Context) error {
			return &oauth.Error{Op: "revoke", Kind: oauth.ErrMisconfigured, Sent: true, Status: 403}
		}, oauth.ErrNotRevoked, true},
		"misconfigured":         {func(context.Context) error { return oauth.ErrMisconfigured }, oauth.ErrNotRevoked, true},
		"not sent":              {func(context.Context) error { return &oauth.Error{Op: "revoke", Kind: oauth.ErrMisconfigured} }, oauth.ErrMisconfigured, false},
		"the session has ended": {func(context.Context) error { return oauth.ErrLoginRequired }, nil, true},
		"an odd error":          {func(context.Context) error { return errDiskFull }, errDiskFull, false},
		"a panic":               {func(context.Context) error { panic("odd") }, new(refresh.PanicError), false},
		"no return":             {func(context.Context) error { time.Sleep(time.Hour); return nil }, context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.OAuthClient = ownRevoker{cfg.OAuthClient, tt.revoke}
				}).start(t)
				begun := time.Now()
				err := f.Logout(t.Context())
				if took := time.Since(begun); took > 31*time.Second {
					t.Errorf("it took %v", took)
				}
				switch panicked := new(refresh.PanicError); {
				case tt.want == nil && err != nil:
					t.Errorf("error %v; want none", err)
				case name == "a panic" && !errors.As(err, &panicked):
					t.Errorf("error %v; want one that tells of the panic", err)
				case tt.want != nil && name != "a panic":
					is(t, err, tt.want)
				}
				if _, err := f.store.Get(t.Context(), "default"); (err != nil) != tt.gone {
					t.Errorf("the store says %v; want it gone: %v", err, tt.gone)
				}
				_ = f.hold(t).Unlock() // would hang if the lock was left behind
				time.Sleep(time.Hour)
			})
		})
	}
}

// An ownRevoker is a Refresher that revokes as a test says.
type ownRevoker struct {
	refresh.Refresher
	revoke func(ctx context.Context) error
}

func (r ownRevoker) CanRevoke() bool { return true }

func (r ownRevoker) Revoke(ctx context.Context, _ *oauth.TokenPair) error { return r.revoke(ctx) }

// apiLogout is a backend whose logout wants an access token that lives.
type apiLogout struct {
	refreshes, revokes int
	down               bool
	living             string
	unknown            bool // when its tokens end
}

func (b *apiLogout) CanRevoke() bool            { return true }
func (b *apiLogout) RevokesByAccessToken() bool { return true }

func (b *apiLogout) Refresh(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
	if b.refreshes++; b.down {
		return nil, oauth.ErrTransient
	}
	b.living = fmt.Sprint("at", b.refreshes)
	next := &oauth.TokenPair{AccessToken: b.living, RefreshToken: fmt.Sprint("rt", b.refreshes)}
	if !b.unknown {
		next.ExpiresIn = 900
	}
	return next, nil
}

func (b *apiLogout) Revoke(_ context.Context, t *oauth.TokenPair) error {
	if b.revokes++; t.AccessToken != b.living {
		return oauth.ErrTransient
	}
	return nil
}

// Where a logout wants an access token that lives, one that may be dead is renewed first, and
// no other.
func TestALogoutThatWantsALivingTokenGetsOne(t *testing.T) {
	for name, tt := range map[string]struct {
		client    *apiLogout
		ends      time.Duration // when the token does; zero: not known
		dead      bool
		stopped   bool
		refreshes int
		err       error
	}{
		"it lives":                        {&apiLogout{living: "at0"}, time.Hour, false, false, 0, nil},
		"it is dead":                      {&apiLogout{living: "?"}, time.Hour, true, false, 1, nil},
		"its end is not known":            {&apiLogout{living: "?", unknown: true}, 0, true, false, 1, nil},
		"it is dead, and nobody runs":     {&apiLogout{living: "?"}, time.Hour, true, true, 1, nil},
		"it is dead, and the server down": {&apiLogout{living: "?", down: true}, time.Hour, true, true, 1, oauth.ErrTransient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := &oauth.TokenPair{AccessToken: "at0", RefreshToken: "rt0", IssuedAt: time.Now()}
				if tt.ends > 0 {
					first.ExpiresAt = time.Now().Add(tt.ends)
				}
				store := new(tokenstore.Memory)
				m := refresh.NewManager(refresh.Config{OAuthClient: tt.client, Store: store, Renewal: refresh.RenewOnUse})
				t.Cleanup(m.Stop)
				if err := m.Start(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if tt.dead {
					time.Sleep(2 * time.Hour)
				}
				if tt.stopped {
					m.Stop()
				}
				tt.client.refreshes = 0
				is(t, m.Logout(t.Context()), tt.err)
				if c := tt.client; c.refreshes != tt.refreshes || c.revokes != 1 {
					t.Errorf("%d refreshes and %d revocations; want %d and 1", c.refreshes, c.revokes, tt.refreshes)
				}
				if _, err := store.Get(t.Context(), "default"); (err == nil) != (tt.err != nil) {
					t.Errorf("the session in the Store: %v", err)
				}
			})
		})
	}
}
