package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A platform issues tokens to workloads.
const platform = "https://platform.test"

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// workloadToken is what the platform gives a workload for the server.
func workloadToken(t *testing.T, key crypto.Signer, audience string, end time.Time) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": platform, "sub": "job", "aud": audience, "exp": end.Unix(), "jti": "the same until it ends",
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func bearerServer(key *ecdsa.PrivateKey, change ...func(*oauthtest.Config)) *oauthtest.Server {
	cfg := oauthtest.Config{TrustedIssuers: []oauthtest.TrustedIssuer{{Issuer: platform, Keys: map[string]crypto.PublicKey{"": &key.PublicKey}}}}
	for _, f := range change {
		f(&cfg)
	}
	return oauthtest.New(cfg)
}

func TestAssertionsGiveTokensAgainAndAgain(t *testing.T) {
	key := newKey(t)
	for name, tt := range map[string]struct {
		auth     oauth.ClientAuth
		clientID string
		secret   string
		sources  func(*oauth.Client, string) func(context.Context) (string, error)
	}{
		"workload that is not a client": {auth: oauth.Anonymous()},
		"workload of a client":          {clientID: oauthtest.DefaultClientID},
		"workload of a confidential":    {clientID: oauthtest.DefaultClientID, secret: "s3cret", auth: oauth.SecretPost("s3cret")},
		"service account": {auth: oauth.Anonymous(), sources: func(c *oauth.Client, _ string) func(context.Context) (string, error) {
			return c.SelfSigned(oauth.AssertionKey{Signer: key}, map[string]any{"iss": platform, "sub": "job", "scope": "profile openid"})
		}},
	} {
		s := bearerServer(key, func(cfg *oauthtest.Config) { cfg.ClientSecret = tt.secret })
		cfg := s.OAuthConfig()
		cfg.ClientID, cfg.ClientSecret, cfg.ClientAuth, cfg.Scopes = tt.clientID, "", tt.auth, []string{"profile"}
		c := oauth.NewClient(cfg)
		token := workloadToken(t, key, s.Issuer(), time.Now().Add(time.Hour))
		source := func(context.Context) (string, error) { return token, nil }
		if tt.sources != nil {
			source = tt.sources(c, token)
		}
		r := c.JWTBearerRefresher(source)
		var pair *oauth.TokenPair
		for range 3 {
			next, err := r.Refresh(t.Context(), pair)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if pair != nil && pair.AccessToken == next.AccessToken || next.RefreshToken != "" || next.GrantType != oauth.GrantTypeJWTBearer || next.Scope != "profile" {
				t.Errorf("%s: got %v with the grant type %q and scope %q", name, next, next.GrantType, next.Scope)
			}
			wantWorking(t, s, next)
			pair = next
		}
		if !r.RenewsWithoutRefreshToken() || r.Server() != "https://auth.test" {
			t.Errorf("%s: the refresher wants a refresh token, or names the server %q", name, r.Server())
		}
		wantNoMistakes(t, s)
	}
}

func TestJWTBearerSendsTheGrantAndNothingElse(t *testing.T) {
	const assertion = "e30.e30.c2ln"
	for name, tt := range map[string]struct {
		change func(*oauth.Config)
		want   url.Values
	}{
		"public":    {func(*oauth.Config) {}, url.Values{"client_id": {"id"}}},
		"no client": {func(cfg *oauth.Config) { cfg.ClientID, cfg.ClientAuth = "", oauth.Anonymous() }, url.Values{}},
		"scope and resource": {func(cfg *oauth.Config) {
			cfg.Scopes, cfg.Resources = []string{"a", "b"}, []string{"https://api.test"}
		}, url.Values{"client_id": {"id"}, "scope": {"a b"}, "resource": {"https://api.test"}}},
	} {
		w := answering(200, `{"access_token":"a","refresh_token":"r","refresh_expires_in":60,"expires_in":300}`)
		pair, err := over(w, tt.change).JWTBearer(t.Context(), assertion)
		if err != nil || pair.RefreshToken != "" || !pair.RefreshExpiresAt.IsZero() || !pair.GrantedAt.IsZero() {
			t.Errorf("%s: got %v, %v; want a pair without a refresh token", name, pair, err)
		}
		tt.want.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		tt.want.Set("assertion", assertion)
		if got := w.requests()[0].form.Encode(); got != tt.want.Encode() {
			t.Errorf("%s: sent %s; want %s", name, got, tt.want.Encode())
		}
	}
}

