package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestDiscoverFindsEveryEndpoint(t *testing.T) {
	for _, path := range []string{"", "/tenant", "/a/b"} {
		s := oauthtest.New(oauthtest.Config{IssuerPath: path})
		want := s.OAuthConfig()
		c, err := oauth.Discover(t.Context(), s.Issuer(), oauth.Config{ClientID: want.ClientID, HTTPClient: s.Client()})
		if err != nil {
			t.Fatalf("issuer path %q: %v", path, err)
		}
		got := c.Config()
		for name, pair := range map[string][2]string{
			"Issuer": {got.Issuer, want.Issuer}, "AuthURL": {got.AuthURL, want.AuthURL}, "TokenURL": {got.TokenURL, want.TokenURL},
			"DeviceAuthURL": {got.DeviceAuthURL, want.DeviceAuthURL}, "RevocationURL": {got.RevocationURL, want.RevocationURL},
			"IntrospectionURL": {got.Endpoints.Introspection, want.Endpoints.Introspection}, "UserinfoURL": {got.Endpoints.Userinfo, want.Endpoints.Userinfo},
		} {
			if pair[0] != pair[1] {
				t.Errorf("issuer path %q: %s is %q; want %q", path, name, pair[0], pair[1])
			}
		}
		if !got.RequireIss {
			t.Error("the server announces iss; RequireIss is not set")
		}
		if got.ClientAuth.Method() != "none" {
			t.Errorf("a client without secret authenticates by %s", got.ClientAuth)
		}
		if m := c.Metadata(); m == nil || m.JWKSURL == "" || len(m.GrantTypesSupported) == 0 || len(m.Raw) == 0 {
			t.Errorf("metadata %+v", m)
		}
		if _, err := c.Refresh(t.Context(), mustLogin(t, s)); err != nil {
			t.Errorf("the discovered client does not refresh: %v", err)
		}
	}
	if oauth.NewClient(oauth.Config{}).Metadata() != nil {
		t.Error("metadata without discovery")
	}
}

// published serves documents by address; others are 404.
func published(documents map[string]*http.Response) *wire {
	return &wire{answer: func(r *http.Request) (*http.Response, error) {
		if resp := documents[r.URL.String()]; resp != nil {
			return resp, nil
		}
		return response(404, "not here"), nil
	}}
}

const (
	issuer   = "https://auth.test"
	rfc8414  = issuer + "/.well-known/oauth-authorization-server"
	openid   = issuer + "/.well-known/openid-configuration"
	goodMeta = `{"issuer":"https://auth.test","token_endpoint":"https://auth.test/token","authorization_endpoint":"https://auth.test/auth"}`
	webPage  = "<!DOCTYPE html><p>" + secret
)

func discover(t *testing.T, w *wire, change ...func(*oauth.Config)) (*oauth.Client, error) {
	t.Helper()
	cfg := oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}}
	for _, f := range change {
		f(&cfg)
	}
	return oauth.Discover(t.Context(), issuer, cfg)
}

// cutOff is an answer whose body ends too soon.
func cutOff(body string) *http.Response {
	resp := response(200, "")
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)))
	return resp
}

