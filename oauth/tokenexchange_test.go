package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestTokenIsExchangedForAnotherPlace(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	login := mustLogin(t, s)
	for subjectType, subject := range map[string]string{"": login.AccessToken, oauth.TokenTypeJWT: login.AccessToken, oauth.TokenTypeIDToken: login.IDToken} {
		pair, err := c.ExchangeToken(t.Context(), oauth.TokenExchange{
			SubjectToken: subject, SubjectTokenType: subjectType, Scopes: []string{"profile"},
			Resources: []string{"https://one.test"}, Audiences: []string{"two", "three"},
		})
		if err != nil {
			t.Fatalf("%s: %v", subjectType, err)
		}
		if pair.RefreshToken != "" || pair.Scope != "profile" || pair.IssuedTokenType() != oauth.TokenTypeAccessToken {
			t.Errorf("%s: got %v for %q, a %s", subjectType, pair, pair.Scope, pair.IssuedTokenType())
		}
		about, err := c.Introspect(t.Context(), pair.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if about.Subject != "alice" || string(about.Claims["aud"]) != `["https://one.test","two","three"]` {
			t.Errorf("%s: the token is %s's for %s", subjectType, about.Subject, about.Claims["aud"])
		}
	}
	wantWorking(t, s, login) // it was not spent
	wantNoMistakes(t, s)
}

func TestExchangeSendsNothingButWhatWasAskedFor(t *testing.T) {
	w := answering(200, `{"access_token":"a","issued_token_type":"`+oauth.TokenTypeAccessToken+`","token_type":"Bearer"}`)
	c := over(w, func(cfg *oauth.Config) { cfg.Scopes, cfg.Resources = []string{"login"}, []string{"https://login.test"} })
	ctx := oauth.WithResource(t.Context(), "https://ctx.test")
	if _, err := c.ExchangeToken(ctx, oauth.TokenExchange{SubjectToken: "s"}); err != nil {
		t.Fatal(err)
	}
	whole := oauth.TokenExchange{
		SubjectToken: "s", SubjectTokenType: oauth.TokenTypeSAML2, ActorToken: "a", RequestedTokenType: oauth.TokenTypeAccessToken,
		Resources: []string{"https://one.test"}, Audiences: []string{"x", "y"}, Scopes: []string{"p", "q"},
	}
	if _, err := c.ExchangeToken(ctx, whole); err != nil {
		t.Fatal(err)
	}
	const grantType = "urn:ietf:params:oauth:grant-type:token-exchange"
	for i, want := range []url.Values{
		{"client_id": {"id"}, "grant_type": {grantType}, "subject_token": {"s"}, "subject_token_type": {oauth.TokenTypeAccessToken}},
		{
			"client_id": {"id"}, "grant_type": {grantType}, "subject_token": {"s"}, "subject_token_type": {oauth.TokenTypeSAML2},
			"actor_token": {"a"}, "actor_token_type": {oauth.TokenTypeAccessToken}, "requested_token_type": {oauth.TokenTypeAccessToken},
			"resource": {"https://one.test"}, "audience": {"x", "y"}, "scope": {"p q"},
		},
	} {
		if got := w.requests()[i].form.Encode(); got != want.Encode() {
			t.Errorf("sent %s; want %s", got, want.Encode())
		}
	}
}

func TestAnswersToAnExchange(t *testing.T) {
	answer := func(issued string) string {
		return fmt.Sprintf(`{"access_token":%q,"issued_token_type":%q,"token_type":"N_A"}`, secret, issued)
	}
	for name, tc := range map[string]struct {
		status    int
		body      string
		requested string
		want      error // nil: a token
		hint      bool
	}{
		"as requested":             {200, answer(oauth.TokenTypeJWT), oauth.TokenTypeJWT, nil, false},
		"nothing requested":        {200, answer(oauth.TokenTypeSAML2), "", nil, false},
		"not told":                 {200, answer(""), oauth.TokenTypeJWT, nil, false},
		"another type":             {200, answer(oauth.TokenTypeRefreshToken), oauth.TokenTypeAccessToken, oauth.ErrMisconfigured, true},
		"no token":                 {200, `{"issued_token_type":"x"}`, "", oauth.ErrMisconfigured, false},
		"a bad subject":            {400, `{"error":"invalid_request"}`, "", oauth.ErrMisconfigured, true},
		"a bad subject, elsewhere": {400, `{"error":"invalid_grant"}`, "", oauth.ErrLoginRequired, false},
		"a bad target":             {400, `{"error":"invalid_target"}`, "", oauth.ErrMisconfigured, true},
		"trouble":                  {503, webPage, "", oauth.ErrTransient, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := over(answering(tc.status, tc.body))
			pair, err := c.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: secret, RequestedTokenType: tc.requested})
			if tc.want == nil {
				if err != nil || pair.AccessToken != secret || pair.TokenType != "N_A" {
					t.Errorf("got %v, %v; want the token", pair, err)
				}
				return
			}
			if fail := failure(t, err); pair != nil || !errors.Is(err, tc.want) || fail.Op != "token_exchange" || (fail.Hint != "") != tc.hint {
				t.Errorf("got %v; want %v", err, tc.want)
			}
		})
	}
}

