package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

var twoUsers = map[string]string{"alice": "a", "bob": "b"}

// loginElsewhere makes a new login the saved session, as another process does.
func (f *fixture) loginElsewhere(t *testing.T, user string) *oauth.TokenPair {
	t.Helper()
	pair, err := f.server.Login(user)
	if err != nil {
		t.Fatal(err)
	}
	rec := &tokenstore.Record{Tokens: pair}
	if stored, err := f.store.Get(t.Context(), "default"); err == nil {
		rec.Version = stored.Version
	}
	if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestF23_AProcessKeepsTheAccountItStartedWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := new(failures)
		f := newFixture(t, oauthtest.Config{Users: twoUsers}, failed.use).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		mine := f.GetTokens()
		time.Sleep(time.Second)
		bob := f.loginElsewhere(t, "bob")
		time.Sleep(2 * minute)

		f.serve(t, mine) // while it lives
		f.inState(t, refresh.StateLoginRequired)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired, refresh.ErrOtherAccount)
		f.untilExpired()
		time.Sleep(10 * minute)
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired, refresh.ErrOtherAccount)
		if got := f.saved(t); got.AccessToken != bob.AccessToken {
			t.Error("bob's login did not stay")
		}
		if n := f.events.count(refresh.EventOtherAccount); n != 1 {
			t.Errorf("told %d times; want once", n)
		}
		if n := f.server.Refreshes(); n != 1 || len(failed.heard()) != 0 {
			t.Errorf("%d refreshes, failures %v; want the one from before, and none", n, failed.heard())
		}

		// When the account is back, so is the session.
		time.Sleep(time.Second)
		back := f.loginElsewhere(t, "alice")
		time.Sleep(minute + time.Second)
		f.serve(t, back)
		f.inState(t, refresh.StateValid)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}

		// Started anew, it works for whoever is logged in.
		time.Sleep(time.Second)
		bob = f.loginElsewhere(t, "bob")
		f.Stop()
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.serve(t, bob)
		f.loginElsewhere(t, "alice")
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateLoginRequired)
		f.serve(t, bob)
		f.clean(t)
	})
}

func TestF23_AnAccountThatComesBackUnchangedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: twoUsers}).start(t)
		synctest.Wait()
		before := f.record(t)
		time.Sleep(time.Second)
		f.loginElsewhere(t, "bob")
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateLoginRequired)
		before.Version = f.record(t).Version
		if _, err := f.store.Set(t.Context(), "default", before); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		time.Sleep(time.Hour)
		if _, err := f.TokenContext(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestF23_AnotherAccountAfterALogoutIsNotTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: twoUsers}).start(t)
		synctest.Wait()
		f.logout(t)
		time.Sleep(minute + time.Second)
		f.loginElsewhere(t, "bob")
		time.Sleep(minute + time.Second)
		_, err := f.TokenContext(t.Context())
		is(t, err, refresh.ErrOtherAccount)
		alice := f.loginElsewhere(t, "alice")
		time.Sleep(minute + time.Second)
		f.serve(t, alice)
		f.clean(t)
	})
}

// Alice's answer is under way while bob logs in: it must not overwrite his login,
// and her process goes on with what it got as long as that lives.
func TestF23_AnotherAccountDuringARefresh(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"the answer comes":         {Delay: 2 * time.Second},
		"the server is in trouble": {Delay: 2 * time.Second, Status: 503, RetryAfter: 90 * time.Second},
		"the answer is a verdict":  {Delay: 2 * time.Second, Status: 400, Body: `{"error":"invalid_grant"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := new(failures)
				f := newFixture(t, oauthtest.Config{Users: twoUsers}, failed.use).start(t)
				f.server.Script(fault)
				done := make(chan error, 1)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				bob := f.loginElsewhere(t, "bob")
				<-done
				time.Sleep(2 * minute)
				f.inState(t, refresh.StateLoginRequired)
				if got := f.saved(t); got.AccessToken != bob.AccessToken {
					t.Error("bob's login did not stay")
				}
				if pair, err := f.TokenContext(t.Context()); err != nil || !pair.SameAccount(f.first) {
					t.Errorf("alice's process has %v, %v", pair, err)
				} else if fault.Status == 0 && pair.AccessToken == f.first.AccessToken {
					t.Error("the answer to alice's refresh was thrown away")
				}
				if n := f.events.count(refresh.EventOtherAccount); n != 1 || len(failed.heard()) != 0 {
					t.Errorf("told %d times of another account, and of %v; want once, and nothing", n, failed.heard())
				}
				f.clean(t)
			})
		})
	}
}

func TestF23_TheProgramItselfMayChangeTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: twoUsers}).start(t)
		bob, err := f.server.Login("bob")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(bob); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if pair, err := f.TokenContext(t.Context()); err != nil || !pair.SameAccount(bob) {
			t.Errorf("%v, %v; want bob's", pair, err)
		}
		f.clean(t)
	})
}

// The program logs in as alice where somebody else had logged in as bob, and the
// disk is full just then.
func TestF23_ALoginOfTheProgramIsSavedOverAnotherAccountLaterOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{Users: twoUsers}, s.use).start(t)
		synctest.Wait()
		f.loginElsewhere(t, "bob")
		time.Sleep(minute + time.Second)
		alice, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.full(true)
		is(t, f.UpdateTokens(alice), refresh.ErrUnsaved)
		f.serve(t, alice)
		time.Sleep(3 * minute)
		s.full(false)
		time.Sleep(2 * minute)
		f.serve(t, alice)
		if got := f.saved(t); got.AccessToken != alice.AccessToken {
			t.Error("the login of the program was not saved")
		}
		f.clean(t)
	})
}
