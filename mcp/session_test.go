package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/evertoken/evertoken/mcp"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A place is an MCP server of the SDK's behind an authorization server, and a person.
type place struct {
	*httptest.Server
	as      atomic.Pointer[oauthtest.Server]
	scope   atomic.Pointer[string] // that calls of tools need
	refuses atomic.Bool            // every token
	visits  atomic.Int32           // windows that opened
	opened  chan struct{}          // has one for each of the first of them
	away    atomic.Bool            // the person does not answer
}

func newPlace(t *testing.T, cfg oauthtest.Config) *place {
	t.Helper()
	p := &place{opened: make(chan struct{}, 10)}
	p.as.Store(authServer(t, cfg))
	server := sdk.NewServer(&sdk.Implementation{Name: "place", Version: "1"}, nil)
	sdk.AddTool(server, &sdk.Tool{Name: "hello"}, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "hello"}}}, nil, nil
	})
	streams := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil)
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	metadata := p.URL + "/.well-known/oauth-protected-resource/mcp"
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"resource":%q,"authorization_servers":[%q]}`, p.URL+"/mcp", p.as.Load().Issuer())
	})
	guarded := auth.RequireBearerToken(p.verify, &auth.RequireBearerTokenOptions{ResourceMetadataURL: metadata})(streams)
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if scope := p.scope.Load(); scope != nil && r.Header.Get("Authorization") != "" {
			if info, err := p.verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r); err == nil && !hasScope(info.Scopes, *scope) {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+*scope+`"`)
				w.WriteHeader(http.StatusForbidden)
				return
			}
		}
		guarded.ServeHTTP(w, r)
	})
	return p
}

func authServer(t *testing.T, cfg oauthtest.Config) *oauthtest.Server {
	t.Helper()
	s := oauthtest.NewServer(cfg)
	t.Cleanup(s.Close)
	return s
}

func hasScope(scopes []string, scope string) bool {
	return strings.Contains(" "+strings.Join(scopes, " ")+" ", " "+scope+" ")
}

// verify asks the authorization server's own API whether a token is good.
func (p *place) verify(ctx context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.as.Load().Resource(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if p.refuses.Load() || resp.StatusCode != http.StatusOK {
		return nil, auth.ErrInvalidToken
	}
	body, err := io.ReadAll(resp.Body)
	_, scope, _ := strings.Cut(string(body), `"scope":"`)
	scope, _, _ = strings.Cut(scope, `"`)
	return &auth.TokenInfo{Scopes: strings.Fields(scope), Expiration: time.Now().Add(time.Hour)}, err
}

// session returns a session of the person's, who allows all.
func (p *place) session(t *testing.T, change ...func(*mcp.Config)) *mcp.Session {
	t.Helper()
	cfg := mcp.Config{
		URL:    p.URL + "/mcp",
		Client: register.Options{Metadata: register.Metadata{ClientName: "Tool"}},
		OAuth: oauth.Config{Output: io.Discard, OpenBrowser: func(ctx context.Context, address string) error {
			p.visits.Add(1)
			select {
			case p.opened <- struct{}{}:
			default:
			}
			if !p.away.Load() {
				go p.allow(ctx, address)
			}
			return nil
		}},
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := mcp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (p *place) allow(ctx context.Context, address string) {
	location, err := p.as.Load().Allow(ctx, address, oauthtest.DefaultUser)
	if err != nil {
		return
	}
	if req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil); err == nil {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
}

// call calls a tool once more.
func call(t *testing.T, conn *sdk.ClientSession) error {
	t.Helper()
	_, err := conn.CallTool(t.Context(), &sdk.CallToolParams{Name: "hello"})
	return err
}

func connect(t *testing.T, transport *sdk.StreamableClientTransport) *sdk.ClientSession {
	t.Helper()
	client := sdk.NewClient(&sdk.Implementation{Name: "tool", Version: "1"}, nil)
	conn, err := client.Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (p *place) want(t *testing.T, when string, visits int32) {
	t.Helper()
	if got := p.visits.Load(); got != visits {
		t.Errorf("%s: %d windows; want %d", when, got, visits)
	}
	for _, m := range p.as.Load().Audit() {
		t.Errorf("%s: the client made a mistake: %v", when, m)
	}
}

// ways are how a program gives the SDK its session.
var ways = map[string]func(*mcp.Session) *sdk.StreamableClientTransport{
	"Client": func(s *mcp.Session) *sdk.StreamableClientTransport {
		return &sdk.StreamableClientTransport{Endpoint: s.URL(), HTTPClient: s.Client()}
	},
	"OAuthHandler": func(s *mcp.Session) *sdk.StreamableClientTransport {
		return &sdk.StreamableClientTransport{Endpoint: s.URL(), OAuthHandler: s.OAuthHandler()}
	},
}

func TestOneLoginLasts(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			conn := connect(t, way(p.session(t)))
			for round := range 3 {
				if err := call(t, conn); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if name == "OAuthHandler" && round > 0 {
					break // it takes a second refusal within a minute to be about the renewal
				}
				p.as.Load().ExpireAccess(oauthtest.DefaultUser)
			}
			p.want(t, "after the server has dropped the access tokens", 1)
			if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
				t.Errorf("%d registrations", n)
			}
		})
	}
}

