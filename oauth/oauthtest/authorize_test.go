package oauthtest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	callback = "http://127.0.0.1:5555/callback"
)

// authURL is a good authorization request, changed by names and values; an empty
// value removes the name.
func authURL(s *oauthtest.Server, pairs ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {oauthtest.DefaultClientID}, "redirect_uri": {callback}, "state": {"s&t=1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "nonce": {"n-1"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return s.Endpoint(oauthtest.AuthorizeEndpoint) + "?" + q.Encode()
}

// query returns the parameters that location carries to the callback.
func query(t *testing.T, location string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, callback+"?") {
		t.Fatalf("location %q (%v); want the callback", location, err)
	}
	return u.Query()
}

// codeFor logs alice in and returns the code.
func codeFor(t *testing.T, s *oauthtest.Server, pairs ...string) string {
	t.Helper()
	location, err := s.Allow(t.Context(), authURL(s, pairs...), "alice")
	if err != nil {
		t.Fatal(err)
	}
	return query(t, location).Get("code")
}

func redeem(t *testing.T, s *oauthtest.Server, code string, pairs ...string) result {
	f := form("grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f)
}

func TestCodeFlow(t *testing.T) {
	transports(t, oauthtest.Config{IssuerPath: "/tenant"}, func(t *testing.T, s *oauthtest.Server, _ *http.Client) {
		location, err := s.Allow(t.Context(), authURL(s, "scope", "openid profile"), "alice")
		if err != nil {
			t.Fatal(err)
		}
		q := query(t, location)
		if q.Get("state") != "s&t=1" || q.Get("iss") != s.Issuer() || q.Get("code") == "" {
			t.Errorf("callback parameters %v; want state, iss and code", q)
		}
		r := redeem(t, s, q.Get("code")).wantOK(t)
		if got := r.text(t, "scope"); got != "openid profile" {
			t.Errorf("scope %q; want the one asked for", got)
		}
		if got := idClaims(t, s, r.text(t, "id_token")); got["nonce"] != "n-1" || got["sub"] != "alice" || got["iss"] != s.Issuer() {
			t.Errorf("ID token claims %v; want nonce, sub and iss", got)
		}
		if got := resourceStatus(t, s, r.text(t, "access_token")); got != 200 {
			t.Errorf("resource: HTTP %d; want 200", got)
		}
		again := refresh(t.Context(), s, r.text(t, "refresh_token")).wantOK(t)
		if got := idClaims(t, s, again.text(t, "id_token")); got["nonce"] != nil {
			t.Error("a refreshed ID token has a nonce (OpenID Connect Core section 12.2)")
		}
	})
}

func TestDeniedConsentReturnsAnError(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	location, err := s.Deny(t.Context(), authURL(s), "alice")
	if err != nil {
		t.Fatal(err)
	}
	q := query(t, location)
	if q.Get("error") != "access_denied" || q.Get("state") != "s&t=1" || q.Get("iss") != s.Issuer() || q.Has("code") {
		t.Errorf("callback parameters %v; want access_denied with state and iss", q)
	}
}

func TestBadAuthorizationRequests(t *testing.T) {
	cases := map[string]struct {
		change []string
		code   string // sent to the callback; "" if nothing may be sent there
	}{
		"unknown client":       {[]string{"client_id", "nobody"}, ""},
		"no redirect":          {[]string{"redirect_uri", ""}, ""},
		"foreign redirect":     {[]string{"redirect_uri", "https://evil.test/"}, ""},
		"lookalike redirect":   {[]string{"redirect_uri", "http://127.0.0.1.evil.test/"}, ""},
		"userinfo redirect":    {[]string{"redirect_uri", "http://127.0.0.1@127.0.0.1/"}, ""},
		"fragment":             {[]string{"redirect_uri", callback + "#x"}, ""},
		"no PKCE":              {[]string{"code_challenge", ""}, "invalid_request"},
		"plain PKCE":           {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"no PKCE method":       {[]string{"code_challenge_method", ""}, "invalid_request"},
		"implicit":             {[]string{"response_type", "token"}, "unsupported_response_type"},
		"no prompt, no person": {[]string{"prompt", "none"}, "login_required"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			location, err := s.Allow(t.Context(), authURL(s, tc.change...), "alice")
			if tc.code == "" {
				if err == nil {
					t.Fatalf("sent to %q; want an error page", location)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if q := query(t, location); q.Get("error") != tc.code || q.Get("iss") != s.Issuer() || q.Get("state") != "s&t=1" {
				t.Errorf("callback parameters %v; want %s", q, tc.code)
			}
		})
	}
}

func TestRedirectURIsAreComparedExactlyButForTheLoopbackPort(t *testing.T) {
	registered := []string{"https://app.test/cb", "http://127.0.0.1:1000/cb?x=1", "my.app:/cb"}
	for _, tc := range []struct {
		uri   string
		exact bool // ExactRedirectPort
		ok    bool
	}{
		{"https://app.test/cb", false, true},
		{"https://app.test/cb/", false, false},
		{"https://app.test/CB", false, false},
		{"https://app.test:443/cb", false, false},
		{"my.app:/cb", false, true},
		{"http://127.0.0.1:1000/cb?x=1", true, true},
		{"http://127.0.0.1:2000/cb?x=1", false, true},
		{"http://127.0.0.1:2000/cb?x=1", true, false},
		{"http://127.0.0.1:2000/cb", false, false},
		{"http://127.0.0.1:2000/other?x=1", false, false},
		{"http://[::1]:2000/cb?x=1", false, false},
		{"https://127.0.0.1:2000/cb?x=1", false, false},
	} {
		s := oauthtest.New(oauthtest.Config{
			ExactRedirectPort: tc.exact,
			Clients:           []oauthtest.RegisteredClient{{ID: "app", RedirectURIs: registered}},
		})
		location, err := s.Allow(t.Context(), authURL(s, "client_id", "app", "redirect_uri", tc.uri), "alice")
		if got := err == nil && strings.HasPrefix(location, tc.uri); got != tc.ok {
			t.Errorf("%s (exact port %v): accepted %v; want %v", tc.uri, tc.exact, got, tc.ok)
		}
	}
}

func TestBadRedemptions(t *testing.T) {
	cases := map[string][]string{
		"wrong verifier": {"code_verifier", strings.Repeat("x", 43)},
		"other redirect": {"redirect_uri", "http://127.0.0.1:6666/callback"},
		"other client":   {"client_id", "other"},
		"unknown code":   {"code", "made-up"},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
			code := codeFor(t, s)
			redeem(t, s, code, change...).wantError(t, 400, "invalid_grant")
			if change[0] != "code" {
				redeem(t, s, code).wantError(t, 400, "invalid_grant") // used up
			}
		})
	}
	s := oauthtest.New(oauthtest.Config{})
	redeem(t, s, codeFor(t, s), "code_verifier", "").wantError(t, 400, "invalid_request")
}

func TestACodeUsedTwiceEndsItsSession(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	code := codeFor(t, s)
	r := redeem(t, s, code).wantOK(t)
	redeem(t, s, code).wantError(t, 400, "invalid_grant")
	if got := resourceStatus(t, s, r.text(t, "access_token")); got != 401 {
		t.Errorf("resource: HTTP %d; want 401 (RFC 6749 section 4.1.2)", got)
	}
	refresh(t.Context(), s, r.text(t, "refresh_token")).wantError(t, 400, "invalid_grant")
}

func TestCodesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		code := codeFor(t, s)
		time.Sleep(time.Minute)
		redeem(t, s, code).wantError(t, 400, "invalid_grant")
	})
}

