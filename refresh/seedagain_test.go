package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// onlyAnnounces is a Store that takes announcements, and has no room for a new pair.
func onlyAnnounces(_ context.Context, rec *tokenstore.Record) error {
	if rec.Pending != nil {
		return nil
	}
	return errDiskFull
}

// A program may start with the same seed every time, also while the newer pair of an earlier
// run is in memory alone.
func TestASeedIsNotPutInThePlaceOfAnUnsavedPair(t *testing.T) {
	nothingEver := func(context.Context, *tokenstore.Record) error { return errDiskFull }
	for name, tt := range map[string]struct {
		first, then func(context.Context, *tokenstore.Record) error
		get         error
	}{
		"the Store cannot be read":  {nil, onlyAnnounces, errDiskFull},
		"nothing can be saved":      {nil, onlyAnnounces, nil},
		"nothing was ever saved":    {nothingEver, nothingEver, nil},
		"nothing was, nor is there": {nothingEver, nothingEver, errDiskFull},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use)
				s.edit(func(s *faultyStore) { s.onSet = tt.first })
				f.start(t)
				time.Sleep(time.Minute)
				s.edit(func(s *faultyStore) { s.onSet = tt.then })
				time.Sleep(12 * minute)
				renewed := f.GetTokens()
				if renewed.RefreshToken == f.first.RefreshToken {
					t.Fatalf("not renewed: %+v", f.GetRefreshStatus())
				}
				f.Stop()
				s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return tt.get } })
				if err := f.Start(t.Context(), f.first); err != nil {
					t.Errorf("Start: %v", err)
				}
				if got := f.GetTokens().RefreshToken; got != renewed.RefreshToken {
					t.Error("the seed is in the place of the newer pair")
				}
				s.edit(func(s *faultyStore) { s.onGet, s.onSet = nil, nil })
				time.Sleep(30 * minute)
				if f.saved(t).RefreshToken == f.first.RefreshToken {
					t.Error("the seed is saved")
				}
				f.clean(t)
			})
		})
	}
}

// A pool keeps the manager that holds the only copy of a pair, whoever asks for the session
// while the Store is away.
func TestAPoolKeepsThePairThatCouldNotBeSaved(t *testing.T) {
	for name, stop := range map[string]func(*refresh.Pool, *refresh.Manager) error{
		"the session stops": func(_ *refresh.Pool, m *refresh.Manager) error { m.Stop(); return nil },
		"the pool stops and starts": func(p *refresh.Pool, _ *refresh.Manager) error {
			p.Stop()
			return p.Start(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.New(oauthtest.Config{})
				s := newFaultyStore()
				p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: s}})
				defer p.Stop()
				first, err := server.Login("alice")
				if err == nil {
					err = p.Start(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				m, err := p.Add(t.Context(), "alice", first)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				s.edit(func(s *faultyStore) { s.onSet = onlyAnnounces })
				if err := m.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := stop(p, m); err != nil {
					t.Fatal(err)
				}
				s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return errDiskFull } })
				if _, err := p.Session(t.Context(), "alice"); err == nil {
					t.Error("a session whose Store is away was opened")
				}
				s.edit(func(s *faultyStore) { s.onGet, s.onSet = nil, nil })
				time.Sleep(time.Minute)
				again, err := p.Session(t.Context(), "alice")
				if err != nil || again != m {
					t.Errorf("%v, another manager: %v", err, again != m)
				}
				time.Sleep(20 * minute)
				if mistakes := server.Audit(); len(mistakes) > 0 {
					t.Errorf("mistakes: %v", mistakes)
				}
			})
		})
	}
}

