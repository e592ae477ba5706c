package connect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A person has an account at a server that is reached in process.
type person struct {
	server  *oauthtest.Server
	store   tokenstore.Store
	takes   time.Duration // to log in
	windows atomic.Int32  // how often the person was asked
	refuses atomic.Bool

	plain func(string) string // makes an address one that the server knows; nil: it is
}

func newPerson(cfg oauthtest.Config) *person {
	return &person{server: oauthtest.New(cfg), store: new(tokenstore.Memory), takes: 10 * time.Second}
}

// login is the person at the browser.
func (p *person) login(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
	p.windows.Add(1)
	timer := time.NewTimer(p.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	req, err := client.AuthCodeURL()
	if err != nil {
		return nil, err
	}
	act := p.server.Allow
	if p.refuses.Load() {
		act = p.server.Deny
	}
	address := req.URL
	if p.plain != nil {
		address = p.plain(address)
	}
	location, err := act(ctx, address, oauthtest.DefaultUser)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	return client.Exchange(ctx, req, u.Query())
}

// config is that of one process.
func (p *person) config(change ...func(*connect.Config)) connect.Config {
	cfg := connect.Config{
		URL:       p.server.Resource(),
		Client:    register.Options{Metadata: register.Metadata{ClientName: "Tool"}},
		OAuth:     oauth.Config{HTTPClient: p.server.Client(), RedirectURL: "http://127.0.0.1/callback", Output: io.Discard},
		Login:     p.login,
		Refresh:   refresh.Config{Store: p.store},
		Transport: p.server.Client().Transport,
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// process starts one more process.
func (p *person) process(t *testing.T, change ...func(*connect.Config)) *connect.Session {
	t.Helper()
	s, err := connect.New(p.config(change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// call sends one request.
func call(s *connect.Session) error {
	resp, err := s.Client().Post(s.URL(), "text/plain", strings.NewReader("hello"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

// mustCall calls and reports an error.
func mustCall(t *testing.T, when string, s *connect.Session) {
	t.Helper()
	if err := call(s); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

// want compares what the person and the server have been asked for.
func (p *person) want(t *testing.T, when string, windows int32, registrations int) {
	t.Helper()
	if got := p.windows.Load(); got != windows {
		t.Errorf("%s: %d windows; want %d", when, got, windows)
	}
	if got := p.server.Requests(oauthtest.RegistrationEndpoint); got != registrations {
		t.Errorf("%s: %d registrations; want %d", when, got, registrations)
	}
	for _, m := range p.server.Audit() {
		t.Errorf("%s: %v", when, m)
	}
}

// forget makes the server forget the client that is kept for it.
func (p *person) forget(t *testing.T) {
	t.Helper()
	r := p.registration(t)
	if err := r.Delete(t.Context(), oauth.Config{HTTPClient: p.server.Client()}); err != nil {
		t.Fatal(err)
	}
}

// registration returns the client that is kept.
func (p *person) registration(t *testing.T) *register.Registration {
	t.Helper()
	var kept struct {
		Registration *register.Registration `json:"registration"`
	}
	rec, err := p.store.Get(t.Context(), connect.ClientRecord(p.server.Issuer()))
	if err == nil {
		err = json.Unmarshal(rec.Unknown["connect"], &kept)
	}
	if err != nil || kept.Registration == nil {
		t.Fatalf("no client is kept: %v", err)
	}
	return kept.Registration
}

// age makes the stored session older, and its access token dead.
func (p *person) age(t *testing.T, by time.Duration) {
	t.Helper()
	name := connect.SessionName(p.server.Resource(), p.server.Issuer(), "")
	rec, err := p.store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*time.Time{&rec.Tokens.IssuedAt, &rec.Tokens.GrantedAt, &rec.Tokens.ExpiresAt} {
		*at = at.Add(-by)
	}
	if !rec.RefreshedAt.IsZero() {
		rec.RefreshedAt = rec.RefreshedAt.Add(-by)
	}
	if _, err := p.store.Set(t.Context(), name, rec); err != nil {
		t.Fatal(err)
	}
}
