package bench_test

import (
	"context"
	"testing"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/refresh"
)

// BenchmarkToken hands out a token that is valid, as an oauth2.TokenSource does.
func BenchmarkToken(b *testing.B) { measure(b, tokenSources()) }

// BenchmarkTokenParallel does so on all processors at once.
func BenchmarkTokenParallel(b *testing.B) { measureParallel(b, tokenSources()) }

// BenchmarkTokenContext hands out a token that is valid to a caller with a
// context. x/oauth2 knows no such call; its nearest is Token.
func BenchmarkTokenContext(b *testing.B) { measure(b, contextSources()) }

// BenchmarkTokenContextParallel does so on all processors at once.
func BenchmarkTokenContextParallel(b *testing.B) { measureParallel(b, contextSources()) }

func tokenSources() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			return tokenOf(start(tb, refresh.Config{OAuthClient: neverRefresh}, livingPair()))
		}},
		{xoauth2, reusingXOAuth2},
	}
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
		{xoauth2, reusingXOAuth2},
		{cloudAuth, func(tb testing.TB) op {
			pair := livingPair()
			once := providerFunc(func(context.Context) (*auth.Token, error) {
				return &auth.Token{Value: pair.AccessToken, Type: pair.TokenType, Expiry: pair.ExpiresAt}, nil
			})
			return providedBy(auth.NewCachedTokenProvider(once, nil))
		}},
	}
}

func reusingXOAuth2(testing.TB) op {
	return tokenOf(oauth2.ReuseTokenSource(livingPair().OAuth2(), noTokenSource{}))
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
				for range 3 {
					if got := mustWork(t, work); got != livingPair().AccessToken {
						t.Errorf("got another token than the session's (%d bytes)", len(got))
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
