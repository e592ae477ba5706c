package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A person at a terminal, with a server that is a part of the test.
type person struct {
	t      *testing.T
	server *oauthtest.Server
	store  tokenstore.Store
	logins int
}

// types runs a command line, and returns what it prints and how it ends.
func (p *person) types(line string) (string, error) {
	p.t.Helper()
	cfg := p.server.OAuthConfig()
	cfg.Scopes = []string{"openid", "offline_access"}
	cfg.Output = p.t.Output()
	cfg.OpenBrowser = func(ctx context.Context, url string) error {
		p.logins++
		back, err := p.server.Allow(ctx, url, oauthtest.DefaultUser)
		if err != nil {
			return err
		}
		resp, err := http.Get(back)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	var out strings.Builder
	err := run(p.t.Context(), strings.Fields(line), oauth.NewClient(cfg), p.store, p.server.URL, &out)
	return out.String(), err
}

func (p *person) gets(want string) {
	p.t.Helper()
	if got, err := p.types("get " + string(oauthtest.ResourceEndpoint)); err != nil || !strings.Contains(got, want) {
		p.t.Errorf("get: got %q, %v; want %q in it", got, err, want)
	}
}

func (p *person) isToldToLogIn() {
	p.t.Helper()
	if got, err := p.types("get " + string(oauthtest.ResourceEndpoint)); err == nil || !strings.Contains(err.Error(), `run "cli login"`) {
		p.t.Errorf("get: got %q, error %v; want the advice to log in", got, err)
	}
}

func TestOneLoginLastsUntilTheLogout(t *testing.T) {
	server := oauthtest.NewServer(oauthtest.Config{})
	defer server.Close()
	store, err := tokenstore.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, server: server, store: store}

	p.isToldToLogIn()
	for range 2 { // the second finds that nothing is to be done
		if got, err := p.types("login"); err != nil || got != "You are logged in.\n" {
			t.Fatalf("login: got %q, %v", got, err)
		}
	}
	p.gets(oauthtest.DefaultUser)
	server.ExpireAccess(oauthtest.DefaultUser) // the API rejects the token: renewed, and asked again
	p.gets(oauthtest.DefaultUser)
	if _, err := p.types("logout"); err != nil {
		t.Fatal(err)
	}
	p.isToldToLogIn()

	if n := server.Sessions(oauthtest.DefaultUser); n != 0 || p.logins != 1 || server.Refreshes() != 1 {
		t.Errorf("%d sessions left, %d logins, %d refreshes; want 0, 1 and 1", n, p.logins, server.Refreshes())
	}
	if mistakes := server.Audit(); len(mistakes) > 0 {
		t.Error(mistakes)
	}
}

func TestAnotherCommandLineIsExplained(t *testing.T) {
	p := &person{t: t, server: oauthtest.New(oauthtest.Config{}), store: new(tokenstore.Memory)}
	if _, err := p.types("lgin"); err == nil || !strings.Contains(err.Error(), "usage: cli login") {
		t.Errorf("error %v; want the usage", err)
	}
}
