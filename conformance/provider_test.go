package conformance

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// The clients that the provider knows.
const (
	publicClient  = "evertoken-cli"     // native, with any port of 127.0.0.1
	serviceClient = "evertoken-service" // confidential, client credentials only
	pushedClient  = "evertoken-pushed"  // native, whose logins must be pushed (RFC 9126)
	keyClient     = "evertoken-"        // and an algorithm: native, with a key of its own
)

// providerOptions are those of oidcprovider/server.mjs.
type providerOptions struct {
	Issuer              string `json:"issuer"`
	AccessTokenLifetime int    `json:"accessTokenLifetime,omitempty"` // seconds
	AlwaysRefreshToken  bool   `json:"alwaysRefreshToken,omitempty"`
	Secret              string `json:"secret,omitempty"`
	KeepRefreshToken    bool   `json:"keepRefreshToken,omitempty"`
	Nonces              string `json:"nonces,omitempty"`
	Keys                any    `json:"keys,omitempty"`
}

// A provider is a running oidc-provider. It rotates refresh tokens, and ends the
// whole grant when one is spent twice.
type provider struct {
	t      *testing.T
	issuer string
}

// newProvider starts an oidc-provider that ends with the test, or with the test
// process if that is killed.
func newProvider(t *testing.T, options providerOptions) *provider {
	t.Helper()
	startListening(t, nodeCommand(t, "oidcprovider", "oidc-provider"), func(addr string) any {
		options.Issuer = "http://" + addr
		return options
	})
	return &provider{t: t, issuer: options.Issuer}
}

// client returns a client of the library, with endpoints by discovery. Its logins
// open h's browser.
func (s *provider) client(h *handover, edit func(*oauth.Config)) *oauth.Client {
	s.t.Helper()
	cfg := oauth.Config{
		ClientID: publicClient,
		Scopes:   []string{"openid", "offline_access"},
		// OpenID Connect Core section 11: without it offline_access is ignored.
		AuthParams: map[string][]string{"prompt": {"consent"}},
		Output:     io.Discard,
	}
	if h != nil {
		cfg.OpenBrowser = h.open
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := oauth.Discover(s.t.Context(), s.issuer, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// did is what the provider has done, as it tells it.
type did struct {
	Refreshes     int      `json:"refreshes"`
	Refused       []string `json:"refused"`
	RevokedGrants int      `json:"revokedGrants"`
}

// did asks the provider what it has done.
func (s *provider) did() did {
	s.t.Helper()
	return providerDid(s.t, s.issuer)
}

func providerDid(t *testing.T, issuer string) did {
	t.Helper()
	client := http.Client{Timeout: stepLimit}
	resp, err := client.Get(issuer + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var d did
	if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// userinfo is the API that the provider protects.
func (s *provider) userinfo() string { return s.issuer + "/me" }

// signIn goes through the provider's login page. Any name and password will do.
func (s *provider) signIn(page *tab) {
	s.t.Helper()
	page.fill("[name=login]", "alice")
	page.fill("[name=password]", "any")
	page.click("button[type=submit]")
}

// consent agrees to what the provider's second page asks.
func (s *provider) consent(page *tab) {
	s.t.Helper()
	page.headed("Authorize")
	page.click("button[type=submit]")
}

// startLogin runs the login command with what it needs to know of the provider,
// which refuses logins that ask for no scope.
func (s *provider) startLogin(p *person, args ...string) *run {
	s.t.Helper()
	return p.start(append([]string{"login", "--issuer", s.issuer, "--client-id", publicClient, "--scope", "openid"}, args...)...)
}

// login makes a person log in with the command and a browser.
func (s *provider) login(p *person, page *tab, args ...string) *run {
	s.t.Helper()
	r := s.startLogin(p, args...)
	page.open(p.browser.url(s.t))
	s.signIn(page)
	s.consent(page)
	page.headed("You are logged in")
	r.expect(exitOK)
	return r
}

// tokens makes a person log in with the library and a browser.
func (s *provider) tokens(c *oauth.Client, h *handover, page *tab) *oauth.TokenPair {
	s.t.Helper()
	login := authenticate(s.t, c)
	page.open(h.url(s.t))
	s.signIn(page)
	s.consent(page)
	page.headed("You are logged in")
	return login.tokens()
}

// loginAgain makes a person log in whom the browser and the profile remember.
func (s *provider) loginAgain(p *person, page *tab, args ...string) {
	s.t.Helper()
	r := p.start(append([]string{"login"}, args...)...)
	page.open(p.browser.url(s.t))
	s.consent(page) // a native client could be anybody (RFC 8252 section 8.6)
	page.headed("You are logged in")
	r.expect(exitOK)
}
