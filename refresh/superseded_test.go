package refresh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A process that is stopped in the middle of a spend loses its lock, and somebody else
// renews the session. What the process is told when it goes on is about a pair of the
// past: that its request has never left, or that the server wants to be left alone.
func TestAFailureOfAPairThatIsSupersededIsNotTheNewOnes(t *testing.T) {
	wait := time.Date(2000, 1, 1, 0, 10, 0, 0, time.UTC) // ten minutes into a bubble
	refusal := oauth.Error{Kind: oauth.ErrTransient, Sent: true, Status: 400}
	for name, fails := range map[string][]oauth.Error{
		"not sent":                    {{Kind: oauth.ErrTransient}},
		"an outage":                   {{Kind: oauth.ErrTransient, Sent: true, Status: 500}},
		"asked to wait":               {{Kind: oauth.ErrTransient, Sent: true, Status: 429, RetryAt: wait}},
		"asked to wait by a gateway":  {{Kind: oauth.ErrTransient, Sent: true, Status: 502, RetryAt: wait}},
		"refused":                     {refusal},
		"refused after a lost answer": {{Kind: oauth.ErrTransient, Sent: true}, refusal},
		"misconfigured":               {{Kind: oauth.ErrMisconfigured, Sent: true, Status: 401, Code: "invalid_client"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { overtaken(t, fails) })
		})
	}
}

// overtaken has attempts fail one after the other, and somebody else save a new pair
// during the last one.
func overtaken(t *testing.T, fails []oauth.Error) {
	store, spends := new(tokenstore.Memory), 0
	pairAt := func(refreshToken string) *oauth.TokenPair {
		now := time.Now()
		return &oauth.TokenPair{AccessToken: "of " + refreshToken, RefreshToken: refreshToken, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	m := refresh.NewManager(refresh.Config{Store: store, OAuthClient: refresh.RefresherFunc(func(ctx context.Context, _ *oauth.TokenPair) (*oauth.TokenPair, error) {
		fail := fails[min(spends, len(fails)-1)]
		fail.Op = "refresh"
		if spends++; spends != len(fails) {
			return nil, &fail
		}
		rec, err := store.Get(ctx, "default")
		if err != nil {
			return nil, err
		}
		rec.Supersede(pairAt("second"))
		_, err = store.Set(ctx, "default", rec)
		return nil, errors.Join(err, &fail)
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
	if status := m.GetRefreshStatus(); spends != len(fails) || status.State != refresh.StateValid {
		t.Errorf("%d spends, state %s; want %d, valid: the new pair has half its life before it", spends, status.State, len(fails))
	}
}