// A server that does not take the assertion gets no other grant, and the person nothing to do.
func TestRefusedAssertionLeadsNowhereElse(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403} {
		for _, code := range []string{"invalid_grant", "invalid_scope", "unauthorized_client", "invalid_client", "unsupported_grant_type", "access_denied", "login_required", "TOKEN_EXPIRED"} {
			w := answering(status, fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, secret))
			c := over(w, func(cfg *oauth.Config) { cfg.ClientSecret = "s" })
			_, err := c.JWTBearerRefresher(func(context.Context) (string, error) { return "e30.e30.c2ln", nil }).Refresh(t.Context(), nil)
			fail := failure(t, err)
			if !errors.Is(err, oauth.ErrMisconfigured) || errors.Is(err, oauth.ErrLoginRequired) || fail.Code != code || fail.Op != "jwt_bearer" {
				t.Errorf("%s (HTTP %d): %v; want ErrMisconfigured with the code", code, status, err)
			}
			if len(w.requests()) != 1 || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "c2ln") {
				t.Errorf("%s (HTTP %d): %d requests, error %v", code, status, len(w.requests()), err)
			}
		}
	}
	c := over(answering(503, "{}"))
	if _, err := c.JWTBearer(t.Context(), "e30.e30.c2ln"); !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("503: %v; want ErrTransient", err)
	}
}

func TestWhatIsNoJWTIsNotSent(t *testing.T) {
	w := answering(200, okBody)
	for _, assertion := range []string{"", "password", "a.b", "a.b.c.d", "a.b.c\n", "a b.c.d", "-----BEGIN"} {
		_, err := over(w).JWTBearer(t.Context(), assertion)
		if !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 || assertion != "" && strings.Contains(err.Error(), assertion) {
			t.Errorf("%q: %v after %d requests", assertion, err, len(w.requests()))
		}
	}
}

func TestProgramThatIsNoClientCanDoNothingElse(t *testing.T) {
	w := answering(200, okBody)
	anonymous := func(cfg *oauth.Config) {
		cfg.ClientID, cfg.ClientAuth = "", oauth.Anonymous()
		cfg.AuthURL, cfg.RedirectURL = "https://auth.test/authorize", "https://app.test/cb"
	}
	c := over(w, anonymous)
	_, err1 := c.AuthCodeURL()
	_, err2 := c.ClientCredentials(t.Context())
	_, err3 := c.RefreshToken(t.Context(), "r")
	_, err4 := over(w, anonymous, func(cfg *oauth.Config) { cfg.ClientID = "id" }).JWTBearer(t.Context(), "e30.e30.c2ln")
	_, err5 := over(w, anonymous, func(cfg *oauth.Config) { cfg.ClientSecret = "s" }).JWTBearer(t.Context(), "e30.e30.c2ln")
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, oauth.ErrMisconfigured) || failure(t, err).Field == "" {
			t.Errorf("%d: %v; want ErrMisconfigured with a field", i, err)
		}
	}
	if len(w.requests()) != 0 {
		t.Errorf("%d requests were sent", len(w.requests()))
	}
}

// The platform replaces the file before its token ends.
func TestFileIsReadForEachRequest(t *testing.T) {
	key := newKey(t)
	s := bearerServer(key)
	path := filepath.Join(t.TempDir(), "token")
	r := oauth.NewClient(s.OAuthConfig()).JWTBearerRefresher(oauth.AssertionFile(path))
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refresh := func() error { _, err := r.Refresh(t.Context(), nil); return err }
	if err := refresh(); !errors.Is(err, oauth.ErrMisconfigured) || !errors.Is(err, os.ErrNotExist) && runtime.GOOS != "windows" {
		t.Errorf("no file: %v; want ErrMisconfigured", err)
	}
	old := workloadToken(t, key, s.Issuer(), time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		content string
		want    error
	}{
		{"", oauth.ErrTransient},
		{"\n", oauth.ErrTransient},
		{old, oauth.ErrMisconfigured},
		{workloadToken(t, key, "https://other.test", time.Now().Add(time.Hour)), oauth.ErrMisconfigured},
		{workloadToken(t, newKey(t), s.Issuer(), time.Now().Add(time.Hour)), oauth.ErrMisconfigured},
		{workloadToken(t, key, s.Issuer(), time.Now().Add(time.Hour)) + "\n", nil},
		{strings.Repeat("x", 65<<10), oauth.ErrMisconfigured},
		{" " + workloadToken(t, key, s.Endpoint(oauthtest.TokenEndpoint), time.Now().Add(2*time.Hour)), nil},
	} {
		write(tt.content)
		if err := refresh(); !errors.Is(err, tt.want) || err != nil && tt.content != "\n" && tt.content != "" && strings.Contains(err.Error(), tt.content) {
			t.Errorf("%.20q: %v; want %v", tt.content, err, tt.want)
		}
	}
	if _, err := oauth.AssertionFile(t.TempDir())(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("a directory: %v; want ErrMisconfigured", err)
	}
}

