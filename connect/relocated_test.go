package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// A relocation is a server that moves its token endpoint, and the one where tokens are revoked,
// below another address.
type relocation struct {
	http.RoundTripper
	status  int    // of the old address from then on; 0: it cannot be reached
	body    string // of that answer
	to      string // what the metadata names from then on
	foreign string // the issuer that the metadata names from then on, if that is not ""

	moved  atomic.Bool
	down   atomic.Bool  // there are neither endpoints nor metadata
	asked  atomic.Int32 // requests for the server's metadata since the move
	before atomic.Int32 // forms that were sent to the old address since
	others sync.Map     // hosts and paths that a form was sent to, but for the old address
}

// RoundTrip implements http.RoundTripper.
func (r *relocation) RoundTrip(req *http.Request) (*http.Response, error) {
	endpoint := strings.HasSuffix(req.URL.Path, "/token") || strings.HasSuffix(req.URL.Path, "/revoke")
	if r.moved.Load() && endpoint && !strings.HasPrefix(req.URL.Path, "/v2/") {
		r.before.Add(1)
	}
	switch {
	case !r.moved.Load():
	case r.down.Load() && (endpoint || strings.HasPrefix(req.URL.Path, "/.well-known/")):
		return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	case endpoint && (strings.HasPrefix(req.URL.Path, "/v2/") || req.URL.Host != "auth.test"):
		r.others.Store(req.URL.Host+req.URL.Path, true)
		to := req.Clone(req.Context())
		to.URL.Scheme, to.URL.Host, to.URL.Path = "https", "auth.test", strings.TrimPrefix(req.URL.Path, "/v2")
		req = to
	case endpoint && r.status == 0:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case endpoint:
		resp := rejecting(r.status, "")
		if resp.Request = req; r.body != "" {
			resp.Header.Set("Content-Type", "application/json")
			resp.Body = io.NopCloser(strings.NewReader(r.body))
		}
		return resp, nil
	case strings.HasPrefix(req.URL.Path, "/.well-known/oauth-authorization-server"):
		r.asked.Add(1)
	}
	e := &edit{RoundTripper: r.RoundTripper, after: func(_ string, answer map[string]any) {
		if answer["token_endpoint"] == nil || !r.moved.Load() {
			return
		}
		answer["token_endpoint"], answer["revocation_endpoint"] = r.to+"/token", r.to+"/revoke"
		if r.foreign != "" {
			answer["issuer"] = r.foreign
		}
	}}
	return e.RoundTrip(req)
}

// use makes a process one whose requests pass r.
func (r *relocation) use(cfg *connect.Config) {
	if r.RoundTripper == nil {
		r.RoundTripper = cfg.Transport
	}
	cfg.Transport, cfg.OAuth.HTTPClient = r, &http.Client{Transport: r}
}

// tokenURL returns the endpoint that is kept for the next process.
func (p *person) tokenURL(t *testing.T) string {
	t.Helper()
	rec, err := p.store.Get(t.Context(), connect.PlaceRecord(p.server.Resource(), ""))
	var kept struct {
		TokenURL string `json:"token_url"`
	}
	if err == nil {
		err = json.Unmarshal(rec.Unknown["connect"], &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	return kept.TokenURL
}

// The endpoints that were found at the login are not for ever: where one is not there any more,
// the issuer's metadata is asked, once for all processes.
func TestF90_AServerCanMoveItsTokenEndpoint(t *testing.T) {
	for how, restarted := range map[string]bool{"running": false, "restarted": true} {
		for _, status := range []int{404, 405, 410, 301, 302, 303, 307, 308, 0} {
			t.Run(fmt.Sprint(how, ", ", status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPerson(oauthtest.Config{})
					r := &relocation{status: status, to: "https://auth.test/v2"}
					sessions := p.together(t, "first", 3, r.use)
					time.Sleep(2 * time.Minute)
					r.moved.Store(true)
					if restarted {
						closeAll(sessions)
					}
					time.Sleep(6 * time.Hour)
					if restarted {
						sessions = nil
						for range 3 {
							sessions = append(sessions, p.process(t, r.use))
						}
						if status == 0 {
							_ = call(sessions[0]) // cannot be told from trouble of the network yet
							time.Sleep(2 * time.Minute)
						}
					}
					for range 3 {
						for _, s := range sessions {
							mustCall(t, "after the move", s)
						}
						time.Sleep(time.Hour)
					}
					if n := r.asked.Load(); n != 1 {
						t.Errorf("the metadata was asked for %d times; want once", n)
					}
					if got := p.tokenURL(t); got != "https://auth.test/v2/token" {
						t.Errorf("%s is kept", got)
					}
					closeAll(sessions)
					time.Sleep(time.Hour)
					p.launch(t, "the next start", r.use)
					if n := r.asked.Load(); n != 1 {
						t.Errorf("the next start asked for metadata")
					}
					p.want(t, "afterwards", 1, 1)
				})
			})
		}
	}
}

