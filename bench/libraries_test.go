package bench_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// A caller asks for a token and may leave, if the library lets it.
type caller func(ctx context.Context) (token string, err error)

// A cache is a library's way to hand out the tokens of one session. open makes
// one that has no token yet and gets them from s.
type cache struct {
	name string
	open func(tb testing.TB, s *authServer) caller
}

// caches are all of them, each told to renew the server's lead ahead.
func caches() []cache {
	return []cache{
		{evertoken, openEvertoken},
		{xoauth2, openXOAuth2},
		{cloudAuth, func(_ testing.TB, s *authServer) caller { return openCloudAuth(s, false) }},
		{cloudAuthSync, func(_ testing.TB, s *authServer) caller { return openCloudAuth(s, true) }},
		{awsSDK, openAWS},
		{msal, openMSAL},
	}
}

func openEvertoken(tb testing.TB, s *authServer) caller {
	m := start(tb, refresh.Config{OAuthClient: evertokenRefresher(s)}, &oauth.TokenPair{RefreshToken: "first"})
	return func(ctx context.Context) (string, error) {
		pair, err := m.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		return pair.AccessToken, nil
	}
}

// evertokenRefresher says what oauth.Client would say of the same answers.
func evertokenRefresher(s *authServer) refresh.Refresher {
	return refresh.RefresherFunc(func(ctx context.Context, _ *oauth.TokenPair) (*oauth.TokenPair, error) {
		g, err := s.grant(ctx)
		if r := (*refusal)(nil); errors.As(err, &r) {
			return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: r.status, RetryAt: r.retryAt, Sent: true}
		}
		if err != nil {
			return nil, err
		}
		return &oauth.TokenPair{
			AccessToken: g.token, RefreshToken: g.token + " refresh",
			IssuedAt: g.issued, ExpiresAt: g.expires,
		}, nil
	})
}

// openXOAuth2 has no context to pass on: a source keeps the one it was made with.
func openXOAuth2(_ testing.TB, s *authServer) caller {
	source := oauth2.ReuseTokenSourceWithExpiry(nil, xoauth2Func(func() (*oauth2.Token, error) {
		g, err := s.grant(context.Background())
		return &oauth2.Token{AccessToken: g.token, Expiry: g.expires}, err
	}), s.lead())
	return func(context.Context) (string, error) { return tokenOf(source)() }
}

// xoauth2Func makes a function a TokenSource.
type xoauth2Func func() (*oauth2.Token, error)

func (f xoauth2Func) Token() (*oauth2.Token, error) { return f() }

func openCloudAuth(s *authServer, inCallersTime bool) caller {
	provider := auth.NewCachedTokenProvider(providerFunc(func(ctx context.Context) (*auth.Token, error) {
		g, err := s.grant(ctx)
		if err != nil {
			return nil, err
		}
		return &auth.Token{Value: g.token, Expiry: g.expires}, nil
	}), &auth.CachedTokenProviderOptions{ExpireEarly: s.lead(), DisableAsyncRefresh: inCallersTime})
	return func(ctx context.Context) (string, error) {
		token, err := provider.Token(ctx)
		if err != nil {
			return "", err
		}
		return token.Value, nil
	}
}

// openAWS keeps the token where AWS keeps a session token.
func openAWS(_ testing.TB, s *authServer) caller {
	cache := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		g, err := s.grant(ctx)
		return awsCredentials(g), err
	}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = s.lead() })
	return awsCaller(cache)
}

func awsCredentials(g grant) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: clientID, SecretAccessKey: clientSecret,
		SessionToken: g.token, CanExpire: true, Expires: g.expires,
	}
}

func awsCaller(cache *aws.CredentialsCache) caller {
	return func(ctx context.Context) (string, error) {
		credentials, err := cache.Retrieve(ctx)
		return credentials.SessionToken, err
	}
}

// openMSAL cannot be told a margin: MSAL renews five minutes ahead, in the
// caller's time. So its tokens live five minutes longer than those of the others,
// and, since it counts in seconds, for a second at least before they are due.
func openMSAL(tb testing.TB, s *authServer) caller {
	const margin = 5 * time.Minute
	return msalCaller(tb, func(ctx context.Context) (grant, error) {
		g, err := s.grant(ctx)
		if due := time.Until(g.expires) - s.lead(); err == nil && due > 0 {
			g.expires = time.Now().Add(margin + max(due, time.Second).Round(time.Second))
		} else if err == nil {
			g.expires = time.Now().Add(margin - time.Second)
		}
		return g, err
	})
}

// msalCaller uses a client of which MSAL renews nothing but the token.
func msalCaller(tb testing.TB, get func(context.Context) (grant, error)) caller {
	tb.Helper()
	credential := confidential.NewCredFromTokenProvider(
		func(ctx context.Context, _ confidential.TokenProviderParameters) (confidential.TokenProviderResult, error) {
			g, err := get(ctx)
			return confidential.TokenProviderResult{
				AccessToken:      g.token,
				ExpiresInSeconds: int((time.Until(g.expires) + time.Second/2) / time.Second),
			}, err
		})
	client, err := confidential.New("https://login.microsoftonline.com/bench", clientID, credential,
		confidential.WithHTTPClient(&http.Client{Transport: noNetwork{}}))
	if err != nil {
		tb.Fatal(err)
	}
	scopes := []string{"https://api.test/.default"}
	return func(ctx context.Context) (string, error) {
		result, err := client.AcquireTokenByCredential(ctx, scopes)
		return result.AccessToken, err
	}
}

// noNetwork is the network of clients that should not need it.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("bench: a request to " + r.URL.Host)
}