func TestLoginPromptIsHonouredOnce(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	if codeFor(t, s, "prompt", "login") == "" {
		t.Error("no code after prompt=login")
	}
}

func TestAllowNeedsAKnownUserAndAPage(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	if _, err := s.Allow(t.Context(), authURL(s), "mallory"); err == nil || !strings.Contains(err.Error(), "mallory") {
		t.Errorf("error %v; want one that names the user", err)
	}
	if _, err := s.Allow(t.Context(), "::", "alice"); err == nil {
		t.Error("a malformed address was opened")
	}
	_, err := s.Allow(t.Context(), "https://elsewhere.test/authorize?state=s3cret", "alice")
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v; want one without the query", err)
	}
}

func TestRepeatedParametersAreRefused(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	location, err := s.Allow(t.Context(), authURL(s)+"&scope=a&scope=b", "alice")
	if err != nil || query(t, location).Get("error") != "invalid_request" {
		t.Errorf("location %q (%v); want invalid_request", location, err)
	}
	_, token := login(t, s)
	f := form("grant_type", "refresh_token", "refresh_token", token)
	repeated := maps.Clone(f)
	repeated["refresh_token"] = []string{token, token}
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), repeated).wantError(t, 400, "invalid_request")
	f["resource"] = []string{"https://a.test", "https://b.test"}
	r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantOK(t)
	if got := claimsOf(t, r.text(t, "access_token"))["aud"]; len(got.([]any)) != 2 {
		t.Errorf("aud %v; want both resources (RFC 8707)", got)
	}
}
