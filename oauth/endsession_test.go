package oauth_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestBrowserIsLoggedOutAndComesBack(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s)
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	p := newPerson(s, s.Client().Transport)
	pair, err := c.Exchange(t.Context(), req, p.callback(t, req.URL))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.EndSessionURL(pair, "http://127.0.0.1:8085/bye?x=1")
	if err != nil {
		t.Fatal(err)
	}
	back := p.callback(t, out.URL) // without a question: the ID token says who
	if out.State == "" || back.Get("state") != out.State || back.Get("x") != "1" {
		t.Errorf("the browser came back with %v; want the state", back)
	}
	if shown, err := p.get(t.Context(), req.URL); err != nil || !strings.Contains(shown.body, `id="login"`) {
		t.Errorf("the next login does not ask who it is: %v, %s", err, shown.body)
	}
	wantWorking(t, s, pair)
	wantNoMistakes(t, s)
}

func TestEndSessionURLHasWhatTheServerNeeds(t *testing.T) {
	c := over(answering(200, okBody), func(cfg *oauth.Config) { cfg.Endpoints.EndSession = "https://auth.test/out?tenant=t&state=forged" })
	long := strings.Repeat("i", 8000)
	for name, tc := range map[string]struct {
		pair     *oauth.TokenPair
		returnTo string
		want     string
	}{
		"no pair":           {nil, "", "client_id=id&state=forged&tenant=t"},
		"no ID token":       {&oauth.TokenPair{AccessToken: secret, RefreshToken: secret}, "", "client_id=id&state=forged&tenant=t"},
		"an ID token":       {&oauth.TokenPair{IDToken: "i.d.t"}, "", "client_id=id&id_token_hint=i.d.t&state=forged&tenant=t"},
		"too long to carry": {&oauth.TokenPair{IDToken: long}, "app:/bye", "client_id=id&post_logout_redirect_uri=app%3A%2Fbye&state=STATE&tenant=t"},
		"a return":          {&oauth.TokenPair{IDToken: "i.d.t"}, "https://app.test/", "client_id=id&id_token_hint=i.d.t&post_logout_redirect_uri=https%3A%2F%2Fapp.test%2F&state=STATE&tenant=t"},
	} {
		req, err := c.EndSessionURL(tc.pair, tc.returnTo)
		if err != nil {
			t.Fatal(err)
		}
		want := "https://auth.test/out?" + strings.Replace(tc.want, "STATE", req.State, 1)
		if req.URL != want || (req.State != "") != (tc.returnTo != "") {
			t.Errorf("%s: got %s; want %s", name, req.URL, want)
		}
	}
	fits := &oauth.TokenPair{IDToken: long[:8000-len("https://auth.test/out?client_id=id&id_token_hint=&state=forged&tenant=t")]}
	if req, err := c.EndSessionURL(fits, ""); err != nil || len(req.URL) != 8000 {
		t.Errorf("a URL of %d bytes, %v; want all that fits into 8000", len(req.URL), err)
	}
}

func TestEndSessionMistakesAreReported(t *testing.T) {
	for name, tc := range map[string]struct{ endpoint, returnTo string }{
		"no endpoint":       {"", ""},
		"a plain endpoint":  {"http://auth.test/out", ""},
		"a relative return": {"https://auth.test/out", "/bye"},
		"no address at all": {"https://auth.test/out", "::"},
	} {
		c := over(answering(200, okBody), func(cfg *oauth.Config) { cfg.Endpoints.EndSession = tc.endpoint })
		if _, err := c.EndSessionURL(secretPair(), tc.returnTo); !errors.Is(failure(t, err), oauth.ErrMisconfigured) {
			t.Errorf("%s: %v; want ErrMisconfigured", name, err)
		}
	}
}

func TestDiscoverFindsTheLogout(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{ClientID: "id", HTTPClient: s.Client()})
	if err != nil || c.Config().Endpoints.EndSession != s.Endpoint(oauthtest.EndSessionEndpoint) {
		t.Errorf("got %v, %v", c, err)
	}
}

func ExampleClient_EndSessionURL() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, _ := server.Login("alice")

	logout, err := client.EndSessionURL(tokens, "http://127.0.0.1:8080/goodbye")
	if err != nil {
		fmt.Println(err)
		return
	}
	// Revoke the tokens, delete them from the store, and redirect the browser:
	//	http.Redirect(w, r, logout.URL, http.StatusSeeOther)
	u, _ := url.Parse(logout.URL)
	fmt.Println(u.Path, "with an ID token:", u.Query().Has("id_token_hint"))
	fmt.Println(logout)
	// Output:
	// /logout with an ID token: true
	// oauth.LogoutRequest{url:"https://auth.test/logout" state:[redacted]}
}