// A session that the server has ended while no program ran, and a renewal is not so recent
// that the manager asks a second time before it believes that.
func TestAnEndedSessionAsksOnce(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			store := new(tokenstore.Memory)
			keeping := func(cfg *mcp.Config) { cfg.Refresh.Store = store }
			s := p.session(t, keeping)
			if err := call(t, connect(t, way(s))); err != nil {
				t.Fatal(err)
			}
			s.Close()
			p.as.Load().RevokeAll(oauthtest.DefaultUser)
			age(t, store, 10*time.Minute)
			conn := connect(t, way(p.session(t, keeping)))
			var calls sync.WaitGroup
			for range 10 {
				calls.Go(func() {
					if err := call(t, conn); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			p.want(t, "after the server has ended the session", 2)
			if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
				t.Errorf("%d registrations", n)
			}
		})
	}
}

// age makes the stored pairs older.
func age(t *testing.T, store *tokenstore.Memory, by time.Duration) {
	t.Helper()
	names, err := store.Names(t.Context())
	if err != nil || len(names) == 0 {
		t.Fatalf("%d sessions are stored (%v)", len(names), err)
	}
	for _, name := range names {
		rec, err := store.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		rec.Tokens.IssuedAt, rec.Tokens.GrantedAt = rec.Tokens.IssuedAt.Add(-by), rec.Tokens.GrantedAt.Add(-by)
		if _, err := store.Set(t.Context(), name, rec); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyCallsMeetOneLogin(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	client := p.session(t).Client()
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			resp, err := client.Post(p.URL+"/mcp", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusUnauthorized {
				t.Error("HTTP 401")
			}
		})
	}
	calls.Wait()
	p.want(t, "20 calls at once", 1)
}

func TestStoredSessionAndRegistrationServeTheNextRun(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	store := new(tokenstore.Memory)
	keeping := func(cfg *mcp.Config) { cfg.Refresh.Store = store }
	for range 3 {
		s := p.session(t, keeping)
		if err := call(t, connect(t, ways["Client"](s))); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s.Close()
	}
	p.want(t, "three runs", 1)
	if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
		t.Errorf("%d registrations", n)
	}
	other := p.session(t, keeping, func(cfg *mcp.Config) { cfg.Account = "bob" })
	if err := call(t, connect(t, ways["Client"](other))); err != nil {
		t.Fatal(err)
	}
	p.want(t, "another account", 2)
}