func TestExchangeMistakesAreReportedBeforeAnythingIsSent(t *testing.T) {
	w := answering(200, okBody)
	for name, x := range map[string]oauth.TokenExchange{
		"no subject":                   {},
		"an actor's type but no actor": {SubjectToken: secret, ActorTokenType: oauth.TokenTypeJWT},
	} {
		if _, err := over(w).ExchangeToken(t.Context(), x); !errors.Is(failure(t, err), oauth.ErrMisconfigured) {
			t.Errorf("%s: %v; want ErrMisconfigured", name, err)
		}
	}
	c := over(w, func(cfg *oauth.Config) { cfg.TokenURL = "http://auth.test/token" })
	if _, err := c.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: secret}); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("a plain endpoint: %v; want ErrMisconfigured", err)
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestExchangeRefresherExchangesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serviceClient()
		subject := mustLogin(t, s)
		var broken error
		r := c.TokenExchangeRefresher(func(context.Context) (oauth.TokenExchange, error) {
			return oauth.TokenExchange{SubjectToken: subject.AccessToken}, broken
		})
		first, err := r.Refresh(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.Refresh(t.Context(), first)
		if err != nil || second.AccessToken == first.AccessToken {
			t.Errorf("got %v, %v; want another token", second, err)
		}
		wantWorking(t, s, second)
		if !r.RenewsWithoutRefreshToken() || r.ConfigID() != c.ConfigID() {
			t.Error("the refresher does not say what it is")
		}

		broken = errors.New("no subject now")
		if _, err := r.Refresh(t.Context(), second); !errors.Is(err, broken) {
			t.Errorf("got %v; want the error of the source", err)
		}
		broken = nil
		s.Script(oauthtest.Fault{RetryAfter: time.Minute})
		if _, err := r.Refresh(t.Context(), second); !errors.Is(err, oauth.ErrTransient) || failure(t, err).RetryAt.IsZero() {
			t.Errorf("got %v; want ErrTransient with a time", err)
		}
		wantNoMistakes(t, s)
	})
}

// A service trades the token that a person's program showed it for one that it
// can use itself, at another service.
func ExampleClient_ExchangeToken() {
	server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
	client := oauth.NewClient(server.OAuthConfig())
	shown, _ := server.Login("alice")

	tokens, err := client.ExchangeToken(context.Background(), oauth.TokenExchange{
		SubjectToken: shown.AccessToken,
		Audiences:    []string{"https://billing.example.com"},
		Scopes:       []string{"profile"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tokens.Type(), "token for", tokens.Scope)
	// Output: Bearer token for profile
}

func ExampleClient_TokenExchangeRefresher() {
	server := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "secret"})
	client := oauth.NewClient(server.OAuthConfig())
	shown, _ := server.Login("alice")

	// Give it to a refresh.Manager as OAuthClient.
	refresher := client.TokenExchangeRefresher(func(context.Context) (oauth.TokenExchange, error) {
		return oauth.TokenExchange{SubjectToken: shown.AccessToken}, nil
	})
	tokens, err := refresher.Refresh(context.Background(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("lives", tokens.ExpiresIn, "seconds")
	// Output: lives 900 seconds
}
