package refresh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A look that began before the Store could be heard may have seen the state before.
func TestALookAmidTheNoticeOfAnySessionIsRepeated(t *testing.T) {
	siblings(t, func(t *testing.T, f *fixture, spender, sibling *view, other *refresh.Manager) {
		sibling.stampTakes.Store(int64(5 * time.Second))
		sibling.heard <- tokenstore.Change{}
		time.Sleep(time.Second)
		fresh, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(&spender.hub.Memory, "alice")(t.Context(), fresh); err != nil { // nobody is told
			t.Fatal(err)
		}
		sibling.heard <- tokenstore.Change{}
		time.Sleep(20 * time.Second)
		if got := other.GetTokens(); got.AccessToken != fresh.AccessToken {
			t.Error("what was written while it looked, and nobody heard, was not adopted")
		}
	})
}

// Looks are rare only while the Store is heard, and not until those that were planned
// meanwhile are over.
func TestLooksAreNotRareAnyMoreFromTheMomentThatNothingIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTellingStore()
		c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, func(cfg *refresh.PoolConfig) { cfg.Store = store })
		c.store = store
		c.rested(t, "alice")
		time.Sleep(2 * minute)
		store.deaf.Store(true)
		before := store.stamps.Load()
		store.broken <- struct{}{}
		time.Sleep(minute)
		if n := store.stamps.Load() - before; n != 1 {
			t.Errorf("%d looks in the first minute after the connection was lost; want 1", n)
		}
		time.Sleep(10 * minute)
		if n := store.stamps.Load() - before; n < 10 {
			t.Errorf("%d looks in eleven minutes without notices; want eleven", n)
		}
	})
}

// A connection that is lost each time it is made must not have all sessions looked at
// each time.
func TestAStoreThatIsHeardForAMomentOnlyIsListenedToSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := new(hub).view()
		c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, func(cfg *refresh.PoolConfig) { cfg.Store = v })
		c.store = v
		c.rested(t, "alice")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for {
				select {
				case v.broken <- errors.New("connection lost"):
				case <-ctx.Done():
					return
				}
			}
		}()
		time.Sleep(10 * minute)
		before := v.stamps.Load()
		time.Sleep(100 * minute)
		if n := v.stamps.Load() - before; n < 100 || n > 420 {
			t.Errorf("%d looks in a hundred minutes; want a few hundred", n)
		}
	})
}
