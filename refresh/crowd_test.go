package refresh_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A crowd that never stops asking, through rotations of short tokens: the bubble's
// time is exact, so must be what is served.
func TestCrowdIsNeverServedADeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 5 * time.Second}).start(t)
		api := f.Resource("https://api.example")
		doors := []func(context.Context) (*oauth.TokenPair, error){f.TokenContext, api.TokenContext}
		var crowd sync.WaitGroup
		for i := range 8 {
			crowd.Go(func() {
				for n := range 4_000 {
					pair, err := doors[n%2](t.Context())
					if err != nil || !pair.ExpiresAt.After(time.Now()) {
						t.Errorf("at %v: %v, error %v", time.Now(), pair, err)
						return
					}
					if n%10 == 0 {
						time.Sleep(3*time.Millisecond + time.Duration(i))
					}
				}
			})
		}
		crowd.Wait()
		f.clean(t)
	})
}

// Whoever asks often must not miss the moment when a resource's token is due: it
// is renewed behind the callers, well before its end.
func TestResourceIsRenewedBehindACrowdThroughEveryDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 15 * time.Second}).start(t)
		f.server.Script(oauthtest.Fault{Delay: time.Second, Times: -1})
		api := f.Resource("https://api.example")
		var carried string
		transport := api.Transport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			carried = r.Header.Get("Authorization")
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}))
		req, _ := post(t, "https://api.example/")
		for _, call := range []func() error{
			func() error { _, err := api.TokenContext(t.Context()); return err },
			func() error { _, err := transport.RoundTrip(req); return err }, //nolint:bodyclose // has none
		} {
			if err := call(); err != nil { // the first one waits
				t.Fatal(err)
			}
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(3 * time.Millisecond) {
				begun := time.Now()
				for range 30 {
					if err := call(); err != nil {
						t.Fatal(err)
					}
				}
				if waited := time.Since(begun); waited != 0 {
					t.Fatalf("callers waited %v although a living token could be renewed in time", waited)
				}
			}
		}
		if pair, err := api.TokenContext(t.Context()); err != nil || carried != "Bearer "+pair.AccessToken {
			t.Errorf("the request did not carry the resource's token (%v)", err)
		}
		f.clean(t)
	})
}
