package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// refusesVerifier is a server that knows a client with a secret, and refuses its PKCE.
func refusesVerifier() *oauthtest.Server {
	return oauthtest.New(oauthtest.Config{
		Clients: []oauthtest.RegisteredClient{{ID: "confidential", Secret: secret}},
		Quirks:  oauthtest.Quirks{RefusesVerifier: true},
	})
}

func confidential(cfg *oauth.Config) { cfg.ClientID, cfg.ClientSecret = "confidential", secret }

func withoutPKCE(cfg *oauth.Config) { confidential(cfg); cfg.DisablePKCE = true }

func TestLoginWithoutPKCEWorksWhereTheVerifierIsRefused(t *testing.T) {
	s := refusesVerifier()
	c := webClient(s, withoutPKCE)
	pair := codeLogin(t, s, c)
	if _, err := c.Refresh(t.Context(), pair); err != nil {
		t.Error(err)
	}
	req, err := c.AuthCodeURL()
	if err != nil || req.Verifier != "" || strings.Contains(req.URL, "code_challenge") || !strings.Contains(req.URL, "nonce=") {
		t.Errorf("got %v, %v; want no challenge, and a nonce", req, err)
	}
	pushed := webClient(s, withoutPKCE, func(cfg *oauth.Config) { cfg.Endpoints.PushedAuth = s.Endpoint(oauthtest.PushedAuthorizationEndpoint) })
	if req, err = pushed.PushAuthCode(t.Context()); err != nil || req.Verifier != "" {
		t.Errorf("pushed: got %v, %v", req, err)
	}
	wantNoMistakes(t, s)
}

func TestRefusedVerifierIsNamedAsAPossibility(t *testing.T) {
	s := refusesVerifier()
	c := webClient(s, confidential)
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Exchange(t.Context(), req, newPerson(s, s.Client().Transport).callback(t, req.URL))
	if fail := failure(t, err); fail.Code != "invalid_client" || !errors.Is(err, oauth.ErrMisconfigured) ||
		fail.Field != "DisablePKCE" || !strings.Contains(fail.Hint, "client secret") || !strings.Contains(fail.Hint, "Config.DisablePKCE") {
		t.Errorf("got %v; want the hint to name the client and PKCE", err)
	}
}

func TestOnlyWhatTheVerifierCanCauseNamesPKCE(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer *http.Response
		change func(*oauth.Config)
		named  bool
	}{
		{"invalid_request", response(400, `{"error":"invalid_request"}`), confidential, true},
		{"invalid_client", response(401, `{"error":"invalid_client"}`), confidential, true},
		{"in other letters", response(400, `{"error":"INVALID_CLIENT"}`), confidential, true},
		{"a challenge without a word", response(401, "", "WWW-Authenticate", `Basic realm="x"`), confidential, true},
		{"a public client", response(401, `{"error":"invalid_client"}`), func(*oauth.Config) {}, false},
		{"none was sent", response(401, `{"error":"invalid_client"}`), withoutPKCE, false},
		{"the code", response(400, `{"error":"invalid_grant"}`), confidential, false},
		{"a grant not allowed", response(400, `{"error":"unauthorized_client"}`), confidential, false},
		{"trouble", response(503, ""), confidential, false},
	} {
		c := over(&wire{answer: func(*http.Request) (*http.Response, error) { return tt.answer, nil }}, func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL, cfg.ClientSecret = "https://auth.test/auth", "https://app.test/cb", ""
			tt.change(cfg)
		})
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		_, err = c.Exchange(t.Context(), req, url.Values{"state": {req.State}, "code": {"x"}})
		if fail := failure(t, err); strings.Contains(fail.Hint, "PKCE") != tt.named {
			t.Errorf("%s: %v; PKCE named: want %v", tt.name, err, tt.named)
		}
	}
}

func TestPublicClientsLoginsAlwaysHavePKCE(t *testing.T) {
	w := answering(200, okBody)
	public := func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.RedirectURL, cfg.ClientSecret, cfg.DisablePKCE = "https://auth.test/auth", "http://127.0.0.1/cb", "", true
	}
	c := over(w, public)
	for name, try := range map[string]func() error{
		"AuthCodeURL": func() error { _, err := c.AuthCodeURL(); return err },
		"Exchange": func() error {
			_, err := c.Exchange(t.Context(), &oauth.LoginRequest{State: "s"}, url.Values{"state": {"s"}, "code": {"x"}})
			return err
		},
		"Authenticate": func() error {
			stopped, stop := context.WithCancel(t.Context())
			stop() // or it would wait for a browser, if it were not refused
			_, err := c.Authenticate(stopped)
			return err
		},
	} {
		if err := try(); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "Config.DisablePKCE") {
			t.Errorf("%s: got %v; want ErrMisconfigured", name, err)
		}
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent; want none", n)
	}
	// A session that there is goes on: nothing of it has to do with PKCE.
	if _, err := c.RefreshToken(t.Context(), "r"); err != nil {
		t.Errorf("a refresh: %v", err)
	}
}

// A login that was begun with the other setting ends as it was begun, or not at all.
func TestLoginsUnderWayWhenPKCEIsTurned(t *testing.T) {
	w := answering(200, okBody)
	change := func(off bool) func(*oauth.Config) {
		return func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL, cfg.DisablePKCE = "https://auth.test/auth", "https://app.test/cb", off
			confidential(cfg)
		}
	}
	on, off := over(w, change(false)), over(w, change(true))
	begun, err := on.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := off.Exchange(t.Context(), begun, url.Values{"state": {begun.State}, "code": {"x"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.requests()[0].form.Get("code_verifier"); got != begun.Verifier {
		t.Errorf("the verifier of a login begun with PKCE is %q; want it sent", got)
	}
	if begun, err = off.AuthCodeURL(); err != nil {
		t.Fatal(err)
	}
	if _, err := on.Exchange(t.Context(), begun, url.Values{"state": {begun.State}, "code": {"x"}}); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("a login begun without PKCE: %v; want ErrMisconfigured", err)
	}
}

func TestPKCEIsNoMatterForTheConfigID(t *testing.T) {
	w := answering(200, okBody)
	if over(w, confidential).ConfigID() != over(w, withoutPKCE).ConfigID() {
		t.Error("refreshes do not see PKCE, and have another ConfigID")
	}
}