func TestDiscoverJudgesByContent(t *testing.T) {
	noIss := strings.Replace(goodMeta, `"issuer":"https://auth.test",`, "", 1)
	for name, documents := range map[string]map[string]*http.Response{
		"RFC 8414 alone":                       {rfc8414: response(200, goodMeta)},
		"OpenID Connect alone":                 {openid: response(200, goodMeta)},
		"a login page under the first":         {rfc8414: response(200, webPage, "Content-Type", "text/html"), openid: response(200, goodMeta)},
		"trouble under the first":              {rfc8414: response(500, webPage), openid: response(200, goodMeta)},
		"a redirect under the first":           {rfc8414: response(302, "", "Location", "/login"), openid: response(200, goodMeta)},
		"no issuer in the first":               {rfc8414: response(200, noIss), openid: response(200, goodMeta)},
		"another issuer in the first":          {rfc8414: response(200, strings.Replace(goodMeta, "https://auth.test", "https://other.test", 1)), openid: response(200, goodMeta)},
		"an error document that looks like it": {rfc8414: response(403, strings.Replace(goodMeta, "token\"", "wrong\"", 1)), openid: response(200, goodMeta)},
	} {
		c, err := discover(t, published(documents))
		if err != nil || c.Config().TokenURL != issuer+"/token" {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
}

func TestFirstMetadataIsNotAskedForTwice(t *testing.T) {
	w := published(map[string]*http.Response{rfc8414: response(200, goodMeta), openid: response(200, goodMeta)})
	if _, err := discover(t, w); err != nil {
		t.Fatal(err)
	}
	sent := w.requests()
	if len(sent) != 1 || sent[0].URL.String() != rfc8414 || sent[0].Method != http.MethodGet || sent[0].Header.Get("Authorization") != "" {
		t.Errorf("%d requests, the first %s %s; want one bare GET of %s", len(sent), sent[0].Method, sent[0].URL, rfc8414)
	}
}

func TestDiscoverFailuresSayWhatToDo(t *testing.T) {
	other := func(iss string) string { return strings.Replace(goodMeta, `"https://auth.test"`, `"`+iss+`"`, 1) }
	for _, tt := range []struct {
		name      string
		documents map[string]*http.Response
		kind      error
		status    int
		words     []string
	}{
		{"nothing published", nil, oauth.ErrMisconfigured, 404, []string{"configure the endpoints", "NewClient"}},
		{"pages everywhere", map[string]*http.Response{rfc8414: response(200, webPage), openid: response(200, webPage)}, oauth.ErrMisconfigured, 200, []string{"configure the endpoints"}},
		{"redirects everywhere", map[string]*http.Response{rfc8414: response(301, ""), openid: response(301, "")}, oauth.ErrMisconfigured, 301, []string{"redirect"}},
		{"another issuer", map[string]*http.Response{openid: response(200, other("https://other.test"))}, oauth.ErrMisconfigured, 200, []string{`"https://other.test"`, `"https://auth.test"`}},
		{"a slash more", map[string]*http.Response{openid: response(200, other("https://auth.test/"))}, oauth.ErrMisconfigured, 200, []string{`"https://auth.test/"`, `"https://auth.test"`, "slash"}},
		{"an issuer that is none", map[string]*http.Response{openid: response(200, other(secret))}, oauth.ErrMisconfigured, 200, []string{`"https://auth.test"`}},
		{"an issuer with a query", map[string]*http.Response{openid: response(200, other("https://x.test/?"+secret))}, oauth.ErrMisconfigured, 200, []string{`"https://x.test/"`}},
		{"trouble", map[string]*http.Response{rfc8414: response(503, webPage)}, oauth.ErrTransient, 503, nil},
		{"cut", map[string]*http.Response{rfc8414: cutOff(goodMeta[:60])}, oauth.ErrTransient, 200, nil},
		{"cut at first", map[string]*http.Response{openid: cutOff("")}, oauth.ErrTransient, 200, nil},
		{"cut where the connection ends all", map[string]*http.Response{rfc8414: response(200, goodMeta[:60])}, oauth.ErrTransient, 200, []string{"broke off"}},
		{"a redirect that is cut", map[string]*http.Response{rfc8414: func() *http.Response { r := cutOff(""); r.StatusCode = 302; return r }()}, oauth.ErrMisconfigured, 404, nil},
		{"a page that is cut", map[string]*http.Response{rfc8414: cutOff("<!doctype html><p>")}, oauth.ErrMisconfigured, 404, []string{"configure the endpoints"}},
		{"without an end", map[string]*http.Response{rfc8414: response(200, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`)}, oauth.ErrMisconfigured, 404, []string{"configure the endpoints"}},
		{"trouble under the second", map[string]*http.Response{openid: response(429, "", "Retry-After", "60")}, oauth.ErrTransient, 429, nil},
		{"another issuer is told before trouble", map[string]*http.Response{rfc8414: response(500, ""), openid: response(200, other("https://other.test"))}, oauth.ErrMisconfigured, 200, []string{"other.test"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := discover(t, published(tt.documents))
			fail := failure(t, err)
			if c != nil || !errors.Is(err, tt.kind) || fail.Status != tt.status || fail.Op != "discover" {
				t.Errorf("got %v, %v; want %v with HTTP %d", c, err, tt.kind, tt.status)
			}
			for _, word := range tt.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %s", err, word)
				}
			}
			if tt.status == 429 && fail.RetryAt.IsZero() {
				t.Error("Retry-After is lost")
			}
		})
	}
}

func TestDiscoverRefusesEndpointsThatAreNotSafe(t *testing.T) {
	for member, name := range map[string]string{
		"authorization_endpoint": "AuthURL", "token_endpoint": "TokenURL", "device_authorization_endpoint": "DeviceAuthURL",
		"revocation_endpoint": "RevocationURL", "introspection_endpoint": "Endpoints.Introspection", "userinfo_endpoint": "Endpoints.Userinfo",
	} {
		var doc map[string]any
		_ = json.Unmarshal([]byte(goodMeta), &doc)
		doc[member] = "http://auth.test/" + secret
		body, _ := json.Marshal(doc)
		_, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, string(body))}))
		fail := failure(t, err)
		if !errors.Is(err, oauth.ErrMisconfigured) || fail.Field != name || !strings.Contains(err.Error(), "Config."+name+" ("+member+") must be https") {
			t.Errorf("%s: got %v; want ErrMisconfigured naming %s", member, err, name)
		}
	}
	noToken := strings.Replace(goodMeta, "token_endpoint", "other_endpoint", 1)
	if _, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, noToken)})); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("without a token endpoint: %v", err)
	}
}

func TestConfiguredEndpointsWin(t *testing.T) {
	doc := strings.Replace(goodMeta, "https://auth.test/auth", "http://broken.test/auth", 1)
	c, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, doc)}), func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.TokenURL, cfg.Issuer = "https://mine.test/auth", "https://mine.test/token", "https://overwritten.test"
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Config(); got.AuthURL != "https://mine.test/auth" || got.TokenURL != "https://mine.test/token" || got.Issuer != issuer {
		t.Errorf("got %v, %s", got, got.AuthURL)
	}
}

func TestDiscoverChoosesClientAuthentication(t *testing.T) {
	list := strings.TrimSuffix(goodMeta, "}") + `,"token_endpoint_auth_methods_supported":["client_secret_post"]}`
	for _, tt := range []struct {
		name, doc, secret string
		configured        oauth.ClientAuth
		want              string
	}{
		{"public", list, "", oauth.ClientAuth{}, "none"},
		{"listed", list, "s", oauth.ClientAuth{}, "client_secret_post"},
		{"listed, in one value", list, "", oauth.Secret("s"), "client_secret_post"},
		{"not listed", goodMeta, "s", oauth.ClientAuth{}, "client_secret_basic"},
		{"configured", list, "", oauth.SecretBasicRaw("s"), "client_secret_basic_raw"},
	} {
		c, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, tt.doc)}), func(cfg *oauth.Config) {
			cfg.ClientSecret, cfg.ClientAuth = tt.secret, tt.configured
		})
		if err != nil || c.Config().ClientAuth.Method() != tt.want {
			t.Errorf("%s: got %v, %v; want %s", tt.name, c.Config().ClientAuth, err, tt.want)
		}
	}
}

func TestPKCEIsSentWhateverTheMetadataSays(t *testing.T) {
	for _, methods := range []string{`[]`, `["plain"]`, `"S256"`} {
		doc := strings.TrimSuffix(goodMeta, "}") + `,"code_challenge_methods_supported":` + methods + `}`
		c, err := discover(t, published(map[string]*http.Response{rfc8414: response(200, doc)}), func(cfg *oauth.Config) { cfg.RedirectURL = "https://app.test/" })
		if err != nil {
			t.Fatal(err)
		}
		if req, err := c.AuthCodeURL(); err != nil || !strings.Contains(req.URL, "code_challenge_method=S256") {
			t.Errorf("methods %s: %v, %v", methods, req, err)
		}
	}
}

func TestDiscoverRefusesUnsafeIssuersUnasked(t *testing.T) {
	for _, iss := range []string{"", "auth.test", "http://auth.test", "https://auth.test?x=" + secret, "https://auth.test#x", "https://u:" + secret + "@auth.test", "ftp://auth.test"} {
		w := published(nil)
		_, err := oauth.Discover(t.Context(), iss, oauth.Config{ClientID: "id", HTTPClient: &http.Client{Transport: w}})
		failure(t, err)
		if !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
			t.Errorf("issuer %q: got %v after %d requests; want ErrMisconfigured, unasked", iss, err, len(w.requests()))
		}
	}
	w := published(nil)
	if _, err := oauth.Discover(t.Context(), issuer, oauth.Config{HTTPClient: &http.Client{Transport: w}}); !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
		t.Errorf("without a client ID: %v", err)
	}
}

func TestDiscoverOverABrokenNetworkIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		s.Script(oauthtest.Fault{Endpoint: oauthtest.AnyEndpoint, Down: true})
		cfg := oauth.Config{ClientID: "id", HTTPClient: s.Client()}
		_, err := oauth.Discover(t.Context(), s.Issuer(), cfg)
		if fail := failure(t, err); !errors.Is(err, oauth.ErrTransient) || !errors.Is(err, syscall.ECONNREFUSED) || fail.Sent {
			t.Errorf("server down: %v", err)
		}
		s.Script(oauthtest.Fault{Endpoint: oauthtest.AnyEndpoint, Hang: true})
		start := time.Now()
		_, err = oauth.Discover(t.Context(), s.Issuer(), cfg)
		if failure(t, err); !errors.Is(err, oauth.ErrTransient) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("server hangs: %v after %v", err, time.Since(start))
		}
	})
}
