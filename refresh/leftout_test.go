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

// What is heard while a refresh has the turn cannot be looked at. The refresh has read
// the Store before; a logout that comes after that is followed when it is over.
func TestALookThatARefreshLeavesOutIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTellingStore()
		var saving func() // while the pair is saved elsewhere
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.Store = store
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error {
				if saving != nil {
					saving()
				}
				return nil
			}
		}).start(t)
		time.Sleep(time.Second)
		saving = func() {
			rec, err := store.Memory.Get(t.Context(), "default")
			if err != nil {
				t.Error(err)
				return
			}
			if err := store.Memory.Delete(t.Context(), "default", rec.Version); err != nil {
				t.Error(err)
			}
			store.written <- "default"
			time.Sleep(5 * time.Second)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if state := f.GetRefreshStatus().State; state != refresh.StateLoggedOut {
			t.Errorf("after the refresh the session is %q; want the logout followed that came meanwhile", state)
		}
		f.clean(t)
	})
}

// A refresh that succeeds has seen all there is to see.
func TestARefreshThatSucceedsNeedsNoLookAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		time.Sleep(10 * time.Second)
		before := f.events.count(refresh.EventChecked)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := f.events.count(refresh.EventChecked) - before; n != 0 {
			t.Errorf("%d looks right after it", n)
		}
		time.Sleep(time.Hour)
		if n := f.server.Refreshes(); n < 5 || n > 7 {
			t.Errorf("%d refreshes in an hour of tokens of 15 minutes", n)
		}
		f.mustCall(t)
		f.served(t)
		f.clean(t)
	})
}

// What a refresh brings may want attention before the next look that was planned.
func TestARefreshBringsTheNextLookForward(t *testing.T) {
	t.Run("a shorter token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			time.Sleep(10 * time.Second)
			f.server.Script(oauthtest.Fault{ExpiresIn: "30"})
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(25 * time.Second)
			if n := f.server.Refreshes(); n != 2 {
				t.Errorf("%d refreshes; want a second one before the new token's end", n)
			}
			f.clean(t)
		})
	})
	t.Run("a pair that is not saved", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newFaultyStore()
			f := newFixture(t, oauthtest.Config{}, store.use).start(t)
			time.Sleep(10 * time.Second)
			store.full(true)
			_ = f.ForceRefresh(t.Context())
			store.full(false)
			time.Sleep(5 * time.Second)
			if f.saved(t).AccessToken != f.GetTokens().AccessToken {
				t.Error("five seconds after the disk has room again the new pair is not saved")
			}
			f.clean(t)
		})
	})
}
