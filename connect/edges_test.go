package connect_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// Every shape of API in use leads from its URL to a session that is renewed and goes on in
// the next process; one that publishes nothing does so only if the program says so.
func TestEveryShapeOfAPILeadsToASessionThatLasts(t *testing.T) {
	for name, tt := range map[string]struct {
		shape  oauthtest.APIShape
		assume bool
		fails  bool
	}{
		"path metadata, resource is the endpoint":      {oauthtest.APIShape{}, false, false},
		"path metadata, not told":                      {oauthtest.APIShape{NoMetadataInChallenge: true}, false, false},
		"root metadata, resource is the endpoint":      {oauthtest.APIShape{MetadataAtRoot: true}, false, false},
		"root metadata, resource is the origin":        {oauthtest.APIShape{MetadataAtRoot: true, ResourceIsOrigin: true}, false, false},
		"root metadata, origin, not told":              {oauthtest.APIShape{MetadataAtRoot: true, ResourceIsOrigin: true, NoMetadataInChallenge: true}, false, false},
		"path metadata, which names the origin":        {oauthtest.APIShape{ResourceIsOrigin: true}, false, true},
		"none":                                         {oauthtest.APIShape{NoMetadata: true}, false, true},
		"none, and assumed":                            {oauthtest.APIShape{NoMetadata: true}, true, false},
		"path metadata, and nothing has to be assumed": {oauthtest.APIShape{}, true, false},
	} {
		for _, postOnly := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tt.shape.PostOnly = postOnly
					p := newPerson(oauthtest.Config{API: tt.shape})
					assume := func(cfg *connect.Config) { cfg.OAuth.AssumeEndpoints = tt.assume }
					if tt.fails {
						if err := call(p.process(t, assume)); !errors.Is(err, oauth.ErrMisconfigured) {
							t.Errorf("%v; want ErrMisconfigured", err)
						}
						p.want(t, "an API that says nothing of its server", 0, 0)
						return
					}
					for launch := range 3 {
						p.launch(t, "a launch", assume)
						p.wantRefreshes(t, "a launch", launch)
						time.Sleep(20 * time.Minute)
					}
					p.want(t, "three launches", 1, 1)
				})
			})
		}
	}
}

// asksFor returns what the login of a new process asks for.
func (p *person) asksFor(t *testing.T, change ...func(*connect.Config)) url.Values {
	t.Helper()
	var query url.Values
	watched := func(cfg *connect.Config) {
		cfg.Login = func(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
			req, err := client.AuthCodeURL()
			if err != nil {
				return nil, err
			}
			u, err := url.Parse(req.URL)
			if err != nil {
				return nil, err
			}
			query = u.Query()
			return p.login(ctx, client)
		}
	}
	mustCall(t, "a login", p.process(t, append(change, watched)...))
	return query
}

func TestLoginAsksForTheScopesOfTheChallengeThenThoseOfTheMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		challenge, published string // scopes of the API
		listed               bool   // offline_access, by the server
		wanted               bool   // by the program
		own                  []string
		want                 string
	}{
		"challenge first":              {"email", "profile", false, false, nil, "email"},
		"metadata then":                {"", "profile email", false, false, nil, "profile email"},
		"none":                         {"", "", false, false, nil, ""},
		"the program's besides":        {"email", "profile", false, false, []string{"openid"}, "email openid"},
		"refresh token, listed":        {"", "profile", true, true, nil, "profile offline_access"},
		"refresh token, not listed":    {"", "profile", false, true, nil, "profile"},
		"refresh token, not wanted":    {"", "profile", true, false, nil, "profile"},
		"refresh token, for the API":   {"offline_access email", "", true, false, nil, "email"},
		"refresh token, by the API":    {"", "profile offline_access", true, false, nil, "profile"},
		"refresh token, nothing else":  {"", "", true, true, nil, "offline_access"},
		"refresh token, by both":       {"offline_access email", "", true, true, nil, "email offline_access"},
		"refresh token, by the person": {"", "profile", false, false, []string{"offline_access"}, "profile offline_access"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				p.server.Script(
					oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { f["scopes_supported"] = strings.Fields(tt.published) }},
					oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
						if f["scopes_supported"] = []string{"openid", "profile", "email"}; tt.listed {
							f["scopes_supported"] = []string{"openid", "profile", "email", "offline_access"}
						}
					}},
				)
				if tt.challenge != "" {
					p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Header: http.Header{"Www-Authenticate": {`Bearer scope="` + tt.challenge + `"`}}})
				}
				query := p.asksFor(t, func(cfg *connect.Config) { cfg.OAuth.OfflineAccess, cfg.OAuth.Scopes = tt.wanted, tt.own })
				if got := query.Get("scope"); got != tt.want {
					t.Errorf("asks for %q; want %q", got, tt.want)
				}
				if got := query["resource"]; len(got) != 1 || got[0] != p.server.Resource() {
					t.Errorf("asks for the resource %q", got)
				}
			})
		})
	}
}

