package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// webApplication is a client with a secret.
var webApplication = register.Metadata{
	RedirectURIs: []string{"https://app.test/cb"}, AuthMethod: "client_secret_basic", GrantTypes: []string{"client_credentials", "authorization_code"},
}

func mustRegister(t *testing.T, s *oauthtest.Server) (*register.Registration, oauth.Config) {
	t.Helper()
	cfg := oauth.Config{HTTPClient: s.Client()}
	r, err := register.Client(t.Context(), s.Issuer(), webApplication, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, cfg
}

func TestRegistrationIsReadUpdatedAndDeleted(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	r, cfg := mustRegister(t, s)
	read, err := r.Read(t.Context(), cfg)
	if err != nil || read.ClientID != r.ClientID || read.ClientSecret != r.ClientSecret || read.Issuer != s.Issuer() || read.AccessToken != r.AccessToken {
		t.Fatalf("read %v, %v; want %v", read, err, r)
	}
	changed := webApplication
	changed.RedirectURIs = []string{"https://app.test/other"}
	changed.AuthMethod = "" // as it was
	updated, err := r.Update(t.Context(), changed, cfg)
	if err != nil || updated.ClientID != r.ClientID || updated.RedirectURIs[0] != changed.RedirectURIs[0] || updated.AuthMethod != "client_secret_basic" ||
		updated.ClientSecret != r.ClientSecret || updated.AccessToken == r.AccessToken || r.RedirectURIs[0] != "https://app.test/cb" {
		t.Fatalf("updated to %#v, %v", updated, err)
	}
	_, err = r.Read(t.Context(), cfg) // by the token that was taken back
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Op != "read_registration" || !strings.Contains(fail.Hint, "register again") {
		t.Errorf("with the old token: %v; want ErrMisconfigured and what to do", err)
	}
	if err := updated.Delete(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	err = updated.Delete(t.Context(), cfg)
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Op != "delete_registration" {
		t.Errorf("deleted twice: %v; want ErrMisconfigured", err)
	}
	client := oauth.NewClient(updated.Config(s.OAuthConfig()))
	if _, err := client.ClientCredentials(t.Context()); failure(t, err).Code != "invalid_client" {
		t.Errorf("the deleted client: %v; want invalid_client", err)
	}
}

func TestExpiredSecretIsNamedAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{ClientSecretLifetime: 30 * 24 * time.Hour})
		r, cfg := mustRegister(t, s)
		client := oauth.NewClient(r.Config(s.OAuthConfig()))
		if _, err := client.ClientCredentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Script(oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
		if _, err := client.ClientCredentials(t.Context()); errors.Is(err, oauth.ErrClientSecretExpired) {
			t.Errorf("refused before the secret's end: %v", err)
		}
		time.Sleep(time.Until(r.SecretExpiresAt))
		_, err := client.ClientCredentials(t.Context())
		if fail := failure(t, err); !errors.Is(err, oauth.ErrClientSecretExpired) || !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(fail.Hint, "Update") {
			t.Errorf("after the secret's end: %v; want ErrClientSecretExpired and what to do", err)
		}
		renewed, err := r.Update(t.Context(), webApplication, cfg)
		if err != nil || renewed.ClientSecret == r.ClientSecret || !renewed.SecretExpiresAt.After(time.Now()) {
			t.Fatalf("updated to %v until %v, %v; want another secret", renewed, renewed.SecretExpiresAt, err)
		}
		if _, err := oauth.NewClient(renewed.Config(s.OAuthConfig())).ClientCredentials(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRegistrationIsManagedByOneRequestWithItsToken(t *testing.T) {
	r := &register.Registration{ClientID: "c", ClientSecret: "s", AuthMethod: "client_secret_post", AccessToken: secret, ManagementURL: "https://auth.test/register/c"}
	for method, call := range map[string]func(oauth.Config) error{
		http.MethodGet:    func(cfg oauth.Config) error { return second(r.Read(t.Context(), cfg)) },
		http.MethodPut:    func(cfg oauth.Config) error { return second(r.Update(t.Context(), register.Metadata{}, cfg)) },
		http.MethodDelete: func(cfg oauth.Config) error { return r.Delete(t.Context(), cfg) },
	} {
		w := answering(503, "")
		if err := call(oauth.Config{HTTPClient: &http.Client{Transport: w}}); failure(t, err).Kind != oauth.ErrTransient {
			t.Errorf("%s: %v; want ErrTransient", method, err)
		}
		sent := w.requests()
		if len(sent) != 1 || sent[0].Method != method || sent[0].URL.String() != r.ManagementURL || sent[0].Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("%s: sent %v; want one request with the registration access token", method, sent)
		}
		w = answering(200, "")
		for _, unmanaged := range []register.Registration{{ClientID: "c"}, {AccessToken: "a"}, {AccessToken: "a", ManagementURL: "http://auth.test/c"}} {
			*r, unmanaged = unmanaged, *r
			if err := call(oauth.Config{HTTPClient: &http.Client{Transport: w}}); !errors.Is(err, oauth.ErrMisconfigured) || failure(t, err).Sent {
				t.Errorf("%s of %v: %v; want ErrMisconfigured", method, *r, err)
			}
			*r = unmanaged
		}
		if n := len(w.requests()); n != 0 {
			t.Errorf("%s: %d requests that could not succeed", method, n)
		}
	}
	_, err := r.Update(t.Context(), register.Metadata{RedirectURIs: []string{"/cb"}}, oauth.Config{})
	if !errors.Is(err, oauth.ErrMisconfigured) || failure(t, err).Op != "update_registration" {
		t.Errorf("a relative redirect: %v; want ErrMisconfigured", err)
	}
}

func ExampleRegistration_Update() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{})
	cfg := oauth.Config{HTTPClient: server.Client()}
	metadata := register.Metadata{RedirectURIs: []string{"https://app.example.com/callback"}, AuthMethod: "client_secret_basic"}
	registration, err := register.Client(ctx, server.Issuer(), metadata, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}

	metadata.RedirectURIs = append(metadata.RedirectURIs, "https://app.example.com/other")
	registration, err = registration.Update(ctx, metadata, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Save the registration here: its access token is another one now.
	fmt.Println(registration.RedirectURIs)

	if err := registration.Delete(ctx, cfg); err != nil {
		fmt.Println(err)
	}
	// Output: [https://app.example.com/callback https://app.example.com/other]
}
