package refresh_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A process that is stopped in the middle of a spend loses its lock, and somebody else
// renews the session. What the process is told when it goes on, that its request has
// never left, is about a pair of the past.
func TestAFailureOfAPairThatIsSupersededIsNotTheNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(tokenstore.Memory)
		pairAt := func(refreshToken string) *oauth.TokenPair {
			now := time.Now()
			return &oauth.TokenPair{AccessToken: "of " + refreshToken, RefreshToken: refreshToken, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
		}
		var spends atomic.Int32
		m := refresh.NewManager(refresh.Config{Store: store, OAuthClient: refresh.RefresherFunc(func(ctx context.Context, _ *oauth.TokenPair) (*oauth.TokenPair, error) {
			spends.Add(1)
			rec, err := store.Get(ctx, "default")
			if err != nil {
				return nil, err
			}
			rec = rec.Clone()
			rec.Supersede(pairAt("second"))
			if _, err := store.Set(ctx, "default", rec); err != nil {
				return nil, err
			}
			return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient}
		})})
		if err := m.Start(t.Context(), pairAt("first")); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Errorf("ForceRefresh: %v; somebody else has renewed the session", err)
		}
		if got := m.GetTokens().RefreshToken; got != "second" {
			t.Errorf("the manager holds %q; want the pair that was saved meanwhile", got)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n, status := spends.Load(), m.GetRefreshStatus(); n != 1 || status.State != refresh.StateValid {
			t.Errorf("%d spends, state %s; want 1, valid: the new pair has half its life before it", n, status.State)
		}
	})
}