// insufficient makes the API want a scope of the requests to come.
func (p *person) insufficient(scope string, times int) {
	p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 403, Times: times,
		Header: http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="` + scope + `"`}}})
}

// Calls of all processes that need more scope lead to one login, which asks for what was
// granted too; the next process has it, and a scope that does not help is asked for once.
func TestMoreScopeIsAskedForOnceByAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }})
		profile := func(cfg *connect.Config) { cfg.OAuth.Scopes = []string{"profile"} }
		sessions := p.together(t, "first start", 3, profile)
		time.Sleep(2 * time.Minute)
		p.insufficient("email", 3)
		var calls sync.WaitGroup
		for _, s := range sessions {
			calls.Go(func() { mustCall(t, "with more scope", s) })
		}
		calls.Wait()
		p.want(t, "more scope", 2, 1)
		for _, s := range sessions {
			pair, err := s.Token(t.Context())
			if got := strings.Join(pair.Scopes(), " "); err != nil || !strings.Contains(got, "email") || !strings.Contains(got, "profile") {
				t.Errorf("the session has the scopes %q, %v", got, err)
			}
		}
		closeAll(sessions)
		time.Sleep(time.Hour)
		p.launch(t, "the next process", profile)
		p.want(t, "the next process", 2, 1)

		s := p.process(t, profile)
		mustCall(t, "one more", s)
		p.insufficient("email", -1)
		for range 3 {
			if err := call(s); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("%v; want the API's own 403", err)
			}
		}
		if n := p.windows.Load(); n > 3 {
			t.Errorf("%d windows for a scope that was granted already", n-2)
		}
	})
}

// A process that goes on with a stored session asks for more as the one did that has logged in.
func TestMoreIsAskedForAfterARestart(t *testing.T) {
	for name, challenge := range map[string]string{
		"scope": `Bearer error="insufficient_scope", scope="email"`,
		"login": `Bearer error="insufficient_user_authentication", acr_values="gold"`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }})
				profile := func(cfg *connect.Config) { cfg.OAuth.Scopes = []string{"profile"} }
				p.launch(t, "first", profile)
				time.Sleep(2 * time.Minute)
				s := p.process(t, profile)
				mustCall(t, "restarted", s)
				status := map[string]int{"scope": http.StatusForbidden, "login": http.StatusUnauthorized}[name]
				p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: status, Header: http.Header{"Www-Authenticate": {challenge}}})
				mustCall(t, "with more", s)
				p.want(t, "afterwards", 2, 1)
			})
		})
	}
}

// A refused assertion is the end of the matter: nothing else is tried, and nobody is asked.
func TestRefusedAssertionOpensNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		trusted := oauthtest.TrustedIssuer{Issuer: "https://platform.test", Keys: map[string]crypto.PublicKey{"": &key.PublicKey}}
		p := newPerson(oauthtest.Config{ClientSecret: "s3cret", TrustedIssuers: []oauthtest.TrustedIssuer{trusted}})
		sent := &tap{RoundTripper: p.server.Client().Transport}
		var audience atomic.Value
		audience.Store("https://other.test")
		granted := func(cfg *connect.Config) {
			cfg.Client.Given = []*register.Registration{{ClientID: oauthtest.DefaultClientID, ClientSecret: "s3cret", AuthMethod: "client_secret_basic"}}
			cfg.OAuth.HTTPClient = &http.Client{Transport: sent}
			cfg.Refresh.MaxWait = 10 * time.Second
			cfg.Grant = func(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
				return client.JWTBearerRefresher(func(context.Context) (string, error) {
					return jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
						"iss": "https://platform.test", "sub": "job", "aud": audience.Load(), "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
					}).SignedString(key)
				}), nil
			}
		}
		if err := call(p.process(t, granted)); err == nil || !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("an assertion for another server: %v; want ErrMisconfigured", err)
		}
		audience.Store(p.server.Issuer())
		s := p.process(t, granted)
		mustCall(t, "an assertion for this one", s)
		audience.Store("https://other.test")
		time.Sleep(time.Hour)
		if err := call(s); err == nil {
			t.Error("a call has gone well without an assertion that the server takes")
		}
		p.want(t, "afterwards", 0, 0)
		for _, form := range sent.forms {
			if got := form.Get("grant_type"); got != oauth.GrantTypeJWTBearer {
				t.Errorf("the grant %q was tried", got)
			}
		}
	})
}

// The program is a client by its document where the server takes such, and what it has
// become earlier goes on.
func TestWaysToBeAClientComeInTheSpecificationsOrder(t *testing.T) {
	const document = "https://program.test/client.json"
	program := register.Metadata{ClientName: "Tool"}
	for name, tt := range map[string]struct {
		takes      bool // the server takes documents
		given      bool
		registered int
		clientID   string
	}{
		"given":               {true, true, 0, oauthtest.DefaultClientID},
		"document":            {true, false, 0, document},
		"no document of ours": {false, false, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := oauthtest.Config{}
				if tt.takes {
					cfg.FetchClient = func(context.Context, string) ([]byte, error) { return program.Document(document) }
				}
				p := newPerson(cfg)
				ways := func(cfg *connect.Config) {
					cfg.Client.DocumentURL = document
					if tt.given {
						cfg.Client.Given = []*register.Registration{{ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}}
					}
				}
				got := p.asksFor(t, ways).Get("client_id")
				if tt.clientID != "" && got != tt.clientID || tt.clientID == "" && (got == document || got == oauthtest.DefaultClientID) {
					t.Errorf("logs in as %q", got)
				}
				time.Sleep(time.Hour)
				p.launch(t, "the next launch", ways)
				p.want(t, "two launches", 1, tt.registered)
			})
		})
	}
}

// Two programs whose logins return to addresses of their own are two clients of a server, of which
// neither costs the other its session.
func TestProgramsWhoseLoginsReturnElsewhereKeepTheirClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		returns := func(address string) func(*connect.Config) {
			return func(cfg *connect.Config) {
				cfg.OAuth.RedirectURL, cfg.Account = address, address
				cfg.Client.Metadata.RedirectURIs = []string{address}
			}
		}
		const a, b = "http://127.0.0.1:3334/callback", "http://127.0.0.1:3335/callback"
		for round := range 3 {
			p.launch(t, "a", returns(a))
			p.launch(t, "b", returns(b))
			p.launch(t, "one that takes any", func(cfg *connect.Config) { cfg.OAuth.RedirectURL = "" })
			p.want(t, fmt.Sprint("round ", round), 3, 2)
			time.Sleep(3 * time.Hour)
		}
		p.forget(t) // the newest, which is that of b and of the one that takes any
		for range 3 {
			p.launch(t, "a, whose client the server knows", returns(a))
			p.launch(t, "b, as another client", returns(b))
			p.want(t, "one client is forgotten", 4, 4) // with the request to forget it
			time.Sleep(3 * time.Hour)
		}
	})
}

// What a server has given a client is sealed like the tokens.
func TestNothingThatIsKeptIsInTheClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
			f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		}})
		var dir string
		var cfg connect.Config
		files := inFiles(t, &dir)
		s := p.process(t, files, func(c *connect.Config) { cfg = *c })
		mustCall(t, "login", s)
		p.store = cfg.Refresh.Store
		kept := p.registration(t)
		pair, err := s.Token(t.Context())
		if err != nil || kept.ClientSecret == "" || kept.AccessToken == "" {
			t.Fatalf("%v, %v", kept, err)
		}
		if shown := inTheClear(t, dir, kept.ClientSecret, kept.AccessToken, kept.ClientID, pair.RefreshToken, pair.AccessToken); len(shown) != 0 {
			t.Errorf("%q show a client or its tokens", shown)
		}
	})
}

// A client's secret ends, and the server gives it another one: nobody is asked for that.
func TestASecretThatEndsIsRenewedWithoutALogin(t *testing.T) {
	for name, running := range map[string]bool{"running processes": true, "new processes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{ClientSecretLifetime: 24 * time.Hour, RefreshTokenLifetime: 1000 * time.Hour})
				p.server.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
					f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
				}})
				sessions := p.together(t, "first start", 3)
				first := p.registration(t)
				if !running {
					closeAll(sessions)
				}
				for range 3 {
					time.Sleep(25 * time.Hour)
					if !running {
						closeAll(p.together(t, "after the secret's end", 3))
						continue
					}
					var calls sync.WaitGroup
					for _, s := range sessions {
						calls.Go(func() { mustCall(t, "after the secret's end", s) })
					}
					calls.Wait()
				}
				if n := p.windows.Load(); n != 1 {
					t.Errorf("%d windows; want 1", n)
				}
				if next := p.registration(t); next.ClientID != first.ClientID || next.ClientSecret == first.ClientSecret {
					t.Errorf("the client is %v; want %v with another secret", next, first)
				}
			})
		})
	}
}

// Where a server gives no other secret, there is one new client and one login, and where it
// cannot be asked just now, neither.
func TestASecretThatCannotBeRenewedLeadsToOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{ClientSecretLifetime: 24 * time.Hour, RefreshTokenLifetime: 1000 * time.Hour})
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(f map[string]any) {
			f["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"}
		}})
		p.launch(t, "first start")
		time.Sleep(25 * time.Hour)
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.RegistrationEndpoint, Status: 503})
		if err := call(p.process(t)); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("while the server is away: %v; want ErrTransient", err)
		}
		if n := p.windows.Load(); n != 1 {
			t.Errorf("while the server is away: %d windows", n-1)
		}
		p.server.Script(oauthtest.Fault{Endpoint: oauthtest.RegistrationEndpoint, Status: 403})
		first := p.registration(t)
		p.together(t, "a server that gives no other secret", 3)
		if n := p.windows.Load(); n != 2 || p.registration(t).ClientID == first.ClientID {
			t.Errorf("%d windows; want 2, and another client", n)
		}
		for _, m := range p.server.Audit() {
			t.Error(m)
		}
	})
}

// The program is another client by now. It does not show the server the refresh token of the
// one that it was: a server may take that for theft.
func TestAnotherClientsRefreshTokenIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "another"}}})
		launch := func(clientID string) {
			s := p.process(t, func(cfg *connect.Config) {
				cfg.Client.Given = []*register.Registration{{ClientID: clientID, AuthMethod: "none"}}
			})
			mustCall(t, "as "+clientID, s)
			s.Close()
		}
		launch(oauthtest.DefaultClientID)
		p.age(t, 24*time.Hour)
		before := p.server.Requests(oauthtest.TokenEndpoint)
		launch("another")
		if n := p.server.Requests(oauthtest.TokenEndpoint) - before; n != 1 {
			t.Errorf("%d requests for tokens; want the one of the new login", n)
		}
		p.want(t, "two clients", 2, 0)
	})
}
