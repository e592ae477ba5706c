package oauth_test

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A person uses a browser: signs in, and allows or denies what is asked for.
type person struct {
	browser *http.Client
	server  string // pages elsewhere are not visited, only noted, if away is set
	denies  bool

	away func(*url.URL) // called with where the server sends the browser away
}

// newPerson returns a person at a browser that reaches s.
func newPerson(s *oauthtest.Server, transport http.RoundTripper) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	p := &person{server: s.URL}
	p.browser = &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if p.away != nil && !strings.HasPrefix(r.URL.String(), p.server) {
			p.away(r.URL)
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return p
}

// A page is what the browser shows.
type page struct {
	status int
	header http.Header
	body   string
}

func (p *person) get(ctx context.Context, address string) (page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return page{}, err
	}
	return p.do(r)
}

func (p *person) do(r *http.Request) (page, error) {
	resp, err := p.browser.Do(r)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return page{resp.StatusCode, resp.Header, string(body)}, err
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// login follows the pages from address to the end, and returns the last one.
func (p *person) login(ctx context.Context, address string) (page, error) {
	shown, err := p.get(ctx, address)
	for range 3 {
		action := formAction.FindStringSubmatch(shown.body)
		if err != nil || action == nil {
			return shown, err
		}
		form := url.Values{"username": {oauthtest.DefaultUser}, "password": {oauthtest.DefaultPassword}, "decision": {"allow"}}
		if p.denies {
			form.Set("decision", "deny")
		}
		for _, field := range hidden.FindAllStringSubmatch(shown.body, -1) {
			form.Set(field[1], html.UnescapeString(field[2]))
		}
		r, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, p.server+html.UnescapeString(action[1]), strings.NewReader(form.Encode()))
		if reqErr != nil {
			return page{}, reqErr
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		shown, err = p.do(r)
	}
	return shown, err
}

// callback logs the person in at address and returns the query with which the
// server sends the browser back to the program.
func (p *person) callback(t *testing.T, address string) url.Values {
	t.Helper()
	var back *url.URL
	p.away = func(u *url.URL) { back = u }
	if shown, err := p.login(t.Context(), address); err != nil || back == nil {
		t.Fatalf("the login did not come back: error %v, page %s", err, shown.body)
	}
	return back.Query()
}

// wantNoMistakes ends a test by asking the server what the client did wrong.
func wantNoMistakes(t *testing.T, s *oauthtest.Server) {
	t.Helper()
	for _, m := range s.Audit() {
		t.Errorf("the client made a mistake: %v", m)
	}
}

func mustLogin(t *testing.T, s *oauthtest.Server) *tokens {
	t.Helper()
	pair, err := s.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// status asks the protected resource whether a token is good.
func status(t *testing.T, s *oauthtest.Server, access string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func wantWorking(t *testing.T, s *oauthtest.Server, pair *tokens) {
	t.Helper()
	if got := status(t, s, pair.AccessToken); got != http.StatusOK {
		t.Errorf("the resource answers HTTP %d to the new access token", got)
	}
}
