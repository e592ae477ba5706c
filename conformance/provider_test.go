package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// The clients that the provider knows.
const (
	publicClient  = "evertoken-cli"     // native, with any port of 127.0.0.1
	serviceClient = "evertoken-service" // confidential, client credentials only
)

// providerOptions are those of oidcprovider/server.mjs.
type providerOptions struct {
	Issuer              string `json:"issuer"`
	AccessTokenLifetime int    `json:"accessTokenLifetime,omitempty"` // seconds
	AlwaysRefreshToken  bool   `json:"alwaysRefreshToken,omitempty"`
	Secret              string `json:"secret,omitempty"`
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
	node := nodePath(t)
	listener, socket := listen(t)
	ended, lifeline, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	options.Issuer = "http://" + listener.Addr().String()
	encoded, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "provider.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "server.mjs")
	cmd.Dir = "oidcprovider"
	cmd.Env = append(os.Environ(), "OPTIONS="+string(encoded), "NODE_ENV=production")
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{socket, ended}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// From here on only the server has them: if it dies, connections are refused
	// instead of waiting for ever.
	for _, c := range []io.Closer{listener, socket, ended} {
		_ = c.Close()
	}
	t.Cleanup(func() {
		_ = lifeline.Close()
		stop := time.AfterFunc(stepLimit, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stop.Stop()
		_ = output.Close()
		if log, err := os.ReadFile(output.Name()); t.Failed() && err == nil {
			t.Logf("oidc-provider says:\n%s", bytes.TrimSpace(log))
		}
	})
	return &provider{t: t, issuer: options.Issuer}
}

// listen opens a port for a child process.
func listen(t *testing.T) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return l, f
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
	client := http.Client{Timeout: stepLimit}
	resp, err := client.Get(s.issuer + "/events")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var d did
	if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
		s.t.Fatal(err)
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
