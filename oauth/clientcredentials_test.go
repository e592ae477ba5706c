package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestRefreshRenewsClientCredentialsByAskingAgain(t *testing.T) {
	s, c := serviceClient()
	first, err := c.ClientCredentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	var restored oauth.TokenPair
	if err := json.Unmarshal(stored, &restored); err != nil {
		t.Fatal(err)
	}
	pair := &restored
	for range 3 {
		next, err := c.Refresh(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		if next.AccessToken == pair.AccessToken || next.GrantType != oauth.GrantTypeClientCredentials {
			t.Errorf("got the same token, or grant type %q", next.GrantType)
		}
		wantWorking(t, s, next)
		pair = next
	}
	wantNoMistakes(t, s)
}

func TestRefreshOfAPairWithoutARefreshTokenNeedsALogin(t *testing.T) {
	s, c := serviceClient()
	for _, grantType := range []string{"", oauth.GrantTypeTokenExchange, "password"} {
		_, err := c.Refresh(t.Context(), &oauth.TokenPair{AccessToken: "a", GrantType: grantType})
		if !errors.Is(err, oauth.ErrRefreshTokenRequired) {
			t.Errorf("grant type %q: %v; want ErrRefreshTokenRequired", grantType, err)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// The program's own refresh token ends when the server says so; its secret does not.
func TestClientCredentialsDropARefreshToken(t *testing.T) {
	w := answering(200, `{"access_token":"a","refresh_token":"r","refresh_expires_in":1800,"expires_in":300}`)
	c := over(w, func(cfg *oauth.Config) { cfg.ClientSecret = "s" })
	pair, err := c.ClientCredentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pair.RefreshToken != "" || !pair.RefreshExpiresAt.IsZero() || pair.GrantType != oauth.GrantTypeClientCredentials {
		t.Errorf("got refresh token %t, its end %v, grant type %q", pair.RefreshToken != "", pair.RefreshExpiresAt, pair.GrantType)
	}
}

func TestClientCredentialsAreNeverAskedToLogIn(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403} {
		for _, code := range []string{
			"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "access_denied", "expired_token",
			"login_required", "interaction_required", "USER_NOT_FOUND", "TOKEN_EXPIRED", "TOKEN_REUSED", "TOKEN_INVALID",
		} {
			w := answering(status, fmt.Sprintf(`{"error":%q}`, code))
			c := over(w, func(cfg *oauth.Config) { cfg.ClientSecret = "s" })
			for name, ask := range map[string]func(context.Context) (*oauth.TokenPair, error){
				"ClientCredentials": c.ClientCredentials,
				"Refresh": func(ctx context.Context) (*oauth.TokenPair, error) {
					return c.Refresh(ctx, &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeClientCredentials})
				},
				"TokenExchangeRefresher": func(ctx context.Context) (*oauth.TokenPair, error) {
					return c.TokenExchangeRefresher(func(context.Context) (oauth.TokenExchange, error) {
						return oauth.TokenExchange{SubjectToken: "subject"}, nil
					}).Refresh(ctx, nil)
				},
			} {
				_, err := ask(t.Context())
				fail := failure(t, err)
				if !errors.Is(err, oauth.ErrMisconfigured) || errors.Is(err, oauth.ErrLoginRequired) || fail.Code != code {
					t.Errorf("%s, %s (HTTP %d): %v; want ErrMisconfigured with the code", name, code, status, err)
				}
			}
		}
	}
}

func TestClientCredentialsKeepTroubleApartFromRefusal(t *testing.T) {
	for _, body := range []string{`{"error":"temporarily_unavailable"}`, `{"error":"slow_down"}`, `{"error":"who_knows"}`, `{}`} {
		c := over(answering(400, body), func(cfg *oauth.Config) { cfg.ClientSecret = "s" })
		if _, err := c.ClientCredentials(t.Context()); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("%s: %v; want ErrTransient", body, err)
		}
	}
}

func TestPairsKnowTheGrantThatCanBeAskedForAgain(t *testing.T) {
	s, c := serviceClient()
	person := mustLogin(t, s)
	if person.GrantType != "" {
		t.Errorf("a login has grant type %q", person.GrantType)
	}
	exchanged, err := c.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: person.AccessToken})
	if err != nil || exchanged.GrantType != oauth.GrantTypeTokenExchange {
		t.Errorf("token exchange: grant type %q, %v", exchanged.GrantType, err)
	}
	withRefresh := over(answering(200, `{"access_token":"a","refresh_token":"r"}`))
	pair, err := withRefresh.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: "s"})
	if err != nil || pair.GrantType != "" || pair.RefreshToken != "r" {
		t.Errorf("a token exchange with a refresh token: %q, %v; it is renewed by that", pair.GrantType, err)
	}
}

func TestKeepingKeepsTheGrantTypeOfAPairWithoutARefreshToken(t *testing.T) {
	old := &oauth.TokenPair{AccessToken: "a", GrantType: oauth.GrantTypeTokenExchange}
	if next := (&oauth.TokenPair{AccessToken: "b"}).Keeping(old); next.GrantType != old.GrantType {
		t.Errorf("got %q", next.GrantType)
	}
	if next := (&oauth.TokenPair{AccessToken: "b", RefreshToken: "r"}).Keeping(old); next.GrantType != "" {
		t.Errorf("a pair with a refresh token: got %q", next.GrantType)
	}
}

func TestTokenParamsGoWithEveryTokenRequestAndReplaceNothing(t *testing.T) {
	w := answering(200, okBody)
	c := over(w, func(cfg *oauth.Config) {
		cfg.ClientAuth = oauth.SecretPost("s")
		cfg.TokenParams = url.Values{
			"audience": {"https://api.example.com"}, "grant_type": {"password"}, "refresh_token": {"x"}, "client_secret": {"x"}, "subject_token": {"x"},
		}
	})
	calls := map[string]func() error{
		"client_credentials": func() error { _, err := c.ClientCredentials(t.Context()); return err },
		"refresh_token":      func() error { _, err := c.RefreshToken(t.Context(), "r"); return err },
		oauth.GrantTypeTokenExchange: func() error {
			_, err := c.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: "subject"})
			return err
		},
	}
	for grantType, call := range calls {
		if err := call(); err != nil {
			t.Fatal(err)
		}
		sent := w.requests()[len(w.requests())-1].form
		if got := sent["audience"]; !slices.Equal(got, []string{"https://api.example.com"}) {
			t.Errorf("%s: audience %q", grantType, got)
		}
		if !slices.Equal(sent["grant_type"], []string{grantType}) || !slices.Equal(sent["client_secret"], []string{"s"}) {
			t.Errorf("%s: grant_type %q, or another secret", grantType, sent["grant_type"])
		}
		if grantType == "refresh_token" && sent.Get("refresh_token") != "r" {
			t.Error("the refresh token was replaced")
		}
		if grantType == oauth.GrantTypeTokenExchange && sent.Get("subject_token") != "subject" {
			t.Error("the subject token was replaced")
		}
	}
}

func TestTokenParamsArePartOfTheConfigurationAndCopied(t *testing.T) {
	cfg := oauth.Config{ClientID: "id", TokenURL: "https://login.example.com/token"}
	without := oauth.NewClient(cfg).ConfigID()
	cfg.TokenParams = url.Values{"audience": {"a"}}
	c := oauth.NewClient(cfg)
	with := c.ConfigID()
	cfg.TokenParams.Set("audience", "b")
	if other := oauth.NewClient(cfg).ConfigID(); with == without || with == other {
		t.Error("another audience is the same configuration")
	}
	if c.ConfigID() != with {
		t.Error("the program's map is the client's")
	}
}