// What belongs to one authorization server is never shown to another.
func TestAnotherServerGetsAClientAndALoginOfItsOwn(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			conn := connect(t, way(p.session(t, func(cfg *mcp.Config) { cfg.Refresh.Store = new(tokenstore.Memory) })))
			if err := call(t, conn); err != nil {
				t.Fatal(err)
			}
			old := p.as.Load()
			p.as.Store(authServer(t, oauthtest.Config{}))
			if err := call(t, conn); err != nil {
				t.Fatal(err)
			}
			p.want(t, "at the new server", 2)
			if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
				t.Errorf("%d registrations at the new server", n)
			}
			if n := p.as.Load().Refreshes() + old.Requests(oauthtest.RegistrationEndpoint); n != 1 {
				t.Errorf("%d; want no refresh at the new server and one registration at the old", n)
			}
		})
	}
}

// Processes that share a Store follow the API to another server by one registration and one
// login, and nothing that the old server gave is shown there.
func TestManyProcessesFollowTheAPIToAnotherServerOnce(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	store := new(tokenstore.Memory)
	var conns []*sdk.ClientSession
	shown := &bodies{}
	for range 4 {
		s := p.session(t, func(cfg *mcp.Config) {
			cfg.Refresh.Store = store
			cfg.OAuth.HTTPClient = &http.Client{Transport: shown}
		})
		conns = append(conns, connect(t, ways["Client"](s)))
	}
	old := stored(t, store)
	p.as.Store(authServer(t, oauthtest.Config{}))
	before := shown.read()
	var calls sync.WaitGroup
	for _, conn := range conns {
		calls.Go(func() {
			if err := call(t, conn); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	p.want(t, "at the new server", 2)
	if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
		t.Errorf("%d registrations at the new server; want 1", n)
	}
	host := strings.TrimPrefix(p.as.Load().URL, "http://")
	for _, line := range shown.read()[len(before):] {
		if strings.HasPrefix(line, host) && (strings.Contains(line, old.RefreshToken) || strings.Contains(line, url.QueryEscape(old.RefreshToken)) || strings.Contains(line, old.AccessToken)) {
			t.Error("the new server was shown a token of the old one's")
		}
	}
}

// stored returns the pair of the only session in a Store.
func stored(t *testing.T, store *tokenstore.Memory) *oauth.TokenPair {
	t.Helper()
	names, err := store.Names(t.Context())
	if err != nil || len(names) != 1 {
		t.Fatalf("the sessions %q are stored, %v", names, err)
	}
	rec, err := store.Get(t.Context(), names[0])
	if err != nil {
		t.Fatal(err)
	}
	return rec.Tokens
}

// A bodies is a transport that keeps the host and the body of each request.
type bodies struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// RoundTrip implements http.RoundTripper.
func (b *bodies) RoundTrip(req *http.Request) (*http.Response, error) {
	line := req.URL.Host + " " + req.Header.Get("Authorization") + " "
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		line += string(body)
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	b.mu.Lock()
	b.lines = append(b.lines, line)
	b.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

func (b *bodies) read() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}

// A given client is for the first server alone.
func TestGivenClientIsNotTakenToAnotherServer(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	given := &register.Registration{ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}
	conn := connect(t, ways["Client"](p.session(t, func(cfg *mcp.Config) { cfg.Client.Given = []*register.Registration{given} })))
	if err := call(t, conn); err != nil {
		t.Fatal(err)
	}
	p.as.Store(authServer(t, oauthtest.Config{}))
	if err := call(t, conn); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("%v; want ErrMisconfigured", err)
	}
	if n := p.as.Load().Requests(oauthtest.AuthorizeEndpoint) + p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 0 || p.visits.Load() != 1 || given.Issuer != "" {
		t.Errorf("%d requests with the client, %d windows", n, p.visits.Load())
	}
}

func TestMoreScopeIsAskedForOnTopAndOnce(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			conn := connect(t, way(p.session(t, func(cfg *mcp.Config) { cfg.OAuth.Scopes = []string{"profile"} })))
			if err := call(t, conn); err != nil {
				t.Fatal(err)
			}
			email, never := "email", "never"
			p.scope.Store(&email)
			if err := call(t, conn); err != nil {
				t.Fatal(err)
			}
			p.want(t, "more scope", 2)
			p.as.Load().Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Edit: func(f map[string]any) { f["scope"] = "profile" }})
			p.scope.Store(&never)
			_ = call(t, conn) // asks for it, and does not get it: the scope is none of the server's
			_ = call(t, conn)
			if n := p.visits.Load(); n > 3 {
				t.Errorf("%d windows for a scope that never helps; want one", n-2)
			}
		})
	}
}

