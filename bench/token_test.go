package bench_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkToken hands out a token that is valid. For evertoken and x-oauth2 it is
// the call of an oauth2.TokenSource.
func BenchmarkToken(b *testing.B) { measure(b, tokenSources()) }

// BenchmarkTokenParallel does so on eight goroutines.
func BenchmarkTokenParallel(b *testing.B) { measureParallel(b, tokenSources()) }

// BenchmarkTokenContext hands out a token that is valid to a caller with a
// context. x/oauth2 knows no such call; its nearest is Token.
func BenchmarkTokenContext(b *testing.B) { measure(b, contextSources()) }

func tokenSources() []contender {
	list := []contender{
		{evertoken, func(tb testing.TB) op {
			return tokenOf(start(tb, refresh.Config{OAuthClient: neverRefresh}, livingPair()))
		}},
		livingFloor,
		livingXOAuth2,
	}
	for _, c := range caches() {
		if c.name != evertoken && c.name != xoauth2 {
			list = append(list, living(c))
		}
	}
	return list
}

func contextSources() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			m, ctx := start(tb, refresh.Config{OAuthClient: neverRefresh}, livingPair()), context.Background()
			return func() (string, error) {
				pair, err := m.TokenContext(ctx)
				if err != nil {
					return "", err
				}
				return pair.AccessToken, nil
			}
		}},
		livingFloor,
		livingXOAuth2,
	}
}

var (
	livingFloor = contender{floor, func(testing.TB) op {
		pair := livingPair()
		return newFloorSource(nil, newFloorToken(pair.AccessToken, "", pair.ExpiresAt)).access
	}}
	livingXOAuth2 = contender{xoauth2, func(testing.TB) op {
		return tokenOf(oauth2.ReuseTokenSource(livingPair().OAuth2(), noTokenSource{}))
	}}
)

// living makes a cache a contender that has its token, and needs no other.
func living(c cache) contender {
	return contender{c.name, func(tb testing.TB) op {
		s := &authServer{life: time.Hour, trouble: func(time.Duration) (int, time.Duration) { return 503, 0 }}
		get, ctx := c.open(tb, s), context.Background()
		if _, err := get(ctx); err != nil {
			tb.Fatal(err)
		}
		return func() (string, error) { return get(ctx) }
	}}
}

// tokenOf asks a token source, ours or theirs.
func tokenOf(source oauth2.TokenSource) op {
	return func() (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}
}

// providedBy asks a provider of cloud-auth.
func providedBy(provider auth.TokenProvider) op {
	ctx := context.Background()
	return func() (string, error) {
		token, err := provider.Token(ctx)
		if err != nil {
			return "", err
		}
		return token.Value, nil
	}
}

// providerFunc makes a function a cloud-auth TokenProvider.
type providerFunc func(context.Context) (*auth.Token, error)

func (f providerFunc) Token(ctx context.Context) (*auth.Token, error) { return f(ctx) }

// noTokenSource is what lies behind a token that needs no refresh.
type noTokenSource struct{}

func (noTokenSource) Token() (*oauth2.Token, error) {
	_, err := neverRefresh(context.Background(), nil)
	return nil, err
}

func TestContendersHandOutTheLivingToken(t *testing.T) {
	for name, contenders := range map[string][]contender{"Token": tokenSources(), "TokenContext": contextSources()} {
		for _, c := range contenders {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				work := c.open(t)
				first := mustWork(t, work)
				if first != livingPair().AccessToken && first != firstGrant {
					t.Errorf("got another token than the session's (%d bytes)", len(first))
				}
				for range 3 {
					if mustWork(t, work) != first {
						t.Error("the token changed")
					}
				}
			})
		}
	}
}

func TestHandingOutALivingTokenAllocatesNothing(t *testing.T) {
	for name, contenders := range map[string][]contender{"Token": tokenSources(), "TokenContext": contextSources()} {
		work := contenders[0].open(t)
		if n := testing.AllocsPerRun(1000, func() { mustWork(t, work) }); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
}
