package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestPushedLoginShowsTheBrowserAReferenceOnly(t *testing.T) {
	for name, cfg := range map[string]oauthtest.Config{
		"public":       {RequirePushedAuth: true},
		"confidential": {RequirePushedAuth: true, ClientSecret: "s:e c"},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(cfg)
			c := webClient(s, func(cfg *oauth.Config) { cfg.AuthParams = url.Values{"prompt": {"login"}} })
			req, err := c.PushAuthCode(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(req.URL)
			if err != nil {
				t.Fatal(err)
			}
			if q := u.Query(); len(q) != 2 || q.Get("client_id") != oauthtest.DefaultClientID || !strings.HasPrefix(q.Get("request_uri"), "urn:") {
				t.Errorf("the browser carries %v; want client_id and request_uri", q)
			}
			if left := time.Until(req.ExpiresAt); left <= 0 || left > time.Minute {
				t.Errorf("the reference ends in %v; want within a minute", left)
			}
			pair, err := c.Exchange(t.Context(), req, newPerson(s, s.Client().Transport).callback(t, req.URL))
			if err != nil {
				t.Fatal(err)
			}
			wantWorking(t, s, pair)
			wantNoMistakes(t, s)
		})
	}
}

func TestPushKeepsTheQueryOfTheEndpoint(t *testing.T) {
	w := answering(201, `{"request_uri":"urn:x","expires_in":60}`)
	c := over(w, func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.Endpoints.PushedAuth = "https://auth.test/auth?tenant=t", "https://auth.test/par"
		cfg.RedirectURL, cfg.ClientSecret = "https://app.test/cb", "s"
		cfg.AuthParams = url.Values{"prompt": {"consent"}, "request_uri": {"urn:other"}}
	})
	req, err := c.PushAuthCode(oauth.WithResource(t.Context(), "https://one.test", "https://two.test"))
	if err != nil {
		t.Fatal(err)
	}
	if req.URL != "https://auth.test/auth?client_id=id&request_uri=urn%3Ax&tenant=t" {
		t.Errorf("the browser goes to %s", req.URL)
	}
	sent := w.requests()
	if len(sent) != 1 || sent[0].Method != http.MethodPost || sent[0].URL.String() != "https://auth.test/par" {
		t.Fatalf("%d requests; want one POST to the endpoint", len(sent))
	}
	if id, password, ok := sent[0].BasicAuth(); !ok || id != "id" || password != "s" {
		t.Error("the client did not authenticate as it does at the token endpoint")
	}
	form := sent[0].form
	if form.Get("state") != req.State || form.Get("prompt") != "consent" || form.Get("client_id") != "id" || form.Has("request_uri") ||
		form.Get("redirect_uri") != "https://app.test/cb" || form.Has("code_verifier") || len(form["resource"]) != 2 {
		t.Errorf("pushed %v", form)
	}
}

func TestPushedResourcesAreExchangedFor(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s, func(cfg *oauth.Config) { cfg.Resources = []string{"https://config.test"} })
	req, err := c.PushAuthCode(oauth.WithResource(t.Context(), "https://one.test", "https://two.test"))
	if err != nil {
		t.Fatal(err)
	}
	query := newPerson(s, s.Client().Transport).callback(t, req.URL)
	pair, err := c.Exchange(t.Context(), req, query) // with a ctx that says nothing
	if err != nil {
		t.Fatal(err)
	}
	about, err := c.Introspect(t.Context(), pair.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(about.Claims["aud"]); got != `["https://one.test","https://two.test"]` {
		t.Errorf("the token is for %s; want the resources that were authorized", got)
	}
}

func TestExchangeCanNarrowTheResources(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s, func(cfg *oauth.Config) { cfg.Resources = []string{"https://one.test", "https://two.test"} })
	exchange := func(resource string) (*oauth.TokenPair, error) {
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		query := newPerson(s, s.Client().Transport).callback(t, req.URL)
		return c.Exchange(oauth.WithResource(t.Context(), resource), req, query)
	}
	pair, err := exchange("https://two.test")
	if err != nil {
		t.Fatal(err)
	}
	about, err := c.Introspect(t.Context(), pair.AccessToken)
	if got := string(about.Claims["aud"]); err != nil || got != `["https://two.test"]` {
		t.Errorf("the token is for %s (%v); want the one asked for", got, err)
	}
	if _, err := exchange("https://three.test"); !errors.Is(err, oauth.ErrMisconfigured) || failure(t, err).Code != "invalid_target" {
		t.Errorf("a resource that was not authorized: %v; want invalid_target", err)
	}
}

func TestPushedReferenceServesOnce(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s)
	req, err := c.PushAuthCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := newPerson(s, s.Client().Transport)
	p.callback(t, req.URL)
	if shown, err := p.get(t.Context(), req.URL); err != nil || shown.status != 400 {
		t.Errorf("a second time: HTTP %d, %v; want 400", shown.status, err)
	}
	if m := s.Audit(); len(m) != 1 || m[0].Kind != oauthtest.RequestURIReused {
		t.Errorf("mistakes %v; want one", m)
	}
}

func TestPushedReferenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{PushedRequestLifetime: 30 * time.Second})
		req, err := webClient(s).PushAuthCode(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Now().Add(30 * time.Second); !req.ExpiresAt.Equal(want) {
			t.Errorf("it ends at %v; want %v", req.ExpiresAt, want)
		}
		time.Sleep(30 * time.Second)
		if shown, err := newPerson(s, s.Client().Transport).get(t.Context(), req.URL); err != nil || shown.status != 400 {
			t.Errorf("after its end: HTTP %d, %v; want 400", shown.status, err)
		}
		wantNoMistakes(t, s)
	})
}

func TestAuthenticatePushesWhereItMust(t *testing.T) {
	s := server(t, oauthtest.Config{RequirePushedAuth: true})
	a := authenticate(t, s)
	if u, err := url.Parse(a.url); err != nil || len(u.Query()) != 2 || !u.Query().Has("request_uri") {
		t.Fatalf("the browser was sent to %s", a.url)
	}
	p := newPerson(s, http.DefaultTransport)
	p.away = func(u *url.URL) { a.callback = u.Scheme + "://" + u.Host + u.Path + "?" + u.RawQuery }
	a.logIn(p)
	query := strings.SplitN(a.callback, "?", 2)[1]
	a.callback = strings.SplitN(a.callback, "?", 2)[0]
	a.visit(query)
	pair, err := a.end()
	if err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s, pair)
	wantNoMistakes(t, s)
}

func TestAuthenticateReportsARefusedPush(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{RequirePushedAuth: true})
	cfg := s.OAuthConfig()
	cfg.ClientID, cfg.Output = "stranger", io.Discard
	_, err := oauth.NewClient(cfg).Authenticate(t.Context())
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Op != "push" || fail.Code != "invalid_client" {
		t.Errorf("got %v; want a refused push", err)
	}
}

func TestPushMistakesAreReportedBeforeAnythingIsSent(t *testing.T) {
	whole := oauth.Config{ClientID: "id", AuthURL: "https://auth.test/auth", Endpoints: oauth.Endpoints{PushedAuth: "https://auth.test/par"}, RedirectURL: "https://app.test/cb"}
	for name, change := range map[string]func(*oauth.Config){
		"no redirect":      func(cfg *oauth.Config) { cfg.RedirectURL = "" },
		"no endpoint":      func(cfg *oauth.Config) { cfg.Endpoints.PushedAuth = "" },
		"a plain endpoint": func(cfg *oauth.Config) { cfg.Endpoints.PushedAuth = "http://auth.test/par" },
		"no login page":    func(cfg *oauth.Config) { cfg.AuthURL = "" },
		"no client":        func(cfg *oauth.Config) { cfg.ClientID = "" },
	} {
		w := answering(201, `{"request_uri":"urn:x"}`)
		c := over(w, func(cfg *oauth.Config) {
			hc := cfg.HTTPClient
			*cfg = whole
			cfg.HTTPClient = hc
			change(cfg)
		})
		if _, err := c.PushAuthCode(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
			t.Errorf("%s: %v after %d requests; want ErrMisconfigured", name, err, len(w.requests()))
		}
	}
}

func TestAuthCodeURLIsRefusedWhereRequestsMustBePushed(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{RequirePushedAuth: true})
	_, err := webClient(s).AuthCodeURL()
	if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(fmt.Sprint(err), "PushAuthCode") {
		t.Errorf("got %v; want ErrMisconfigured that names PushAuthCode", err)
	}
}

func TestDiscoverFindsOutAboutPushedRequests(t *testing.T) {
	for _, required := range []bool{false, true} {
		s := oauthtest.New(oauthtest.Config{RequirePushedAuth: required})
		c, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{ClientID: "id", HTTPClient: s.Client()})
		if err != nil {
			t.Fatal(err)
		}
		cfg := c.Config()
		if cfg.RequirePushedAuth != required || cfg.Endpoints.PushedAuth != s.Endpoint(oauthtest.PushedAuthorizationEndpoint) {
			t.Errorf("required %v: got %v at %s", required, cfg.RequirePushedAuth, cfg.Endpoints.PushedAuth)
		}
	}
}

func ExampleClient_PushAuthCode() {
	ctx := context.Background()
	server := oauthtest.New(oauthtest.Config{RequirePushedAuth: true})
	cfg := server.OAuthConfig()
	cfg.RedirectURL = "http://127.0.0.1:8080/callback"
	client := oauth.NewClient(cfg)

	login, err := client.PushAuthCode(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Keep login with the browser's session, and redirect the browser:
	//	http.Redirect(w, r, login.URL, http.StatusSeeOther)
	query := comeBack(server, login.URL)

	tokens, err := client.Exchange(ctx, login, query)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("can be renewed:", tokens.RefreshToken != "")
	// Output: can be renewed: true
}