// A server that wants something else each time would open one window after the other.
func TestOneCallEndsAfterAFewLogins(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	client := p.session(t).Client()
	wants := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		wants++
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope="s%d"`, wants))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer front.Close()
	p.Config.Handler.(*http.ServeMux).Handle("/greedy", front.Config.Handler)
	resp, err := client.Get(p.URL + "/greedy")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || p.visits.Load() != 3 {
		t.Errorf("HTTP %d after %d windows; want the server's 403 after three", resp.StatusCode, p.visits.Load())
	}
}

// Endpoints are assumed only for servers that nobody has named.
func TestNamedServerIsNotAssumed(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	p.as.Load().Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Status: 404, Times: -1}, oauthtest.Fault{Endpoint: oauthtest.OpenIDEndpoint, Status: 404, Times: -1})
	client := p.session(t, func(cfg *mcp.Config) { cfg.OAuth.AssumeEndpoints = true }).Client()
	if resp, err := client.Get(p.URL + "/mcp"); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("got %v, %v; want ErrMisconfigured", resp, err)
	}
	p.want(t, "a server without metadata", 0)
}

// A server that takes no token at all must not open a window for each call.
func TestATokenThatIsNeverTakenIsNotAskedForAgain(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{OfflineScope: true, DefaultScope: "profile"}) // no refresh token either
			p.refuses.Store(true)
			client := sdk.NewClient(&sdk.Implementation{Name: "tool", Version: "1"}, nil)
			s := p.session(t)
			for range 3 {
				if conn, err := client.Connect(t.Context(), way(s), nil); err == nil {
					conn.Close()
					t.Error("connected")
				}
			}
			p.want(t, "three attempts", 1)
		})
	}
}

func TestACallerMayLeaveAndCloseEndsTheLogin(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	p.away.Store(true)
	s := p.session(t)
	ctx, leave := context.WithCancelCause(t.Context())
	tired := errors.New("tired of waiting")
	go func() {
		<-p.opened
		leave(tired)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/mcp", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Do(req); !errors.Is(err, tired) {
		t.Errorf("%v; want the caller's own cause", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Client().Post(p.URL+"/mcp", "application/json", strings.NewReader("{}"))
		done <- err
	}()
	s.Close()
	if err := <-done; err == nil {
		t.Error("a call went through")
	}
	p.want(t, "one login for both", 1)
}

// Tokens go to the MCP server alone.
func TestRequestsElsewhereAreBare(t *testing.T) {
	p := newPlace(t, oauthtest.Config{})
	s := p.session(t)
	if err := call(t, connect(t, ways["Client"](s))); err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went elsewhere")
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	resp, err := s.Client().Get(elsewhere.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.want(t, "a 401 elsewhere", 1)
}

func TestGrantNeedsNoPerson(t *testing.T) {
	p := newPlace(t, oauthtest.Config{ClientSecret: "s3cret"})
	s := p.session(t, func(cfg *mcp.Config) {
		cfg.Client.Given = []*register.Registration{{ClientID: oauthtest.DefaultClientID, ClientSecret: "s3cret", AuthMethod: "client_secret_basic"}}
		cfg.Grant = func(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
			return client.ClientCredentialsRefresher(), nil
		}
		cfg.Refresh = refresh.Config{MaxWait: time.Minute}
	})
	conn := connect(t, ways["Client"](s))
	for range 2 {
		if err := call(t, conn); err != nil {
			t.Fatal(err)
		}
		p.as.Load().ExpireAccess("")
	}
	p.want(t, "client credentials", 0)
}
