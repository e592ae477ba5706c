package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// leading answers with a redirect, and once more for whatever comes next.
func leading(status int, to string) roundTripFunc { return answering(status, "Location", to) }

// hostileAPIs are APIs that would like to have the token somewhere else, or to have it shown.
var hostileAPIs = map[string]roundTripFunc{
	"redirects elsewhere":       leading(http.StatusFound, "https://evil.test/x"),
	"redirects with the body":   leading(http.StatusPermanentRedirect, "https://evil.test/x"),
	"redirects to plain HTTP":   leading(http.StatusFound, "http://api.test/x"),
	"redirects to a port":       leading(http.StatusFound, "https://api.test:8443/x"),
	"redirects to a person":     leading(http.StatusFound, "https://api.test@evil.test/x"),
	"redirects to a look-alike": leading(http.StatusFound, "https://\u0430pi.test/x"),
	"repeats, 200":              taint.Hostile{Status: http.StatusOK}.RoundTrip,
	"repeats, 401":              taint.Hostile{Status: http.StatusUnauthorized}.RoundTrip,
	"repeats, 403":              taint.Hostile{Status: http.StatusForbidden}.RoundTrip,
	"is not there":              taint.Hostile{}.RoundTrip,
	"wants the token as a scope": func(r *http.Request) (*http.Response, error) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return answering(http.StatusForbidden, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+token+` `+url.QueryEscape(marks.Text("s"))+`"`)(r)
	},
	"wants the token as a nonce": func(r *http.Request) (*http.Response, error) {
		return answering(http.StatusUnauthorized, "WWW-Authenticate", `DPoP error="use_dpop_nonce"`, "DPoP-Nonce", r.Header.Get("Authorization"))(r)
	},
	"comes back": func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/back" {
			return answering(http.StatusOK)(r)
		}
		return leading(http.StatusFound, "https://evil.test/to?https://api.test/back")(r)
	},
}

// The taint test of this package: tokens reach their server and the API, and what an API says
// to get them elsewhere, or shown, changes nothing.
func TestLaw8_APIsGetNoTokenThatIsNotTheirsAndHaveNoneShown(t *testing.T) {
	for name, api := range hostileAPIs {
		for _, dpop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, DPoP %v", name, dpop), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { visitAPI(t, api, dpop) })
			})
		}
	}
}

func visitAPI(t *testing.T, api http.RoundTripper, dpop bool) {
	b := new(taint.Book)
	fixture := newFixture
	if dpop {
		fixture = newDPoPFixture
	}
	var world *taint.Servers
	f := fixture(t, oauthtest.Config{JWTRefreshTokens: true}, func(c *refresh.Config) {
		next := c.OnEvent
		c.OnEvent = func(e refresh.Event) { next(e); b.Print("event", e) }
		c.Logger = slog.New(slog.NewTextHandler(b, nil))
		c.TokenStore = func(_ context.Context, p *oauth.TokenPair) error { knowPair(b, p, lawsAPI); return nil }
		c.OnInsufficientScope = func(scope string) { b.Shown("OnInsufficientScope", scope) }
		c.OAuthClient, world = inWorld(b, c.OAuthClient.(*oauth.Client), api)
	})
	knowPair(b, f.first, lawsAPI)
	f.start(t)
	resource := f.Resource(lawsAPI)
	for via, transport := range map[string]http.RoundTripper{
		"Transport": f.Transport(world), "Resource": resource.Transport(world),
		"x/oauth2": &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, f), Base: atAPI{world}},
	} {
		client := &http.Client{Transport: transport}
		for _, address := range []string{"https://api.test/x", "https://evil.test/x", "http://api.test/x", "https://api.test.evil.test/x", lawsServer + "/x"} {
			if via == "x/oauth2" && address != "https://api.test/x" {
				continue // which sends the token anywhere
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Request", "x")
			resp, err := client.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			var own *oauth.Error
			if errors.As(err, &own) { // the rest is what the API and net/http say
				b.PrintError(via+" "+address, own)
			}
			showStatus(t, b, f.Manager, nil)
		}
	}
	for _, uri := range []string{lawsAPI + "/auth.v1.Auth", "https://evil.test/auth.v1.Auth", "http://api.test/x", ""} {
		md, err := f.GetRequestMetadata(t.Context(), uri)
		b.Request(strings.TrimSuffix(uri, "/auth.v1.Auth"), fmt.Sprint(md))
		b.PrintError("gRPC "+uri, err)
	}
	if err := f.Logout(t.Context()); err != nil {
		b.PrintError("logout", err)
	}
	showStatus(t, b, f.Manager, nil)
	f.Stop()
	b.Check(t, 3, 60)
}

// atAPI keeps redirects of x/oauth2, whose own they are, off the record.
type atAPI struct{ world http.RoundTripper }

