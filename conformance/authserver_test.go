package conformance

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/refresh"
)

// A product is somebody else's authorization server, set up in one way.
type product struct {
	name  string
	start func(t *testing.T, o serverOptions) *authServer

	keepsRefreshToken bool // a refresh gives no new refresh token
	reuseEndsSession  bool // and so does an answer that was lost, if it is asked for again
	oldTokenLives     bool // a refresh leaves the access token before it alone
	noRevocation      bool // there is no endpoint for it (RFC 7009)
	noDevices         bool // no device authorization grant (RFC 8628)
	forgets           bool // what it knows ends with its process
	hardened          bool // DPoP (RFC 9449), pushed requests (RFC 9126), clients with keys (RFC 7523)
	coarse            bool // access tokens of the same second are the same
}

// serverOptions are what tests change.
type serverOptions struct {
	rotate bool // refresh tokens are for one use
	life   int  // of access tokens, in seconds
	nonces nonces
}

// nonces tell what wants nonces in DPoP proofs (RFC 9449 sections 8 and 9).
type nonces string

const (
	noncesNever      nonces = ""
	noncesAtRefresh  nonces = "refresh"
	noncesEverywhere nonces = "everything"
)

// An authServer is a running server behind a relay.
type authServer struct {
	*relay
	config  oauth.Config // of the client that it knows
	answers map[string]string
	api     string           // something that its tokens open
	dialect *dialect.Dialect // that it speaks instead of OAuth

	// launch starts the process and returns its address.
	launch  func() (*process, string)
	process *process

	// How a person agrees to a login and to a device, if not by filling in forms.
	allow       func(v *visitor, address string)
	allowDevice func(v *visitor, code *oauth.DeviceCode)
}

// newAuthServer returns a server that is not running yet.
func newAuthServer(t *testing.T) *authServer {
	t.Helper()
	s := &authServer{relay: newRelay(t)}
	s.allow = func(v *visitor, address string) { v.walk(address, s.answers) }
	return s
}

func (s *authServer) origin() string { return "http://" + s.addr }

// run starts the server's process.
func (s *authServer) run() {
	s.t.Helper()
	p, addr := s.launch()
	s.process = p
	s.admit(addr)
}

// die kills the server. Connections are refused until it runs again.
func (s *authServer) die() {
	s.process.kill()
	s.refuse()
}

// stall makes the server take requests and do nothing.
func (s *authServer) stall() { s.process.stop() }

// client returns the client that the server knows, with endpoints by discovery if
// the server has any.
func (s *authServer) client(t *testing.T, edit func(*oauth.Config)) *oauth.Client {
	t.Helper()
	cfg := s.config
	cfg.Output = io.Discard
	if edit != nil {
		edit(&cfg)
	}
	if cfg.TokenURL != "" {
		return oauth.NewClient(cfg)
	}
	c, err := oauth.Discover(t.Context(), cfg.Issuer, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A renewer is what a manager needs of a client, and somebody who steals or ends
// its session.
type renewer interface {
	refresh.Refresher
	Revoke(ctx context.Context, t *oauth.TokenPair) error
}

// renewer returns the client that the server knows, in the language it speaks.
func (s *authServer) renewer(t *testing.T, edit func(*oauth.Config)) renewer {
	t.Helper()
	if s.dialect == nil {
		return s.client(t, edit)
	}
	return s.dialectClient(edit)
}

// dialectClient returns a client for a backend, with what a dialect has of the
// configuration.
func (s *authServer) dialectClient(edit func(*oauth.Config)) *dialect.Client {
	var cfg oauth.Config
	if edit != nil {
		edit(&cfg)
	}
	return dialect.NewClient(*s.dialect, dialect.Config{BaseURL: s.origin(), Timeout: cfg.Timeout, Now: cfg.Now})
}

// login takes somebody who was never here before through a login.
func (s *authServer) login(t *testing.T, edit func(*oauth.Config)) *oauth.TokenPair {
	t.Helper()
	if s.dialect != nil {
		pair, err := s.dialectClient(edit).Login(t.Context(), s.answers["username"], s.answers["password"])
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	h := newHandover(t)
	login := authenticate(t, s.client(t, func(cfg *oauth.Config) {
		cfg.OpenBrowser = h.open
		if edit != nil {
			edit(cfg)
		}
	}))
	s.allow(newVisitor(t), h.url(t))
	pair := login.tokens()
	if pair.RefreshToken == "" || pair.ExpiresAt.IsZero() {
		t.Fatalf("the login gave %v, which lacks a refresh token or an expiry", pair)
	}
	return pair
}

// opens reports whether an access token opens the API.
func (s *authServer) opens(t *testing.T, token string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.api, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return s.answersOK(t, http.DefaultClient, req)
}

// answersOK reports whether the API answers a request with 200.
func (s *authServer) answersOK(t *testing.T, c *http.Client, req *http.Request) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(req.Context(), stepLimit)
	defer cancel()
	resp, err := c.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
