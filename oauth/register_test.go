package oauth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

func TestRegisteredClientsLogIn(t *testing.T) {
	for name, m := range map[string]register.Metadata{
		"a program on a person's machine": {ClientName: "tool"},
		"one with a fixed port":           {RedirectURIs: []string{"http://127.0.0.1:8085/login/return"}},
		"a web application":               {RedirectURIs: []string{"https://app.test/cb"}, AuthMethod: "client_secret_post"},
		"one with the default secret":     {RedirectURIs: []string{"https://app.test/cb"}, AuthMethod: "client_secret_basic", Scopes: []string{"openid"}},
		"a scheme of its own":             {RedirectURIs: []string{"com.example.tool:/cb"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			r, err := register.Client(t.Context(), s.Issuer(), m, oauth.Config{HTTPClient: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			kept, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			again := new(register.Registration)
			if err := json.Unmarshal(kept, again); err != nil || again.ClientID != r.ClientID || again.AccessToken == "" || (again.ClientSecret != "") != (m.AuthMethod != "") {
				t.Fatalf("the registration does not survive JSON: %v, %v", again, err)
			}
			cfg := again.Config(oauth.Config{HTTPClient: s.Client(), Scopes: []string{"openid", "offline_access"}})
			if cfg.RedirectURL == "" {
				cfg.RedirectURL = "http://127.0.0.1:45678/callback" // as Authenticate would
			} else if cfg.RedirectURL != m.RedirectURIs[0] {
				t.Errorf("the login returns to %s", cfg.RedirectURL)
			}
			c, err := oauth.Discover(t.Context(), cfg.Issuer, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Refresh(t.Context(), codeLogin(t, s, c)); err != nil {
				t.Errorf("the registered client cannot refresh: %v", err)
			}
			wantNoMistakes(t, s)
		})
	}
}

func TestRegistrationSaysWhatTheProgramIs(t *testing.T) {
	const native = `{"redirect_uris":["http://127.0.0.1/callback","http://[::1]/callback"],"grant_types":["authorization_code","refresh_token"],` +
		`"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"native"}`
	for want, m := range map[string]register.Metadata{
		native: {},
		`{"redirect_uris":["https://app.test/cb"],"client_name":"n","client_uri":"https://app.test","scope":"a b","grant_types":["refresh_token"],` +
			`"token_endpoint_auth_method":"client_secret_post","application_type":"web","software_id":"i","software_version":"v"}`: {
			RedirectURIs: []string{"https://app.test/cb"}, ClientName: "n", ClientURI: "https://app.test", Scopes: []string{"a", "b"},
			GrantTypes: []string{"refresh_token"}, AuthMethod: "client_secret_post", SoftwareID: "i", SoftwareVersion: "v",
		},
	} {
		var body string
		w := &wire{answer: func(r *http.Request) (*http.Response, error) { return response(201, `{"client_id":"c"}`), nil }}
		hc := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			b := make([]byte, r.ContentLength)
			_, _ = r.Body.Read(b)
			body = string(b)
			if r.GetBody != nil {
				t.Error("net/http could send the registration again")
			}
			return w.RoundTrip(r)
		})}
		if _, err := register.Client(t.Context(), issuer, m, oauth.Config{Endpoints: oauth.Endpoints{Registration: issuer + "/register"}, HTTPClient: hc}); err != nil {
			t.Fatal(err)
		}
		if body != want {
			t.Errorf("sent %s; want %s", body, want)
		}
		sent := w.requests()
		if len(sent) != 1 || sent[0].Method != http.MethodPost || sent[0].Header.Get("Content-Type") != "application/json" || sent[0].Header.Get("Accept") != "application/json" || sent[0].Header.Get("Authorization") != "" {
			t.Errorf("%d requests; want one POST of JSON without credentials", len(sent))
		}
	}
}

func TestRegisterReportsWhatCannotBe(t *testing.T) {
	noEndpoint := map[string]*http.Response{rfc8414: response(200, goodMeta)}
	plain := map[string]*http.Response{rfc8414: response(200, strings.TrimSuffix(goodMeta, "}")+`,"registration_endpoint":"http://auth.test/register"}`)}
	for name, tc := range map[string]struct {
		documents map[string]*http.Response
		m         register.Metadata
		posts     int
	}{
		"no registration":      {noEndpoint, register.Metadata{}, 0},
		"a plain endpoint":     {plain, register.Metadata{}, 0},
		"no metadata":          {nil, register.Metadata{}, 0},
		"a relative redirect":  {nil, register.Metadata{RedirectURIs: []string{"/cb"}}, 0},
		"a redirect with hash": {nil, register.Metadata{RedirectURIs: []string{"https://app.test/#cb"}}, 0},
	} {
		w := published(tc.documents)
		r, err := register.Client(t.Context(), issuer, tc.m, oauth.Config{HTTPClient: &http.Client{Transport: w}})
		if r != nil || !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: got %v, %v; want ErrMisconfigured", name, r, err)
		}
		if fail := failure(t, err); strings.HasSuffix(name, "registration") && !strings.Contains(fail.Hint, "by hand") {
			t.Errorf("%s: hint %q; want what to do", name, fail.Hint)
		}
		for _, sent := range w.requests() {
			if sent.Method == http.MethodPost {
				t.Errorf("%s: a registration was sent", name)
			}
		}
	}
}

func TestServerRefusesToRegister(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, err := register.Client(t.Context(), s.Issuer(), register.Metadata{RedirectURIs: []string{"tool:/cb"}}, oauth.Config{HTTPClient: s.Client()})
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Code != "invalid_redirect_uri" || fail.Op != "register" {
		t.Errorf("got %v; want invalid_redirect_uri", err)
	}
}