// What another process has renewed is not replaced by an earlier state of it.
func TestAnEarlierPairThatOnlyTheStoreKnowsIsNoLogin(t *testing.T) {
	for name, update := range map[string]func(t *testing.T, f *fixture) error{
		"before a start": func(t *testing.T, f *fixture) error {
			time.Sleep(40 * minute)
			f.Stop()
			m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store})
			t.Cleanup(m.Stop)
			if err := m.UpdateTokens(f.first); err != nil {
				return err
			}
			return m.Start(t.Context(), nil)
		},
		"two renewals behind": func(t *testing.T, f *fixture) error {
			other := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store})
			defer other.Stop() // a command
			if err := other.Start(t.Context(), nil); err != nil {
				return err
			}
			var between *oauth.TokenPair
			for range 2 {
				between = other.GetTokens()
				time.Sleep(5 * time.Second)
				if err := other.ForceRefresh(t.Context()); err != nil {
					return err
				}
			}
			return f.UpdateTokens(between)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				if err := update(t, f); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * minute)
				f.clean(t)
			})
		})
	}
}

// A seed is old news after a login has replaced what became of it, whatever it tells of its
// age, and however often the program starts.
func TestASeedDoesNotReplaceTheLoginThatReplacedIt(t *testing.T) {
	for name, edit := range map[string]func(f *fixture){
		"it tells its age":             func(*fixture) {},
		"it does not":                  func(f *fixture) { f.first.IssuedAt = time.Time{} },
		"it is an access token":        func(f *fixture) { f.first = &oauth.TokenPair{AccessToken: f.first.AccessToken} },
		"it is a refresh token":        func(f *fixture) { f.first = &oauth.TokenPair{RefreshToken: f.first.RefreshToken} },
		"it has ended, and is renewed": func(f *fixture) { f.first.IssuedAt, f.first.ExpiresAt = time.Time{}, time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{})
				edit(f)
				f.start(t)
				time.Sleep(time.Minute)
				f.Stop()
				login := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store})
				person, err := f.server.Login("alice")
				if err == nil {
					err = login.UpdateTokens(person) // of another process
				}
				if err != nil {
					t.Fatal(err)
				}
				last := person.RefreshToken
				for range 3 {
					m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store})
					if err := m.Start(t.Context(), f.first); err != nil {
						t.Fatal(err)
					}
					if got := m.GetTokens().RefreshToken; got != last {
						t.Fatal("the seed has replaced the login")
					}
					time.Sleep(20 * minute)
					last = m.GetTokens().RefreshToken
					m.Stop()
				}
				next, err := f.server.Login("alice") // another seed, which does not tell its age
				if err != nil {
					t.Fatal(err)
				}
				next.IssuedAt = time.Time{}
				if err := f.Start(t.Context(), next); err != nil || f.GetTokens().RefreshToken != next.RefreshToken {
					t.Errorf("a new login is taken for an old one: %v", err)
				}
				f.clean(t)
			})
		})
	}
}

// A server that does not rotate gives the same refresh token to a login with more scope.
func TestALoginMayBringTheSameRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{NoRotation: true}).start(t)
		time.Sleep(time.Minute)
		more := &oauth.TokenPair{AccessToken: "with-more-scope", RefreshToken: f.first.RefreshToken, Scope: "openid more", ExpiresAt: time.Now().Add(time.Hour)}
		if err := f.UpdateTokens(more); err != nil {
			t.Fatal(err)
		}
		if f.GetTokens().AccessToken != more.AccessToken {
			t.Error("the login is dropped")
		}
		earlier := &oauth.TokenPair{AccessToken: "earlier", RefreshToken: f.first.RefreshToken, ExpiresAt: time.Now().Add(time.Minute)}
		if err := f.UpdateTokens(earlier); err != nil {
			t.Fatal(err)
		}
		if f.GetTokens().AccessToken != more.AccessToken {
			t.Error("an earlier state replaces the login")
		}
	})
}

func TestNoSessionHasTheNameOfARecordAboutAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oauthtest.New(oauthtest.Config{})
		p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: new(tokenstore.Memory)}})
		defer p.Stop()
		first, err := server.Login("alice")
		if err == nil {
			err = p.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Add(t.Context(), tokenstore.ServerRecord("https://auth.test"), first); err == nil {
			t.Error("the session was added, and would not be restored")
		}
	})
}