// A platform may replace the file by removing it first. One that was never there is a mistake.
func TestFileThatIsAwayForAMomentIsNoMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		read := oauth.AssertionFile(path)
		want := func(when string, want error) {
			t.Helper()
			if _, err := read(t.Context()); !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "check the path") {
				t.Errorf("%s: %v; want %v", when, err, want)
			}
		}
		want("before it was there", oauth.ErrMisconfigured)
		for range 2 {
			if err := os.WriteFile(path, []byte("e30.e30.c2ln"), 0o600); err != nil {
				t.Fatal(err)
			}
			want("it is there", nil)
			time.Sleep(time.Hour) // the token lives, and nobody asks
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			want("it is away", oauth.ErrTransient)
			time.Sleep(59 * time.Second)
			want("a minute later", oauth.ErrTransient)
			time.Sleep(2 * time.Second)
			want("after that", oauth.ErrMisconfigured)
		}
	})
}

func TestSelfSignedAssertionsAreNewEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		w := answering(200, okBody)
		c := over(w, func(cfg *oauth.Config) { cfg.Issuer = "https://auth.test" })
		mine := map[string]any{"iss": "sa@project", "sub": "sa@project", "target": "x"}
		r := c.JWTBearerRefresher(c.SelfSigned(oauth.AssertionKey{Signer: key, KeyID: "k"}, mine))
		mine["sub"] = "another"
		ids := map[string]bool{}
		for range 3 {
			if _, err := r.Refresh(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			all := w.requests()
			claims := jwt.MapClaims{}
			token, err := jwt.ParseWithClaims(all[len(all)-1].form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
				jwt.WithAudience("https://auth.test"), jwt.WithIssuedAt(), jwt.WithExpirationRequired(), jwt.WithSubject("sa@project"))
			if err != nil || token.Header["kid"] != "k" || claims["target"] != "x" {
				t.Fatalf("%v: header %v, claims %v", err, token.Header, claims)
			}
			ids[claims["jti"].(string)] = true
			time.Sleep(time.Minute)
		}
		if len(ids) != 3 {
			t.Errorf("%d different jti; want 3", len(ids))
		}
		for name, tt := range map[string]struct {
			key    oauth.AssertionKey
			claims map[string]any
			want   error
		}{
			"no key":     {oauth.AssertionKey{}, mine, oauth.ErrMisconfigured},
			"no iss":     {oauth.AssertionKey{Signer: key}, map[string]any{"sub": "x"}, oauth.ErrMisconfigured},
			"no sub":     {oauth.AssertionKey{Signer: key}, map[string]any{"iss": "x", "sub": 1}, oauth.ErrMisconfigured},
			"broken key": {oauth.AssertionKey{Signer: brokenSigner{key}}, mine, oauth.ErrTransient},
		} {
			if _, err := c.SelfSigned(tt.key, tt.claims)(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v; want %v", name, err, tt.want)
			}
		}
	})
}

// enterprise returns a company's identity provider, a server that trusts it, and the
// program's clients at both.
func enterprise(t *testing.T) (idp, s *oauthtest.Server, provider, c *oauth.Client) {
	t.Helper()
	idp = oauthtest.New(oauthtest.Config{IssuerPath: "/company", ClientID: "at-idp", ClientsElsewhere: map[string]string{"https://auth.test": "at-api"}})
	s = oauthtest.New(oauthtest.Config{ClientID: "at-api", ClientSecret: "s3cret", TrustedIssuers: []oauthtest.TrustedIssuer{{Server: idp}}})
	cfg := s.OAuthConfig()
	cfg.Resources, cfg.Scopes = []string{s.Resource()}, []string{"profile"}
	return idp, s, oauth.NewClient(idp.OAuthConfig()), oauth.NewClient(cfg)
}

