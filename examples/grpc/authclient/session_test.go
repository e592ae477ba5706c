package authclient_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestSessionIsRenewedThroughThreeExpiries(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		for n := range 3 {
			before := f.GetTokens()
			time.Sleep(12 * minute)
			after := f.GetTokens()
			if after.AccessToken == before.AccessToken || after.RefreshToken == before.RefreshToken {
				t.Errorf("refresh %d has not renewed both tokens", n+1)
			}
			f.alive(t)
		}
		if n := f.refreshes(); n != 3 {
			t.Errorf("%d refreshes; want 3", n)
		}
	})
}

func TestOutageIsNoLogout(t *testing.T) {
	for name, away := range map[string]func(f *fixture) (back func()){
		"host down": func(f *fixture) func() {
			f.host.Down()
			return f.host.Up
		},
		"backend down": func(f *fixture) func() {
			f.script(oauthtest.Fault{Status: 503, HTML: true, Times: -1})
			return func() { f.backend.ClearScript() }
		},
		"backend hangs": func(f *fixture) func() {
			f.script(oauthtest.Fault{Hang: true, Times: -1})
			return func() { f.backend.ClearScript() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				back := away(f)
				time.Sleep(3 * time.Hour)
				if _, err := f.TokenContext(t.Context()); !errors.Is(err, oauth.ErrTransient) {
					t.Errorf("in the outage: %v; want ErrTransient", err)
				}
				back()
				time.Sleep(15 * minute) // a request that hangs is waited for, and gRPC itself waits before it connects again
				if state := f.GetRefreshStatus().State; state != refresh.StateValid {
					t.Errorf("state %v; want valid", state)
				}
				f.alive(t)
			})
		})
	}
}

func TestLostAnswerIsAskedForAgain(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"to the front":  {AfterCommit: true, Reset: true},
		"by a proxy":    {AfterCommit: true, Status: 503, HTML: true},
		"in the middle": {CutBody: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{Grace: minute}, func(t *testing.T, f *fixture) {
				f.script(fault)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				if n := f.refreshes(); n != 2 {
					t.Errorf("%d requests; want 2", n)
				}
				f.alive(t)
			})
		})
	}
}

func TestAnswerLostWithTheConnectionIsAskedForAgain(t *testing.T) {
	bubble(t, oauthtest.Config{Grace: minute}, func(t *testing.T, f *fixture) {
		f.script(oauthtest.Fault{AfterCommit: true, Hang: true})
		done := make(chan error, 1)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		synctest.Wait() // until the backend has done its work
		f.host.Down()
		f.host.Up()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.alive(t)
	})
}

func TestReuseByAThiefEndsTheSessionOnce(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		time.Sleep(12 * minute)
		if _, err := f.auth.Refresh(t.Context(), f.first); !errors.Is(err, oauth.ErrTokenReused) {
			t.Errorf("the thief: %v; want ErrTokenReused", err)
		}
		time.Sleep(2 * time.Hour)
		if told := f.told(); len(told) != 1 || !errors.Is(told[0], oauth.ErrLoginRequired) {
			t.Errorf("OnRefreshFail heard %v; want ErrLoginRequired, once", told)
		}
		if n := f.refreshes(); n != 3 { // ours, the thief's, and the one that was told
			t.Errorf("%d requests; want 3", n)
		}
		if mistakes := f.backend.Audit(); len(mistakes) != 1 || mistakes[0].Kind != oauthtest.SpentTwice {
			t.Errorf("the auditor saw %v; want the thief alone", mistakes)
		}
	})
}

func TestManagersThatShareAFileSpendOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, oauthtest.Config{}, store)
		second := f.manager(t)
		if err := errors.Join(f.Start(t.Context(), f.first), second.Start(t.Context(), nil)); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			time.Sleep(12 * minute)
			if one, other := f.GetTokens(), second.GetTokens(); one.AccessToken != other.AccessToken {
				t.Errorf("after %d expiries the managers have different tokens", n+1)
			}
		}
		if n := f.refreshes(); n != 3 {
			t.Errorf("%d refreshes; want 3", n)
		}
		f.alive(t)
	})
}
