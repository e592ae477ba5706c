package refresh_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A resource's token that is due is renewed behind its callers' backs, and not at each call: a
// server that is down would have the Store asked each time.
func TestCallersForAResourceDoNotAskTheStoreWhileTheServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingStore{Memory: new(tokenstore.Memory)}
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = s }).start(t)
		r := f.Resource("https://api.example.com")
		if _, err := r.TokenContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
		time.Sleep(11 * minute)
		s.gets.Store(0)
		s.stamps.Store(0)
		for range 6000 { // a hundred a second
			if _, err := r.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.gets.Load() + s.stamps.Load(); n > 60 {
			t.Errorf("the Store was asked %d times in a minute", n)
		}
		f.server.ClearScript()
		time.Sleep(2 * minute)
		_, _ = r.TokenContext(t.Context()) // has it renewed
		time.Sleep(time.Second)
		if pair, err := r.TokenContext(t.Context()); err != nil || time.Until(pair.ExpiresAt) < 10*minute {
			t.Errorf("%v, %v; want a new token", pair, err)
		}
	})
}
