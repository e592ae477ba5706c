package connect_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
	"golang.org/x/oauth2"
)

const (
	taintServer = "https://auth.test"
	otherServer = "https://other.test" // which is as good
	taintAPI    = "https://api.test"
)

// An api is at an origin of its own.
type api struct {
	servers string // its metadata's, in JSON
	later   string // these, once it has refused a token
	scopes  string // its metadata's then, likewise
	called  string // its name then
	refuses func(a *api, r *http.Request) *http.Response

	refused atomic.Bool
	first   atomic.Value // the first token that it was shown by a process
	last    atomic.Value // the latest
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource"):
		servers := a.servers
		if a.refused.Load() && a.later != "" {
			servers = a.later
		}
		name, more := "https://api.test/x", ""
		if a.refused.Load() && a.called != "" {
			name = a.called
		}
		if a.refused.Load() && a.scopes != "" {
			more = `,"scopes_supported":` + a.scopes
		}
		return replied(r, http.StatusOK, a.repeat(`{"resource":"`+name+`","authorization_servers":`+servers+more+`,"resource_name":`+taint.JSON(marks.Text("name"))+`}`)), nil
	case token == "":
		return replied(r, http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer resource_metadata="https://api.test/.well-known/oauth-protected-resource/x"`), nil
	}
	a.first.CompareAndSwap("", token)
	a.last.Store(token)
	if a.refuses != nil {
		a.refused.Store(true)
		return a.refuses(a, r), nil
	}
	return replied(r, http.StatusOK, "hello"), nil
}

// repeat puts the latest token for TOKEN, with quotes that a header may have for ESCAPED, and
// the first for FIRST. SIGNATURE is the end of the latest.
func (a *api) repeat(text string) string {
	last, _ := a.last.Load().(string)
	first, _ := a.first.Load().(string)
	escaped := `\` + strings.Join(strings.Split(last, ""), `\`)
	return strings.NewReplacer("TOKEN", last, "FIRST", first, "ESCAPED", escaped, "SIGNATURE", last[strings.LastIndexByte(last, '.')+1:]).Replace(text)
}

func replied(r *http.Request, status int, body string, headers ...string) *http.Response {
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Add(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// refusing answers by a challenge, in which TOKEN, FIRST and ESCAPED are what repeat says.
func refusing(status int, challenge string) func(*api, *http.Request) *http.Response {
	return func(a *api, r *http.Request) *http.Response {
		return replied(r, status, a.repeat("TOKEN"), "WWW-Authenticate", a.repeat(challenge), "Location", "https://evil.test/x")
	}
}

// taintAPIs returns APIs that would like to have something besides their tokens, or to have it
// shown.
func taintAPIs() map[string]*api {
	const known, both = `["https://auth.test"]`, `["https://other.test","https://auth.test"]`
	return map[string]*api{
		"honest":                             {servers: known},
		"another server":                     {servers: `["https://evil.test"]`},
		"two servers":                        {servers: both},
		"no server":                          {servers: "[" + taint.JSON("https://"+marks.Text("server")) + "]"},
		"moves":                              {servers: known, later: `["https://other.test"]`, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"moves to evil":                      {servers: known, later: `["https://evil.test"]`, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"wants more":                         {servers: known, refuses: refusing(http.StatusForbidden, `Bearer error="insufficient_scope", scope="profile more"`)},
		"redirects":                          {servers: known, refuses: refusing(http.StatusTemporaryRedirect, "")},
		"wants the token as a scope":         {servers: known, refuses: refusing(http.StatusForbidden, `Bearer error="insufficient_scope", scope="TOKEN more"`)},
		"wants the token as a kind of login": {servers: known, refuses: refusing(http.StatusUnauthorized, `Bearer error="insufficient_user_authentication", acr_values="TOKEN"`)},
		"moves, with the token as a scope":   {servers: known, later: `["https://other.test"]`, scopes: `["TOKEN","profile"]`, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"wants more, and the token":          {servers: known, scopes: `["TOKEN","profile"]`, refuses: refusing(http.StatusForbidden, `Bearer error="insufficient_scope", scope="profile more"`)},
		"wants the first token as a scope":   {servers: known, refuses: refusing(http.StatusForbidden, `Bearer error="insufficient_scope", scope="FIRST more"`)},
		"refuses the first token and its successor": {servers: known, refuses: refusing(http.StatusUnauthorized, `Bearer error="insufficient_user_authentication", acr_values="FIRST"`)},
		"wants the token in quotes":                 {servers: known, refuses: refusing(http.StatusForbidden, `Bearer error="insufficient_scope", scope="ESCAPED more"`)},
		"is called by half the token":               {servers: known, called: "https://api.test/SIGNATURE", refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"moves to the token":                        {servers: known, later: `["https://evil.test/TOKEN"]`, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"moves to the token's host":                 {servers: known, later: `["https://TOKEN.test"]`, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token"`)},
		"repeats the token":                         {servers: known, refuses: refusing(http.StatusUnauthorized, `Bearer error="invalid_token", error_description="TOKEN", resource_metadata="https://evil.test/TOKEN"`)},
	}
}

// A renamed server is at otherServer, as if it had been made there.
type renamed struct{ http.RoundTripper }

func (s renamed) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.URL.Host, in.Host = "auth.test", "auth.test"
	in.Body = io.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), "other.test", "auth.test")))
	resp, err := s.RoundTripper.RoundTrip(in)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	text := strings.ReplaceAll(string(said), "auth.test", "other.test")
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return resp, err
}