func (a atAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme+"://"+r.URL.Host != lawsAPI {
		return answering(http.StatusOK)(r)
	}
	return a.world.RoundTrip(r)
}

// A tenant has a server of its own, and an API: "a" those at https://auth-a.test and
// https://api-a.test.
type tenant struct {
	name   string
	server *oauthtest.Server
	client *oauth.Client
}

func (n *tenant) auth() string { return "https://auth-" + n.name + ".test" }
func (n *tenant) api() string  { return "https://api-" + n.name + ".test" }

// RoundTrip is the server's, by its name among the others.
func (n *tenant) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.URL.Host, in.Host = "auth.test", "auth.test"
	return n.server.Client().Transport.RoundTrip(in)
}

// newTenant adds a tenant to a world.
func newTenant(b *taint.Book, world *taint.Servers, name string) *tenant {
	secret := name + "-s3cret-of-the-client-of-" + name
	n := &tenant{name: name, server: oauthtest.New(oauthtest.Config{ClientSecret: secret, DefaultScope: "profile offline_access"})}
	b.Secret("client secret of "+name, secret, n.auth())
	cfg := n.server.OAuthConfig()
	for _, address := range []*string{&cfg.AuthURL, &cfg.TokenURL, &cfg.DeviceAuthURL, &cfg.RevocationURL, &cfg.Endpoints.Userinfo, &cfg.Endpoints.Introspection} {
		*address = strings.Replace(*address, lawsServer, n.auth(), 1)
	}
	cfg.Issuer, cfg.HTTPClient = n.auth(), &http.Client{Transport: world}
	n.client = oauth.NewClient(cfg)
	world.At[n.auth()], world.At[n.api()] = n, taint.Hostile{Status: http.StatusUnauthorized}
	return n
}

// Sessions of several servers in one pool: none gets what is another's, in health and in
// trouble, renewed, refused and logged out.
func TestLaw8_TokensOfOneServerReachNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(taint.Book)
		world := &taint.Servers{Book: b, At: map[string]http.RoundTripper{}, Else: taint.Hostile{Status: http.StatusOK}}
		tenants := map[string]*tenant{}
		for _, name := range []string{"a", "b", "c"} {
			tenants[name] = newTenant(b, world, name)
		}
		know := func(name string, p *oauth.TokenPair) {
			n := tenants[name]
			b.Secret("access token of "+name, p.AccessToken, n.auth(), n.api())
			b.Secret("refresh token of "+name, p.RefreshToken, n.auth())
		}
		store := new(tokenstore.Memory)
		pool := refresh.NewPool(refresh.PoolConfig{
			Config: refresh.Config{Store: store, Logger: slog.New(slog.NewTextHandler(b, nil)), OnEvent: func(e refresh.Event) { b.Print("event", e) }},
			Configure: func(session string, cfg *refresh.Config) {
				cfg.OAuthClient = tenants[session].client
				if session != "c" { // whose first request says it
					cfg.AllowedOrigins = []string{tenants[session].api()}
				}
				cfg.TokenStore = func(_ context.Context, p *oauth.TokenPair) error { know(session, p); return nil }
			},
		})
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		managers := map[string]*refresh.Manager{}
		for name, n := range tenants {
			pair, err := n.server.Login("alice")
			if err != nil {
				t.Fatal(err)
			}
			know(name, pair)
			if managers[name], err = pool.Add(t.Context(), name, pair); err != nil {
				t.Fatal(err)
			}
			visit(t, managers[name].Transport(world), n.api()+"/x")
		}
		for _, fault := range []oauthtest.Fault{{}, {Status: http.StatusServiceUnavailable}, {Redirect: "https://auth-b.test/token"}, {Status: http.StatusTooManyRequests}, {Body: `{"access_token":7}`}, {}} {
			for name, n := range tenants {
				if fault.Status != 0 || fault.Redirect != "" || fault.Body != "" {
					n.server.Script(fault)
				}
				m := managers[name]
				b.PrintError(name, m.ForceRefresh(t.Context()))
				for _, to := range tenants {
					visit(t, m.Transport(world), to.api()+"/x")
					visit(t, m.Transport(world), to.auth()+"/userinfo")
				}
				b.Print(name, m, m.GetRefreshStatus(), pool)
			}
		}
		for _, m := range managers {
			b.PrintError("logout", m.Logout(t.Context()))
		}
		for status := range pool.Statuses() {
			b.Print("a status", status)
		}
		b.Print("statistics", pool.Stats())
		pool.Stop()
		b.Check(t, 12, 100)
	})
}

// visit sends a request, for what it has in it.
func visit(t *testing.T, via http.RoundTripper, address string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := via.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
	}
}