func TestIdentityAssertionTakesBothStepsEachTime(t *testing.T) {
	idp, s, provider, c := enterprise(t)
	login := mustLogin(t, idp)
	asked := 0
	r := c.IdentityAssertionRefresher(oauth.IdentityAssertion{Provider: provider, Subject: func(context.Context) (oauth.TokenExchange, error) {
		asked++
		return oauth.TokenExchange{SubjectToken: login.IDToken}, nil
	}})
	for i := 1; i <= 3; i++ {
		pair, err := r.Refresh(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if pair.RefreshToken != "" || pair.GrantType != oauth.GrantTypeJWTBearer || pair.Scope != "profile" {
			t.Errorf("got %v, grant type %q, scope %q", pair, pair.GrantType, pair.Scope)
		}
		about, err := c.Introspect(t.Context(), pair.AccessToken)
		if err != nil || about.Subject != oauthtest.DefaultUser || !strings.Contains(string(about.Claims["aud"]), s.Resource()) {
			t.Errorf("the token is %s's for %s (%v)", about.Subject, about.Claims["aud"], err)
		}
		if n, m := idp.Requests(oauthtest.TokenEndpoint), s.Requests(oauthtest.TokenEndpoint); n != i || m != i || asked != i {
			t.Errorf("round %d: %d subjects, %d exchanges, %d grants", i, asked, n, m)
		}
		wantWorking(t, s, pair)
	}
	wantNoMistakes(t, s)
	wantNoMistakes(t, idp)
}

func TestIdentityAssertionSaysWhichStepFailed(t *testing.T) {
	gone := fmt.Errorf("the session at the provider: %w", oauth.ErrLoginRequired)
	for name, tt := range map[string]struct {
		change func(idp, s *oauthtest.Server, x *oauth.IdentityAssertion)
		want   error
		op     string // empty: the error is Subject's
		grants int    // requests to the second server
	}{
		"subject refused": {func(_, _ *oauthtest.Server, x *oauth.IdentityAssertion) {
			x.Subject = func(context.Context) (oauth.TokenExchange, error) {
				return oauth.TokenExchange{SubjectToken: "e30.e30.e30"}, nil
			}
		}, oauth.ErrMisconfigured, "token_exchange", 0},
		"no subject": {func(_, _ *oauthtest.Server, x *oauth.IdentityAssertion) {
			x.Subject = func(context.Context) (oauth.TokenExchange, error) { return oauth.TokenExchange{}, gone }
		}, oauth.ErrLoginRequired, "", 0},
		"provider down": {func(idp, _ *oauthtest.Server, _ *oauth.IdentityAssertion) {
			idp.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Status: 503})
		}, oauth.ErrTransient, "token_exchange", 0},
		"provider's policy": {func(idp, _ *oauthtest.Server, _ *oauth.IdentityAssertion) {
			idp.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Status: 400, Body: `{"error":"access_denied"}`})
		}, oauth.ErrMisconfigured, "token_exchange", 0},
		"another type issued": {func(idp, _ *oauthtest.Server, _ *oauth.IdentityAssertion) {
			idp.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Edit: func(f map[string]any) { f["issued_token_type"] = oauth.TokenTypeAccessToken }})
		}, oauth.ErrMisconfigured, "token_exchange", 0},
		"assertion refused": {func(_, s *oauthtest.Server, _ *oauth.IdentityAssertion) {
			s.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Status: 400, Body: `{"error":"invalid_grant"}`})
		}, oauth.ErrMisconfigured, "jwt_bearer", 1},
		"no provider": {func(_, _ *oauthtest.Server, x *oauth.IdentityAssertion) { x.Provider = nil }, oauth.ErrMisconfigured, "token_exchange", 0},
	} {
		idp, s, provider, c := enterprise(t)
		login := mustLogin(t, idp)
		x := oauth.IdentityAssertion{Provider: provider, Subject: func(context.Context) (oauth.TokenExchange, error) {
			return oauth.TokenExchange{SubjectToken: login.IDToken}, nil
		}}
		tt.change(idp, s, &x)
		_, err := c.IdentityAssertion(t.Context(), x)
		fail, ours := errors.AsType[*oauth.Error](err)
		if !errors.Is(err, tt.want) || ours != (tt.op != "") || ours && fail.Op != tt.op || s.Requests(oauthtest.TokenEndpoint) != tt.grants {
			t.Errorf("%s: %v after %d grants; want %v of %q", name, err, s.Requests(oauthtest.TokenEndpoint), tt.want, tt.op)
		}
		if strings.Contains(err.Error(), login.IDToken) {
			t.Errorf("%s: the error shows the subject", name)
		}
	}
}

// What a person has at the provider is shown to nobody when it cannot lead to anything.
func TestIdentityAssertionBeginsOnlyWhatItCanEnd(t *testing.T) {
	for name, change := range map[string]func(*oauth.Config){
		"no issuer":    func(cfg *oauth.Config) { cfg.Issuer = "" },
		"bad endpoint": func(cfg *oauth.Config) { cfg.TokenURL = "http://auth.test/token" },
		"no client":    func(cfg *oauth.Config) { cfg.ClientID = "" },
	} {
		idp, _, provider, c := enterprise(t)
		cfg := c.Config()
		change(&cfg)
		x := oauth.IdentityAssertion{Provider: provider, Subject: func(context.Context) (oauth.TokenExchange, error) {
			t.Errorf("%s: the subject was asked for", name)
			return oauth.TokenExchange{SubjectToken: "s"}, nil
		}}
		if _, err := oauth.NewClient(cfg).IdentityAssertion(t.Context(), x); !errors.Is(err, oauth.ErrMisconfigured) || idp.Requests(oauthtest.TokenEndpoint) != 0 {
			t.Errorf("%s: %v; want ErrMisconfigured", name, err)
		}
	}
}

// A brokenSigner is a key service that is away.
type brokenSigner struct{ crypto.Signer }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("away")
}
