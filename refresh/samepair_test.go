package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A program may hand the session's own pair back, as one does that keeps a copy in a file. It
// is no login: the refresh under way goes on, and its token is not sent again.
func TestTheSessionsOwnPairIsNoLogin(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"before the token is spent": {Delay: 3 * time.Second},
		"after it":                  {Delay: 3 * time.Second, AfterCommit: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{}, told.use).start(t)
				f.server.Script(fault)
				go func() { _ = f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				own := f.GetTokens()
				if name == "after it" { // as read from a file that keeps less
					own = &oauth.TokenPair{AccessToken: "edited", RefreshToken: own.RefreshToken, ExpiresAt: own.ExpiresAt, IssuedAt: own.IssuedAt}
				}
				if err := f.UpdateTokens(own); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Hour)
				f.inState(t, refresh.StateValid)
				if heard := told.heard(); len(heard) > 0 {
					t.Errorf("told %v", heard)
				}
				f.clean(t)
			})
		})
	}
}

// Nor is an earlier one of the session, whose refresh token is spent. One of another grant is,
// although it is older.
func TestAnEarlierPairOfTheSessionIsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		users := map[string]string{"alice": oauthtest.DefaultPassword, "bob": oauthtest.DefaultPassword}
		f := newFixture(t, oauthtest.Config{Users: users}, told.use)
		other, err := f.server.Login("bob")
		if err != nil {
			t.Fatal(err)
		}
		f.start(t)
		time.Sleep(time.Hour)
		if err := f.UpdateTokens(f.first); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour)
		f.inState(t, refresh.StateValid)
		if err := f.UpdateTokens(other); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		f.inState(t, refresh.StateValid)
		if n := f.server.Sessions("bob"); n != 1 || f.GetTokens().GrantedAt != other.GrantedAt {
			t.Errorf("the session is not the other account's (%d sessions)", n)
		}
		if heard := told.heard(); len(heard) > 0 {
			t.Errorf("told %v", heard)
		}
		f.clean(t)
	})
}

// A program whose Reauthenticate has nothing but the pair that has ended is told once, and the
// server is asked about it once.
func TestF40_ReauthenticateWithThePairThatHasEndedIsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		var f *fixture
		f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { told++; return true }
			cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
				time.Sleep(10 * time.Millisecond)
				return f.first.Clone(), nil
			}
		})
		f.start(t)
		f.server.EndUser("alice")
		time.Sleep(time.Hour)
		f.inState(t, refresh.StateLoginRequired)
		if n := f.events.count(refresh.EventReauthenticateFailed); told != 1 || n != 1 || f.requests() > 2 {
			t.Errorf("told %d times, %d logins failed, %d requests; want 1, 1, and 2 at most", told, n, f.requests())
		}
	})
}
