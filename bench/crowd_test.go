package bench_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// BenchmarkCrowdAtExpiry opens a session whose access token has died, has 100
// goroutines ask it for a token at the same time, and ends it. requests/op is
// what that costs the server.
func BenchmarkCrowdAtExpiry(b *testing.B) {
	for _, c := range crowds() {
		b.Run(c.name, func(b *testing.B) {
			server := new(endpoint)
			work := c.with(server.service())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := work(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(server.requests.Load())/float64(b.N), "requests/op")
		})
	}
}

const callers = 100

// A crowd is one library's way to serve many callers at once.
type crowd struct {
	name string
	with func(s service) op
}

func crowds() []crowd {
	return []crowd{
		{evertoken, func(s service) op {
			client := s.evertoken()
			return func() (string, error) {
				m := refresh.NewManager(refresh.Config{OAuthClient: client})
				if err := m.Start(context.Background(), &oauth.TokenPair{RefreshToken: "first"}); err != nil {
					return "", err
				}
				defer m.Stop()
				return allAsk(tokenOf(m))
			}
		}},
		{xoauth2, func(s service) op {
			ctx, cfg := s.xoauth2()
			return func() (string, error) {
				return allAsk(tokenOf(cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: "first"})))
			}
		}},
		{cloudAuth, func(s service) op {
			return func() (string, error) {
				provider, err := s.cloudAuth("first")
				if err != nil {
					return "", err
				}
				return allAsk(providedBy(provider))
			}
		}},
	}
}

// allAsk does the work in many goroutines at once and returns the token they got,
// which has to be the same.
func allAsk(work op) (string, error) {
	var (
		wg     sync.WaitGroup
		tokens [callers]string
		errs   [callers]error
		begin  = make(chan struct{})
	)
	for i := range callers {
		wg.Go(func() {
			<-begin
			tokens[i], errs[i] = work()
		})
	}
	close(begin)
	wg.Wait()
	for _, token := range tokens {
		if token != tokens[0] {
			return "", errors.Join(errors.New("bench: callers got different tokens"), errors.Join(errs[:]...))
		}
	}
	return tokens[0], errors.Join(errs[:]...)
}

func TestACrowdAtExpiryCostsOneRequest(t *testing.T) {
	for _, c := range crowds() {
		t.Run(c.name, func(t *testing.T) {
			server := new(endpoint)
			mustWork(t, c.with(server.service()))
			if got := server.requests.Load(); got != 1 {
				t.Errorf("%d callers caused %d requests; want 1", callers, got)
			}
		})
	}
}

// holders is how many programs hold the same saved session in the tests below.
const holders = 8

func TestHoldersOfOneSavedSessionRefreshItOnce(t *testing.T) {
	server := newServer()
	store := new(tokenstore.Memory)
	client := serviceOf(server).evertoken()
	saved := &oauth.TokenPair{RefreshToken: loginRefreshToken(t, server)}
	if _, err := store.Set(t.Context(), "default", &tokenstore.Record{Tokens: saved}); err != nil {
		t.Fatal(err)
	}
	var sources []op
	for range holders {
		sources = append(sources, tokenOf(start(t, refresh.Config{OAuthClient: client, Store: store}, nil)))
	}
	if failed := askEach(sources); failed != 0 {
		t.Errorf("%d of %d holders got no token", failed, holders)
	}
	if server.Refreshes() != 1 || server.Requests(oauthtest.TokenEndpoint) != 1 || server.Sessions("alice") != 1 {
		t.Errorf("%d refreshes with %d requests, and %d sessions left; want 1 each",
			server.Refreshes(), server.Requests(oauthtest.TokenEndpoint), server.Sessions("alice"))
	}
}

// What the same programs come to with x/oauth2, which has nothing to coordinate
// them with: this is why the comparison above has no number.
func TestHoldersOfOneSavedSessionLoseItWithXOAuth2(t *testing.T) {
	server := newServer()
	ctx, cfg := serviceOf(server).xoauth2()
	refreshToken := loginRefreshToken(t, server)
	var sources []op
	for range holders {
		sources = append(sources, tokenOf(cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken})))
	}
	if failed := askEach(sources); failed != holders-1 {
		t.Errorf("%d of %d holders got no token; want all but one", failed, holders)
	}
	if got := server.Sessions("alice"); got != 0 {
		t.Errorf("%d sessions left; want the server to have ended it", got)
	}
}

// askEach asks all sources at once and returns how many failed.
func askEach(sources []op) (failed int) {
	var wg sync.WaitGroup
	errs := make([]error, len(sources))
	for i, work := range sources {
		wg.Go(func() { _, errs[i] = work() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	return failed
}
