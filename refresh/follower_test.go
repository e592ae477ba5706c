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

// readOnly is a store that nobody may write to or lock.
type readOnly struct {
	tokenstore.Store
	touched atomic.Int32
}

func (s *readOnly) Set(context.Context, string, *tokenstore.Record) (uint64, error) {
	s.touched.Add(1)
	return 0, errors.New("read-only")
}

func (s *readOnly) Delete(context.Context, string, uint64) error {
	s.touched.Add(1)
	return errors.New("read-only")
}

func (s *readOnly) Lock(context.Context, string) (tokenstore.Lease, error) {
	s.touched.Add(1)
	return nil, errors.New("read-only")
}

// follow makes a follower of f's session, with a client that must not be used.
func (f *fixture) follow(t *testing.T, edits ...func(*refresh.Config)) (*fixture, *readOnly) {
	t.Helper()
	store := &readOnly{Store: f.store}
	follower := f.sibling(t, append([]func(*refresh.Config){func(cfg *refresh.Config) {
		cfg.Store, cfg.Follower, cfg.OAuthClient = store, true, nil
	}}, edits...)...)
	if err := follower.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return follower, store
}

func TestFollowerReadsAndNeverActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{}).start(t)
		follower, store := owner.follow(t)
		for range 24 * 10 {
			time.Sleep(6 * minute)
			pair, err := follower.TokenContext(t.Context())
			if err != nil || !pair.ExpiresAt.After(time.Now()) {
				t.Fatalf("the follower has %v, %v", pair, err)
			}
		}
		if n := store.touched.Load(); n != 0 {
			t.Errorf("it touched the store %d times", n)
		}
		if n := follower.events.count(refresh.EventRefreshFailed); n != 0 {
			t.Errorf("%d failures of a session in good hands", n)
		}
		owner.clean(t)
	})
}

func TestFollowerWaitsForItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{}).start(t)
		synctest.Wait()
		follower, store := owner.follow(t)
		owner.Stop()
		owner.untilDue()
		time.Sleep(2 * minute)
		if n := follower.events.count(refresh.EventRefreshFailed); n != 0 {
			t.Errorf("%d failures while the token lives", n)
		}
		owner.untilExpired()
		time.Sleep(minute)
		begun := time.Now()
		_, err := follower.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		if waited := time.Since(begun); waited > 30*time.Second {
			t.Errorf("a caller waited %v; want MaxWait at most", waited)
		}
		follower.inState(t, refresh.StateRetrying)

		answered := make(chan error, 1)
		go func() {
			_, err := follower.TokenContext(t.Context())
			answered <- err
		}()
		time.Sleep(2 * time.Second)
		begun = time.Now()
		owner.resume(t)
		if err := <-answered; err != nil {
			t.Errorf("the owner has renewed, and a caller of the follower got %v", err)
		}
		if waited := time.Since(begun); waited > 15*time.Second {
			t.Errorf("it took the follower %v to notice", waited)
		}
		follower.inState(t, refresh.StateValid)
		if n := store.touched.Load(); n != 0 {
			t.Errorf("it touched the store %d times", n)
		}
		owner.clean(t)
	})
}

func TestFollowerHearsOfTheEnd(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, owner *fixture) (want error){
		"a dead grant": func(t *testing.T, owner *fixture) error {
			owner.server.RevokeAll("alice")
			_ = owner.ForceRefresh(t.Context())
			return oauth.ErrLoginRequired
		},
		"a logout": func(t *testing.T, owner *fixture) error {
			owner.Stop()
			owner.logout(t)
			return refresh.ErrLoggedOut
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owner := newFixture(t, oauthtest.Config{}).start(t)
				synctest.Wait()
				login := func(context.Context) (*oauth.TokenPair, error) {
					t.Error("a follower logs in")
					return nil, errors.New("no")
				}
				follower, store := owner.follow(t, func(cfg *refresh.Config) {
					cfg.OnRefreshFail = func(error) bool { return true }
					cfg.Reauthenticate = login
				})
				want := end(t, owner)
				time.Sleep(20 * minute)
				_, err := follower.TokenContext(t.Context())
				is(t, err, want)
				_ = follower.StartOrLogin(t.Context(), login)
				if n := store.touched.Load(); n != 0 {
					t.Errorf("it touched the store %d times", n)
				}
			})
		})
	}
}

// What would make an owner repair or save must not make a follower write.
func TestFollowerLeavesTheStoreAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		owner := newFixture(t, oauthtest.Config{}, s.use).start(t)
		synctest.Wait()
		old := owner.record(t)
		if err := owner.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		follower, store := owner.follow(t)
		owner.Stop()

		rec := owner.record(t)
		rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: time.Now()}
		if _, err := owner.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		s.edit(func(s *faultyStore) {
			s.onGet = func(context.Context) error { return tokenstore.ErrDamaged }
		})
		time.Sleep(2 * minute)
		s.edit(func(s *faultyStore) { s.onGet = nil })
		old.Version = owner.record(t).Version // somebody puts an old copy back
		if _, err := owner.store.Set(t.Context(), "default", old); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		if n := store.touched.Load(); n != 0 {
			t.Errorf("it touched the store %d times", n)
		}
		if n := follower.events.count(refresh.EventRefreshFailed); n != 0 {
			t.Errorf("%d failures while the token lives", n)
		}
	})
}

func TestFollowerRefusesToAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{}).start(t)
		synctest.Wait()
		follower, _ := owner.follow(t)
		is(t, follower.UpdateTokens(owner.first), refresh.ErrFollower)
		is(t, follower.Logout(t.Context()), refresh.ErrFollower)
		follower.Stop()
		is(t, follower.Start(t.Context(), owner.first), refresh.ErrFollower, oauth.ErrMisconfigured)
		alone := refresh.NewManager(refresh.Config{Follower: true})
		is(t, alone.Start(t.Context(), nil), oauth.ErrMisconfigured)
	})
}
