package refresh_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A stuckTokenStore ignores its context, and does not return before it is freed.
type stuckTokenStore struct {
	free chan struct{}

	mu     sync.Mutex // guards what follows
	calls  int
	inside int
	saved  string // refresh token
}

func (s *stuckTokenStore) save(t *testing.T) refresh.TokenStoreFunc {
	return func(_ context.Context, pair *oauth.TokenPair) error {
		s.count(t, 1)
		<-s.free
		s.count(t, -1)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.saved = pair.RefreshToken
		return nil
	}
}

func (s *stuckTokenStore) count(t *testing.T, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls += max(more, 0); s.inside+more > 1 {
		t.Error("TokenStore is called while it has not returned")
	}
	s.inside += more
}

func (s *stuckTokenStore) is(t *testing.T, calls int, saved string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls != calls || s.saved != saved {
		t.Errorf("%d calls, the newest pair saved: %t; want %d and that it is", s.calls, s.saved == saved, calls)
	}
}

// A function that does not return keeps no caller from the token, nor Stop, and is not
// called a second time meanwhile.
func TestLaw2_ATokenStoreThatDoesNotReturn(t *testing.T) {
	for name, tt := range map[string]struct {
		renewals, calls int // calls at the end
		stops           bool
	}{
		"and then saves": {1, 1, false},
		"and then saves a pair that was replaced": {2, 2, false},
		"before the end": {1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stuckTokenStore{free: make(chan struct{})}
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.Store, cfg.TokenStore = nil, s.save(t)
				}).start(t)
				for range tt.renewals {
					before := f.GetTokens()
					ends(t, "ForceRefresh", 12*time.Second, func() {
						if err := f.ForceRefresh(t.Context()); err != nil {
							t.Error(err)
						}
					})
					if f.GetTokens().AccessToken == before.AccessToken {
						t.Error("the new token is not shown")
					}
				}
				renewed := f.GetTokens()
				ends(t, "TokenContext", time.Second, func() { f.serve(t, renewed) })
				time.Sleep(2 * minute)
				if st := f.GetRefreshStatus(); !st.Unsaved {
					t.Errorf("status %+v; want unsaved", st)
				}
				s.is(t, 1, "")
				if tt.stops {
					ends(t, "Stop", time.Second, f.Stop)
				}
				close(s.free)
				time.Sleep(minute + time.Second)
				s.is(t, tt.calls, renewed.RefreshToken)
				if st := f.GetRefreshStatus(); st.Unsaved != tt.stops {
					t.Errorf("status %+v; want unsaved: %t", st, tt.stops)
				}
				f.clean(t)
			})
		})
	}
}
