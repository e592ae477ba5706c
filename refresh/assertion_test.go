package refresh_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A session by the company's identity provider is kept like any other: it needs no first
// pair, is stored, and is renewed through both steps from the person's session there.
func TestIdentityAssertionKeepsASessionAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := oauthtest.New(oauthtest.Config{IssuerPath: "/company"})
		api := oauthtest.New(oauthtest.Config{ClientSecret: "s3cret", TrustedIssuers: []oauthtest.TrustedIssuer{{Server: idp}}})
		provider := oauth.NewClient(idp.OAuthConfig())
		person := refresh.NewManager(refresh.Config{OAuthClient: provider})
		if err := person.Start(t.Context(), must(t)(idp.Login("alice"))); err != nil {
			t.Fatal(err)
		}
		defer person.Stop()
		client := oauth.NewClient(api.OAuthConfig())
		store := new(tokenstore.Memory)
		m := refresh.NewManager(refresh.Config{Store: store, OAuthClient: client.IdentityAssertionRefresher(oauth.IdentityAssertion{
			Provider: provider,
			Subject: func(ctx context.Context) (oauth.TokenExchange, error) {
				pair, err := person.TokenContext(ctx)
				if err != nil {
					return oauth.TokenExchange{}, err
				}
				return oauth.TokenExchange{SubjectToken: pair.IDToken}, nil
			},
		})})
		if err := m.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		for range 24 * 4 {
			time.Sleep(15 * time.Minute)
			if pair, err := m.TokenContext(t.Context()); err != nil || !pair.ExpiresAt.After(time.Now()) {
				t.Fatalf("at %v: %v, %v", time.Now(), pair, err)
			}
		}
		if n, m := idp.Requests(oauthtest.TokenEndpoint)-idp.Refreshes(), api.Requests(oauthtest.TokenEndpoint); n != m || m < 24*4 {
			t.Errorf("%d exchanges and %d grants; want as many, one for each renewal", n, m)
		}
		if rec, err := store.Get(t.Context(), "default"); err != nil || rec.Tokens.GrantType != oauth.GrantTypeJWTBearer {
			t.Errorf("stored: %v, %v", rec, err)
		}

		idp.RevokeAll("alice")
		time.Sleep(2 * time.Hour)
		if _, err := m.TokenContext(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) || errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("the person's session is over: %v; want ErrMisconfigured", err)
		}
		if err := person.UpdateTokens(must(t)(idp.Login("alice"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		if _, err := m.TokenContext(t.Context()); err != nil {
			t.Errorf("after a login at the provider: %v", err)
		}
	})
}

// A plain client cannot ask for the next assertion.
func TestAssertionSessionNeedsItsRefresher(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := oauthtest.New(oauthtest.Config{TrustedIssuers: []oauthtest.TrustedIssuer{{Issuer: "me", Keys: map[string]crypto.PublicKey{"": &key.PublicKey}}}})
	client := oauth.NewClient(s.OAuthConfig())
	source := client.SelfSigned(oauth.AssertionKey{Signer: key}, map[string]any{"iss": "me", "sub": "me"})
	pair, err := client.JWTBearerRefresher(source).Refresh(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := refresh.NewManager(refresh.Config{OAuthClient: client})
	if err := m.Start(t.Context(), pair); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("a plain client: %v; want ErrMisconfigured", err)
	}
	m.Stop()
}
