package refresh_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// graces are the ways in which servers accept a spent refresh token once more.
func graces() map[string]oauthtest.Config {
	return map[string]oauthtest.Config{
		"the same answer":                         {Grace: minute, Quirks: oauthtest.Quirks{GraceRepeats: true}},
		"the same successor, a new access token":  {Grace: minute},
		"another successor, the newest lives":     {Grace: minute, ForkSuccessors: true},
		"until the access token is used":          {Quirks: oauthtest.Quirks{GraceUntilUse: true}},
		"until the access token is used, forking": {ForkSuccessors: true, Quirks: oauthtest.Quirks{GraceUntilUse: true}},
	}
}

func forEachGrace(t *testing.T, test func(t *testing.T, server oauthtest.Config)) {
	for name, server := range graces() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, server) })
		})
	}
}

func TestLostAnswersAreSurvivedWithEveryKindOfGrace(t *testing.T) {
	forEachGrace(t, func(t *testing.T, server oauthtest.Config) {
		var told failures
		f := newFixture(t, server, told.use).start(t)
		for range 12 { // two lost answers at each renewal, and requests in between
			f.server.Script(lostAnswer, lostAnswer)
			f.untilExpired()
			f.mustCall(t)
		}
		f.inState(t, refresh.StateValid)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		f.clean(t)
	})
}

// Another tool renews the same session at the same time, without the lock. Of
// the two answers, whichever is saved last must be one that lives on.
func TestRefreshBesideAToolWithoutTheLockIsSurvivedWithEveryKindOfGrace(t *testing.T) {
	forEachGrace(t, func(t *testing.T, server oauthtest.Config) {
		var told failures
		f := newFixture(t, server, told.use).start(t)
		for range 3 {
			f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, AfterCommit: true})
			done := make(chan error)
			go func() { done <- f.ForceRefresh(t.Context()) }()
			time.Sleep(time.Second)
			f.renewElsewhere(t)
			if err := <-done; err != nil {
				t.Errorf("a refresh that was overtaken: %v", err)
			}
			time.Sleep(2 * minute)
			f.mustCall(t)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
	})
}

// Without grace and without reuse detection the loser of a race is told that the
// grant is invalid, although the session lives with the winner.
func TestLoserWhoIsToldInvalidGrantGoesOnWithTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, told.use).start(t)
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second}) // ours comes second
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		winner := f.renewElsewhere(t)
		if err := <-done; err != nil {
			t.Errorf("the loser: %v; want none, the session is well", err)
		}
		f.serve(t, winner)
		if n := f.events.count(refresh.EventAdopted); n != 1 {
			t.Errorf("%d adoptions; want 1", n)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
	})
}

// A process has died before it could save, and the next one comes when the access
// token that it had been given is dead already: the answer is 200, and says so.
func TestRepeatedAnswerWithANegativeLifeLeadsToTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{
			AccessTokenLifetime: 10 * time.Second, Grace: minute, Quirks: oauthtest.Quirks{GraceRepeats: true},
		})
		crash(t, f)
		time.Sleep(13 * time.Second)
		f.resume(t)
		pair, err := f.TokenContext(t.Context())
		if err != nil || !time.Now().Before(pair.ExpiresAt) {
			t.Fatalf("got %v, %v; want a living token", pair, err)
		}
		f.mustCall(t)
		if n := f.server.Rejected(); n != 0 {
			t.Errorf("%d requests with a dead token", n)
		}
		f.clean(t)
	})
}

// Six processes find the token due in the same instant. At some servers all six
// would be given tokens of which one is good, at others the losers' requests would
// end the winner's session.
func TestSixRefreshesAtOnceAreOne(t *testing.T) {
	for name, server := range map[string]oauthtest.Config{
		"all but one answer is bad": {Grace: minute, ForkSuccessors: true},
		"losers end the session":    {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, server).start(t)
				six := []*fixture{f}
				for range 5 {
					six = append(six, f.sibling(t).resume(t))
				}
				synctest.Wait()
				f.server.Script(oauthtest.Fault{Delay: time.Second, Times: 6})
				var processes sync.WaitGroup
				for _, process := range six {
					processes.Go(func() {
						if err := process.ForceRefresh(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				processes.Wait()
				time.Sleep(minute)
				for _, process := range six {
					process.mustCall(t)
				}
				if n := f.requests(); n != 1 {
					t.Errorf("%d requests; want 1", n)
				}
				f.clean(t)
			})
		})
	}
}

// One refresh token for each user and client: a login on a second device ends the
// first one's, which looks like reuse there. The first hears once, keeps its pair,
// and does not end the second by trying on.
func TestLoginOnASecondDeviceEndsTheFirstOnlyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{SingleSession: true}, told.use).start(t)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		second := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig())})
		if err := second.Start(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		defer second.Stop()
		time.Sleep(24 * time.Hour)
		f.inState(t, refresh.StateLoginRequired)
		if n := len(told.heard()); n != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once", n)
		}
		if f.saved(t).RefreshToken != f.first.RefreshToken {
			t.Error("the pair is gone")
		}
		if _, err := second.TokenContext(t.Context()); err != nil {
			t.Errorf("the second device: %v", err)
		}
		f.clean(t)
	})
}