// The taint test of this package: an API and its authorization servers, of which one is not
// the session's, are sent what is theirs; and a person reads none of it.
func TestLaw8_ConnectedSessionShowsNoSecretAndSendsNoTokenElsewhere(t *testing.T) {
	for name, a := range taintAPIs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { connectTainted(t, a) })
		})
	}
}

func connectTainted(t *testing.T, a *api) {
	b := new(taint.Book)
	world := &taint.Servers{Book: b, At: map[string]http.RoundTripper{taintAPI: a}, Else: taint.Hostile{Status: http.StatusOK}}
	people := map[string]*person{}
	for _, at := range []string{taintServer, otherServer} {
		p := newPerson(oauthtest.Config{AccessTokenLifetime: time.Hour, DefaultScope: "profile offline_access"})
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
			f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		}})
		var server http.RoundTripper = p.server.Client().Transport
		if at != taintServer {
			server = renamed{server}
		}
		people[at] = p
		world.At[at] = taint.Issuer{Book: b, Origin: at, APIs: []string{taintAPI}, Server: server}
	}
	p := people[taintServer]
	b.Secret("a third server's", "s3cret-of-a-third-server")
	change := func(cfg *connect.Config) {
		cfg.URL, cfg.Transport = "https://api.test/x", world
		cfg.OAuth.HTTPClient, cfg.OAuth.Output = &http.Client{Transport: world}, b
		cfg.Login = func(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
			b.Print("the client", client)
			return taintedLogin(ctx, client, b, people)
		}
		cfg.Refresh.Logger = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		cfg.Refresh.OnEvent = func(e refresh.Event) { b.Print("event", e) }
		cfg.Client.Kept = []*register.Registration{{Issuer: "https://third.test", ClientID: "other", ClientSecret: "s3cret-of-a-third-server"}}
	}
	for range 2 { // processes
		a.first.Store("")
		a.last.Store("")
		s := p.process(t, change)
		for range 3 {
			useTainted(t, s, b)
			time.Sleep(time.Hour)
		}
		b.PrintError("logout", s.Logout(t.Context()))
		b.PrintError("forget", s.Forget(t.Context()))
		s.Close()
	}
	windows := people[taintServer].windows.Load() + people[otherServer].windows.Load()
	if known := strings.Contains(a.servers, "auth.test"); known != (windows > 0) {
		t.Errorf("%d windows; want some if the person knows the server, which is %v", windows, known)
	}
	b.Check(t, 1, 20)
}

// useTainted does with a session what programs do.
func useTainted(t *testing.T, s *connect.Session, b *taint.Book) {
	t.Helper()
	resp, err := s.Client().Post(s.URL(), "text/plain", strings.NewReader("hello"))
	if err == nil {
		_ = resp.Body.Close()
	} else {
		b.Shown("error", err.Error())
	}
	pair, err := s.Token(t.Context())
	b.Print("session", s, s.Status(), pair)
	b.PrintError("token", err)
	const presented = "s3cret-token-that-a-program-has-presented" // which has been renewed since
	b.Secret("an older token", presented, taintAPI)
	b.PrintError("refused", s.Refused(t.Context(), presented, http.StatusForbidden, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="` + presented + ` more"`}}))
	if pair != nil {
		b.PrintError("refused", s.Refused(t.Context(), pair.AccessToken, http.StatusForbidden, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="` + pair.AccessToken + `"`}}))
	}
	_, err = s.TokenSource().Token()
	b.PrintError("source", err)
}

// taintedLogin is a person's login, whose address is where others look: on a screen, and in
// the browser's history.
func taintedLogin(ctx context.Context, client *oauth.Client, b *taint.Book, people map[string]*person) (*oauth.TokenPair, error) {
	req, err := client.AuthCodeURL()
	if err != nil {
		return nil, err
	}
	for at, p := range people {
		if !strings.HasPrefix(req.URL, at+"/") {
			continue
		}
		b.Secret("state", req.State, at)
		b.Secret("verifier", req.Verifier, at)
		b.PassedOn("the address of a login", req.URL, "state", "nonce")
		p.windows.Add(1)
		location, err := p.server.Allow(ctx, strings.ReplaceAll(req.URL, "other.test", "auth.test"), oauthtest.DefaultUser)
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(strings.ReplaceAll(location, "auth.test", "other.test"))
		if at == taintServer {
			u, err = url.Parse(location)
		}
		if err != nil {
			return nil, err
		}
		b.Secret("code", u.Query().Get("code"), at)
		return client.Exchange(ctx, req, u.Query())
	}
	return nil, errors.New("the person does not know that server")
}

// Each type of this package is here that a program can hold a secret in.
func TestLaw8_EveryTypeThatHoldsASecretPrintsWithoutIt(t *testing.T) {
	b := new(taint.Book)
	b.Secret("secret", "s3cret-of-the-client")
	b.Secret("access token", "s3cret-access-token")
	p := newPerson(oauthtest.Config{})
	cfg := p.config(func(cfg *connect.Config) {
		cfg.OAuth.ClientSecret = "s3cret-of-the-client"
		cfg.Client.Given = []*register.Registration{{Issuer: taintServer, ClientSecret: "s3cret-of-the-client"}}
		cfg.Transport = &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "s3cret-access-token"})}
	})
	s, err := connect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Print("session", s, s.TokenSource(), s.Client().Transport)
	b.Print("configuration", cfg, &cfg)
	s.Close()
	b.Check(t, 2, 2)
	b.CheckTypes(t, "../api/connect.txt", nil)
}
