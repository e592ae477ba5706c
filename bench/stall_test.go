package bench_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkTokenDuringRefresh hands out a token that lives four more minutes, in
// a session that refreshes five minutes ahead, while the server is slow.
//
// For evertoken and cloud-auth the server does not answer at all: one refresh
// hangs during the whole run. x/oauth2 would hang with it, since a source that is
// told to refresh early does so in the caller's time; so for x/oauth2 the server
// answers after slowAnswer, which is what each caller is seen to wait.
func BenchmarkTokenDuringRefresh(b *testing.B) { measure(b, dueSessions()) }

const (
	slowAnswer = 10 * time.Millisecond
	ahead      = 5 * time.Minute
	stillAlive = 4 * time.Minute
)

func dueSessions() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			h := newHanging(tb)
			m := refresh.NewManager(refresh.Config{
				RefreshThreshold: ahead,
				OAuthClient: refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
					return nil, h.wait()
				}),
			})
			pair := livingPair()
			pair.IssuedAt, pair.ExpiresAt = time.Time{}, time.Now().Add(stillAlive)
			if err := m.Start(context.Background(), pair); err != nil {
				tb.Fatal(err)
			}
			h.thenStop = m.Stop // waits for the refresh, so it cannot be a Cleanup before h's
			<-h.begun
			return tokenOf(m)
		}},
		{xoauth2, func(testing.TB) op {
			token := livingPair().OAuth2()
			token.Expiry = time.Now().Add(stillAlive)
			return tokenOf(oauth2.ReuseTokenSourceWithExpiry(token, slowSource{token}, ahead))
		}},
		{cloudAuth, func(tb testing.TB) op {
			h, first := newHanging(tb), true
			provider := auth.NewCachedTokenProvider(providerFunc(func(context.Context) (*auth.Token, error) {
				if first { // called by the op below; the refresh comes after it
					first = false
					return &auth.Token{Value: livingPair().AccessToken, Expiry: time.Now().Add(stillAlive)}, nil
				}
				return nil, h.wait()
			}), &auth.CachedTokenProviderOptions{ExpireEarly: ahead})
			work := providedBy(provider)
			mustWork(tb, work) // obtains the token
			mustWork(tb, work) // finds it due
			<-h.begun
			return work
		}},
	}
}

// slowSource takes slowAnswer for a token that is due again at once.
type slowSource struct{ token *oauth2.Token }

func (s slowSource) Token() (*oauth2.Token, error) {
	time.Sleep(slowAnswer)
	return s.token, nil
}

// hanging is a server that answers nobody before the benchmark ends.
type hanging struct {
	begun    chan struct{} // closed when somebody asks
	once     sync.Once
	over     chan struct{}
	answered atomic.Bool
	thenStop func()
}

func newHanging(tb testing.TB) *hanging {
	h := &hanging{begun: make(chan struct{}), over: make(chan struct{}), thenStop: func() {}}
	tb.Cleanup(func() {
		if h.answered.Load() {
			tb.Error("the refresh was over before the benchmark")
		}
		close(h.over)
		h.thenStop()
	})
	return h
}

func (h *hanging) wait() error {
	h.once.Do(func() { close(h.begun) })
	<-h.over
	h.answered.Store(true)
	return errors.New("bench: the server never answered")
}

func TestOnlyXOAuth2MakesCallersWaitForARefreshTheyDoNotNeed(t *testing.T) {
	want := map[string]time.Duration{evertoken: 0, xoauth2: slowAnswer, cloudAuth: 0}
	for _, c := range dueSessions() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				work := c.open(t)
				for range 3 {
					begun := time.Now()
					if got := mustWork(t, work); got != livingPair().AccessToken {
						t.Error("got another token than the session's")
					}
					if waited := time.Since(begun); waited != want[c.name] {
						t.Errorf("the caller waited %v; want %v", waited, want[c.name])
					}
				}
			})
		})
	}
}