// Commands that last for moments notice together that an endpoint is away for good.
func TestShortCommandsFollowAServerThatHasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		r := &relocation{to: "https://auth.test/v2"}
		p.launch(t, "first", r.use)
		r.moved.Store(true)
		time.Sleep(time.Hour)
		short := func(cfg *connect.Config) { r.use(cfg); cfg.Refresh.MaxWait = 2 * time.Second }
		for range 3 {
			s := p.process(t, short)
			if err := call(s); err == nil {
				t.Error("a call has passed before a check interval was over")
			}
			s.Close()
			time.Sleep(10 * time.Second)
		}
		if n := r.asked.Load(); n != 0 {
			t.Errorf("the metadata was asked for %d times within a check interval", n)
		}
		time.Sleep(2 * time.Minute)
		p.launch(t, "minutes later", short)
		p.want(t, "afterwards", 1, 1)
	})
}

// What is published counts by the rules of the first time, and of this issuer alone. Until the
// old endpoint is back, the metadata is asked for once in a check interval.
func TestARefreshTokenFollowsNobodyElse(t *testing.T) {
	for name, r := range map[string]*relocation{
		"another issuer":             {status: 404, to: "https://auth.test/v2", foreign: "https://other.test"},
		"without TLS":                {status: 404, to: "http://auth.test/v2"},
		"this machine":               {status: 404, to: "https://127.0.0.1/v2"},
		"this machine, by name":      {status: 404, to: "http://localhost:8080/v2"},
		"another scheme":             {status: 404, to: "file:///v2"},
		"none":                       {status: 404, to: ""},
		"the old one":                {status: 404, to: "https://auth.test"},
		"the old one, out of reach":  {status: 0, to: "https://auth.test"},
		"a fault of the server's":    {status: 503, to: "https://auth.test/v2"},
		"a refusal":                  {status: 400, to: "https://auth.test/v2"},
		"a word for another trouble": {status: 401, to: "https://auth.test/v2", body: `{"error":"temporarily_unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				sessions := p.together(t, "first", 3, r.use)
				r.moved.Store(true)
				began := time.Now()
				time.Sleep(time.Hour)
				for range 20 {
					for _, s := range sessions {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						if _, err := s.Token(ctx); err == nil {
							t.Error("there is a token")
						}
						cancel()
					}
				}
				if n, most := int(r.asked.Load()), 1+int(time.Since(began)/time.Minute); n > most || r.status >= 400 && r.status != 404 && n != 0 {
					t.Errorf("the metadata was asked for %d times in %v", n, time.Since(began))
				}
				r.others.Range(func(address, _ any) bool {
					t.Errorf("a refresh token was sent to %s", address)
					return true
				})
				r.moved.Store(false)
				time.Sleep(6 * time.Hour) // a refusal that says nothing is asked about at a falling rate
				for _, s := range sessions {
					mustCall(t, "after all", s)
				}
				p.want(t, "afterwards", 1, 1)
			})
		})
	}
}

// Where metadata was missing at the login, its absence is no reason to assume endpoints later.
func TestEndpointsAreNotAssumedForAServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{API: oauthtest.APIShape{NoMetadata: true}})
		r := &relocation{status: 404, to: "https://auth.test/v2"}
		r.moved.Store(true)
		s := p.process(t, r.use, func(cfg *connect.Config) { cfg.OAuth.AssumeEndpoints = true })
		mustCall(t, "first", s)
		r.down.Store(true)
		time.Sleep(time.Hour)
		if n := r.before.Load(); n != 0 {
			t.Errorf("%d requests for tokens were sent where nobody has said that they belong", n)
		}
		r.down.Store(false)
		time.Sleep(6 * time.Hour)
		mustCall(t, "after all", s)
		p.want(t, "afterwards", 1, 1)
	})
}

// The server's word that a session is over is no sign of a move.
func TestAWordThatEndsTheSessionIsHeardWhereverItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		r := &relocation{status: 404, body: `{"error":"invalid_grant"}`, to: "https://auth.test/v2"}
		s := p.process(t, r.use)
		mustCall(t, "first", s)
		time.Sleep(5 * time.Minute)
		r.moved.Store(true)
		time.Sleep(time.Hour)
		if _, err := s.Token(t.Context()); !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("%v; want ErrLoginRequired", err)
		}
		if n := r.asked.Load(); n != 0 {
			t.Errorf("the metadata was asked for %d times", n)
		}
	})
}

// A logout revokes where that is done by now.
func TestALogoutFollowsTheEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		r := &relocation{status: 404, to: "https://auth.test/v2"}
		p.launch(t, "first", r.use)
		r.moved.Store(true)
		s := p.process(t, r.use)
		if err := s.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if _, is := r.others.Load("auth.test/v2/revoke"); !is {
			t.Error("nothing was revoked")
		}
	})
}

// So does what needs no person.
func TestAGrantFollowsTheEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{ClientSecret: "s3cret"})
		r := &relocation{status: 404, to: "https://auth.test/v2"}
		s := p.process(t, r.use, func(cfg *connect.Config) {
			cfg.Client.Given = []*register.Registration{{ClientID: oauthtest.DefaultClientID, ClientSecret: "s3cret", AuthMethod: "client_secret_basic"}}
			cfg.Grant = func(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
				return client.ClientCredentialsRefresher(), nil
			}
		})
		mustCall(t, "first", s)
		r.moved.Store(true)
		time.Sleep(6 * time.Hour)
		mustCall(t, "after the move", s)
		p.want(t, "afterwards", 0, 0)
	})
}

// A login for more, after a move, is at the endpoints that there are by now.
func TestALoginForMoreScopeFollowsTheEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		r := &relocation{status: 404, to: "https://auth.test/v2"}
		noScopesIn := oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }}
		p.server.Script(noScopesIn)
		s := p.process(t, r.use, func(cfg *connect.Config) { cfg.OAuth.Scopes = []string{"profile"} })
		mustCall(t, "first", s)
		r.moved.Store(true)
		time.Sleep(6 * time.Hour)
		mustCall(t, "after the move", s)
		p.insufficient("email", 1)
		mustCall(t, "with more scope", s)
		p.want(t, "afterwards", 2, 1)
		if got := p.tokenURL(t); got != "https://auth.test/v2/token" {
			t.Errorf("%s is kept", got)
		}
	})
}

// The endpoint of logins can move alone. Where the metadata cannot be had, a login is where it was.
func TestALoginForMoreScopeIsWhereLoginsAreNow(t *testing.T) {
	for name, away := range map[string]bool{"published": false, "metadata away": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceMetadataEndpoint, Times: -1, Edit: func(f map[string]any) { delete(f, "scopes_supported") }})
				var moved atomic.Bool
				at := ""
				move := func(cfg *connect.Config) {
					cfg.OAuth.Scopes = []string{"profile"}
					cfg.OAuth.HTTPClient = &http.Client{Transport: &edit{RoundTripper: cfg.Transport, after: func(_ string, answer map[string]any) {
						if answer["authorization_endpoint"] != nil && moved.Load() {
							answer["authorization_endpoint"] = "https://auth.test/v2/authorize"
							if away {
								answer["issuer"] = "" // no document of this server's
							}
						}
					}}}
				}
				p.plain = func(address string) string {
					_, at, _ = strings.Cut(address, "https://auth.test")
					at, _, _ = strings.Cut(at, "?")
					return strings.Replace(address, "/v2/", "/", 1)
				}
				s := p.process(t, move)
				mustCall(t, "first", s)
				moved.Store(true)
				time.Sleep(2 * time.Minute)
				p.insufficient("email", 1)
				mustCall(t, "with more scope", s)
				p.want(t, "afterwards", 2, 1)
				if want := map[bool]string{false: "/v2/authorize", true: "/authorize"}[away]; at != want {
					t.Errorf("the person logged in at %s; want %s", at, want)
				}
			})
		})
	}
}
