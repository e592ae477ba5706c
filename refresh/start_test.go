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

// This file is about which pair a manager starts with, and about new logins.

func TestStartWithTheSeedAgainGoesOnWithTheRotatedPair(t *testing.T) {
	seeds := map[string]func(*oauth.TokenPair) *oauth.TokenPair{
		"as it was": func(seed *oauth.TokenPair) *oauth.TokenPair { return seed },
		"from x/oauth2, which forgets when it was issued": func(seed *oauth.TokenPair) *oauth.TokenPair {
			return oauth.FromOAuth2(seed.OAuth2())
		},
	}
	for name, as := range seeds {
		for _, rotating := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, oauthtest.Config{NoRotation: !rotating})
					f.first = as(f.first)
					for range 25 { // more than the ancestors that are remembered
						next := f.sibling(t).start(t)
						if err := next.ForceRefresh(t.Context()); err != nil {
							t.Fatal(err)
						}
						next.Stop()
						time.Sleep(time.Hour)
					}
					f.clean(t)
				})
			})
		}
	}
}

func TestStartWithANewLoginReplacesTheSavedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Stop()
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		f.serve(t, login)
		if f.saved(t).RefreshToken != login.RefreshToken {
			t.Error("the new login is not saved")
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestStartWithAnOlderLoginKeepsTheSavedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Second)
		newer, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(f.store, "default")(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		f.start(t)
		f.serve(t, newer)
		f.clean(t)
	})
}

func TestStartWithoutTokensGoesOnWithTheSavedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := f.sibling(t).resume(t)
		next.serve(t, f.GetTokens())
		if next.GetLastRefreshAt().IsZero() {
			t.Error("the saved session's last refresh is not known")
		}
		f.clean(t)
	})
}

func TestStartWithoutTokensAndWithoutASessionNeedsALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		is(t, f.Start(t.Context(), nil), oauth.ErrLoginRequired)
		if f.IsRunning() {
			t.Error("it runs nevertheless")
		}
		f.start(t) // a failed start leaves nothing behind
		f.serve(t, f.first)
	})
}

func TestStartWithoutTokensReportsAStoreThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use)
		broken := errors.New("no such device")
		s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return broken } })
		err := f.Start(t.Context(), nil)
		is(t, err, broken)
		if errors.Is(err, oauth.ErrLoginRequired) {
			t.Error("an unreadable store was taken for a logout")
		}
	})
}

func TestStartWithoutARefresherIsMisconfigured(t *testing.T) {
	is(t, refresh.NewManager(refresh.Config{}).Start(t.Context(), &oauth.TokenPair{AccessToken: "a"}), oauth.ErrMisconfigured)
}

func TestStartTwiceIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		is(t, f.Start(t.Context(), f.first), refresh.ErrRunning)
		if !f.IsRunning() {
			t.Error("the refused start ended the run")
		}
	})
}

func TestF61_NewLoginIsSavedBeforeItIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.edit(func(s *faultyStore) {
			s.onSet = func(context.Context, *tokenstore.Record) error {
				time.Sleep(time.Second)
				if f.GetTokens().AccessToken != f.first.AccessToken {
					t.Error("the new login is shown while it is still being saved")
				}
				return nil
			}
		})
		if err := f.UpdateTokens(login); err != nil {
			t.Fatal(err)
		}
		f.serve(t, login)
		if n := s.deletes; n != 0 {
			t.Errorf("the old session was deleted %d times", n)
		}
	})
}

func TestF61_NewLoginThatCannotBeSavedIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.full(true)
		is(t, f.UpdateTokens(login), refresh.ErrUnsaved, errDiskFull)
		for range 120 {
			f.serve(t, login)
			time.Sleep(time.Second)
		}
		s.full(false)
		time.Sleep(minute + time.Second)
		f.serve(t, login)
		if f.saved(t).RefreshToken != login.RefreshToken {
			t.Error("the new login is not saved")
		}
		if st := f.GetRefreshStatus(); st.Unsaved {
			t.Errorf("unsaved: %s", st.SaveError)
		}
		f.clean(t)
	})
}

func TestF61_NewLoginThatIsRenewedBeforeItIsSavedIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.full(true)
		is(t, f.UpdateTokens(login), refresh.ErrUnsaved, errDiskFull)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		renewed := f.GetTokens()
		time.Sleep(2 * minute)
		f.serve(t, renewed)
		s.full(false)
		time.Sleep(minute + time.Second)
		f.serve(t, renewed)
		if f.saved(t).RefreshToken != renewed.RefreshToken {
			t.Error("the new login is not saved")
		}
		f.clean(t)
	})
}

func TestF61_NewLoginAtAStartWithABrokenStoreIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		f.Stop()
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.full(true)
		s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return errDiskFull } })
		next := f.sibling(t)
		if err := next.Start(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		next.serve(t, login)
		s.edit(func(s *faultyStore) { s.onGet = nil }) // it can be read before it can be written
		time.Sleep(2 * minute)
		next.serve(t, login)
		s.full(false)
		time.Sleep(minute + time.Second)
		next.serve(t, login)
		if next.saved(t).RefreshToken != login.RefreshToken {
			t.Error("the new login is not saved")
		}
		f.clean(t)
	})
}

func TestF61_NewLoginReplacesTheTokensOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: map[string]string{"alice": "a", "bob": "b"}}).start(t)
		api := f.Resource("https://api.example")
		before, err := api.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		login, err := f.server.Login("bob")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(login); err != nil {
			t.Fatal(err)
		}
		after, err := api.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.AccessToken == before.AccessToken {
			t.Error("bob is logged in, and the resource is given alice's token")
		}
		f.clean(t)
	})
}

func TestF61_NewLoginElsewhereDuringARefreshReplacesTheTokensOfResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, withoutLocks).start(t)
		api := f.Resource("https://api.example")
		before, err := api.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(f.store, "default")(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		f.serve(t, login)
		after, err := api.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.AccessToken == before.AccessToken {
			t.Error("alice has logged in anew, and the resource is given a token of the old login")
		}
		f.clean(t)
	})
}

func TestUpdateTokensRefusesAPairWithoutTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		for _, pair := range []*oauth.TokenPair{nil, {}, {Scope: "profile"}} {
			if err := f.UpdateTokens(pair); err == nil {
				t.Errorf("%v was accepted", pair)
			}
		}
		f.serve(t, f.first)
	})
}
