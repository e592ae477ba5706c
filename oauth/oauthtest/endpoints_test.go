package oauthtest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// claimsOf reads a JWT's claims without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts; want a JWT", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// idClaims verifies a token with the server's published key.
func idClaims(t *testing.T, s *oauthtest.Server, token string) map[string]any {
	t.Helper()
	var set struct{ Keys []struct{ Kid, X, Y string } }
	r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.JWKSEndpoint), "").wantOK(t)
	if err := json.Unmarshal([]byte(r.body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("JWKS %s (%v); want one key", r.body, err)
	}
	x, err1 := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	y, err2 := base64.RawURLEncoding.DecodeString(set.Keys[0].Y)
	key, err3 := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{"ES256"}))
	if err != nil || parsed.Header["kid"] != set.Keys[0].Kid {
		t.Fatalf("the token does not verify with the published key: %v", err)
	}
	return claims
}

func TestMetadata(t *testing.T) {
	for path, documents := range map[string][]string{
		"":        {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"},
		"/tenant": {"/.well-known/oauth-authorization-server/tenant", "/tenant/.well-known/openid-configuration"},
		"/t/":     {"/.well-known/oauth-authorization-server/t/", "/t/.well-known/openid-configuration"},
	} {
		s := oauthtest.New(oauthtest.Config{IssuerPath: path})
		if got := s.Endpoint(oauthtest.MetadataEndpoint); got != s.URL+documents[0] {
			t.Errorf("Endpoint(MetadataEndpoint) = %q; want %q (RFC 8414 section 3.1)", got, s.URL+documents[0])
		}
		for _, document := range documents {
			r := get(t.Context(), s.Client(), s.URL+document, "").wantOK(t)
			if r.text(t, "issuer") != s.Issuer() || s.Issuer() != "https://auth.test"+path {
				t.Errorf("%s: issuer %q; want %q", document, r.text(t, "issuer"), s.Issuer())
			}
			for name, e := range map[string]oauthtest.Endpoint{
				"token_endpoint": oauthtest.TokenEndpoint, "authorization_endpoint": oauthtest.AuthorizeEndpoint,
				"device_authorization_endpoint": oauthtest.DeviceAuthorizationEndpoint, "jwks_uri": oauthtest.JWKSEndpoint,
				"revocation_endpoint": oauthtest.RevocationEndpoint, "userinfo_endpoint": oauthtest.UserinfoEndpoint,
			} {
				if got := r.text(t, name); got != s.Endpoint(e) {
					t.Errorf("%s: %s = %q; want %q", document, name, got, s.Endpoint(e))
				}
			}
		}
		if path != "" {
			if r := get(t.Context(), s.Client(), s.URL+"/token", ""); r.status != 404 {
				t.Errorf("/token outside of %s: HTTP %d; want 404", path, r.status)
			}
		}
	}
}

func TestMethodsAndUnknownPaths(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), "")
	if r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET /token: HTTP %d, Allow %q; want 405, POST", r.status, r.header.Get("Allow"))
	}
	if r := get(t.Context(), s.Client(), s.URL+"/nothing", ""); r.status != 404 {
		t.Errorf("GET /nothing: HTTP %d; want 404", r.status)
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
		t.Errorf("%d requests at the token endpoint; want 1", n)
	}
	if n := s.Requests(oauthtest.AnyEndpoint); n != 2 {
		t.Errorf("%d requests; want 2", n)
	}
}

func TestGrantRefusals(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"nothing":        {form(), 400, "invalid_request"},
		"unknown grant":  {form("grant_type", "magic"), 400, "unsupported_grant_type"},
		"no token":       {form("grant_type", "refresh_token"), 400, "invalid_request"},
		"unknown token":  {form("grant_type", "refresh_token", "refresh_token", "x"), 400, "invalid_grant"},
		"wrong password": {form("grant_type", "password", "username", "alice", "password", "x"), 400, "invalid_grant"},
		"unknown user":   {form("grant_type", "password", "username", "bob", "password", ""), 400, "invalid_grant"},
		"public client":  {form("grant_type", "client_credentials"), 400, "unauthorized_client"},
		"unknown client": {url.Values{"client_id": {"nobody"}}, 401, "invalid_client"},
		"no client":      {url.Values{}, 401, "invalid_client"},
	} {
		r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), tc.form)
		if r.status != tc.status || r.text(t, "error") != tc.code || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: HTTP %d %s; want %d %s, not to be stored", name, r.status, r.body, tc.status, tc.code)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint(oauthtest.TokenEndpoint), strings.NewReader(`{"client_id":"evertoken-test"}`))
	r.Header.Set("Content-Type", "application/json")
	send(s.Client(), r).wantError(t, 401, "invalid_client")
}

func TestClientCredentials(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{ClientSecret: "s"})
	r := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "client_credentials", "client_secret", "s", "scope", "read")).wantOK(t)
	if r.field(t, "refresh_token") != nil || r.text(t, "scope") != "read" {
		t.Errorf("answer %s; want the scope and no refresh token (RFC 6749 section 4.4.3)", r.body)
	}
	if got := get(t.Context(), s.Client(), s.Resource(), r.text(t, "access_token")).wantOK(t).text(t, "user"); got != oauthtest.DefaultClientID {
		t.Errorf("the resource sees %q; want the client", got)
	}
}

func TestF41_ClientAuthentication(t *testing.T) {
	const id, secret = "a:b &c", "p%:+ä"
	for name, tc := range map[string]struct {
		method string // AuthMethod of the client
		basic  []string
		form   url.Values
		status int
	}{
		"basic, encoded":         {"", []string{url.QueryEscape(id), url.QueryEscape(secret)}, nil, 200},
		"basic, raw":             {"", []string{id, secret}, nil, 401},
		"basic, wrong":           {"", []string{url.QueryEscape(id), "x"}, nil, 401},
		"basic, not registered":  {"client_secret_post", []string{url.QueryEscape(id), url.QueryEscape(secret)}, nil, 401},
		"post":                   {"", nil, url.Values{"client_id": {id}, "client_secret": {secret}}, 200},
		"post, wrong":            {"", nil, url.Values{"client_id": {id}, "client_secret": {"x"}}, 401},
		"post, not registered":   {"client_secret_basic", nil, url.Values{"client_id": {id}, "client_secret": {secret}}, 401},
		"both":                   {"", []string{url.QueryEscape(id), url.QueryEscape(secret)}, url.Values{"client_secret": {secret}}, 400},
		"none":                   {"", nil, url.Values{"client_id": {id}}, 401},
		"basic for another ID":   {"", []string{url.QueryEscape(id), url.QueryEscape(secret)}, url.Values{"client_id": {"evertoken-test"}}, 401},
		"public with basic":      {"", []string{"evertoken-test", ""}, nil, 401},
		"public with empty post": {"", nil, url.Values{"client_id": {"evertoken-test"}, "client_secret": {""}}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: id, Secret: secret, AuthMethod: tc.method}}})
			f := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"}}
			for name, values := range tc.form {
				f[name] = values
			}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint(oauthtest.TokenEndpoint), strings.NewReader(f.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tc.basic != nil {
				r.SetBasicAuth(tc.basic[0], tc.basic[1])
			}
			got := send(s.Client(), r)
			if got.status != tc.status {
				t.Fatalf("HTTP %d %s; want %d", got.status, got.body, tc.status)
			}
			if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != (tc.status == 401) {
				t.Errorf("WWW-Authenticate %q with HTTP %d", challenge, got.status)
			}
		})
	}
}

func TestRevocation(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
	access, token := login(t, s)
	otherAccess, _ := login(t, s)
	revoke := func(f url.Values) result {
		return post(t.Context(), s.Client(), s.Endpoint(oauthtest.RevocationEndpoint), f)
	}
	foreign := form("token", token)
	foreign.Set("client_id", "other")
	for name, f := range map[string]url.Values{"unknown": form("token", "x"), "another client's": foreign} {
		if r := revoke(f); r.status != 200 || resourceStatus(t, s, access) != 200 {
			t.Errorf("%s token: HTTP %d; want 200 and nothing revoked (RFC 7009 section 2.2)", name, r.status)
		}
	}
	foreign.Set("token", access)
	if revoke(foreign); resourceStatus(t, s, access) != 200 {
		t.Error("another client revoked an access token")
	}
	revoke(form()).wantError(t, 400, "invalid_request")
	revoke(url.Values{"token": {token}}).wantError(t, 401, "invalid_client")

	revoke(form("token", access, "token_type_hint", "access_token"))
	if got := resourceStatus(t, s, access); got != 401 {
		t.Errorf("a revoked access token: HTTP %d; want 401", got)
	}
	r := refresh(t.Context(), s, token).wantOK(t)
	revoke(form("token", r.text(t, "refresh_token")))
	for name, token := range map[string]string{"its": r.text(t, "access_token"), "another session's": otherAccess} {
		want := 401
		if name != "its" {
			want = 200
		}
		if got := resourceStatus(t, s, token); got != want {
			t.Errorf("%s access token after the refresh token was revoked: HTTP %d; want %d", name, got, want)
		}
	}
	wantMistakes(t, s)
}

func TestIntrospection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
		access, token := login(t, s)
		ask := func(token, client string) result {
			f := form("token", token)
			f.Set("client_id", client)
			return post(t.Context(), s.Client(), s.Endpoint(oauthtest.IntrospectionEndpoint), f)
		}
		for _, token := range []string{access, token} {
			r := ask(token, oauthtest.DefaultClientID).wantOK(t)
			if r.field(t, "active") != true || r.text(t, "username") != "alice" || r.text(t, "scope") != oauthtest.DefaultScope {
				t.Errorf("introspection: %s; want an active token of alice", r.body)
			}
			if r := ask(token, "other").wantOK(t); r.body != `{"active":false}` {
				t.Errorf("another client learns %s", r.body)
			}
		}
		ask(access, "nobody").wantError(t, 401, "invalid_client")
		ask("", oauthtest.DefaultClientID).wantError(t, 400, "invalid_request")
		time.Sleep(15 * time.Minute)
		if r := ask(access, oauthtest.DefaultClientID).wantOK(t); r.body != `{"active":false}` {
			t.Errorf("an expired token: %s; want inactive", r.body)
		}
		refresh(t.Context(), s, token).wantOK(t) // introspection does not spend
		wantMistakes(t, s)
	})
}

func TestUserinfo(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{DefaultScope: "openid profile email"})
	access, _ := login(t, s)
	r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.UserinfoEndpoint), access).wantOK(t)
	if r.text(t, "sub") != "alice" || r.text(t, "email") != "alice@example.test" || r.text(t, "name") != "alice" {
		t.Errorf("userinfo: %s; want alice", r.body)
	}
	if r := get(t.Context(), s.Client(), s.Endpoint(oauthtest.UserinfoEndpoint), ""); r.status != 401 {
		t.Errorf("without a token: HTTP %d; want 401", r.status)
	}
	plain := oauthtest.New(oauthtest.Config{DefaultScope: "profile"})
	access, _ = login(t, plain)
	get(t.Context(), plain.Client(), plain.Endpoint(oauthtest.UserinfoEndpoint), access).wantError(t, 403, "insufficient_scope")
}

func TestResourceChallenges(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	other := oauthtest.New(oauthtest.Config{})
	access, token := login(t, s)
	foreign, _ := login(t, other)
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ header, challenge string }{
		"no token":      {"", `Bearer realm="oauthtest"`},
		"other scheme":  {"Basic eDp5", `Bearer realm="oauthtest"`},
		"garbage":       {"Bearer x", `error="invalid_token"`},
		"foreign":       {"Bearer " + foreign, `error="invalid_token"`},
		"refresh token": {"Bearer " + token, `error="invalid_token"`},
		"ID token":      {"Bearer " + pair.IDToken, `error="invalid_token"`},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
		if tc.header != "" {
			r.Header.Set("Authorization", tc.header)
		}
		got := send(s.Client(), r)
		challenge := got.header.Get("WWW-Authenticate")
		if got.status != 401 || !strings.Contains(challenge, tc.challenge) || tc.header == "" && strings.Contains(challenge, "error") {
			t.Errorf("%s: HTTP %d, %q; want 401 with %q", name, got.status, challenge, tc.challenge)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Resource()+"/a/b", strings.NewReader("hello"))
	r.Header.Set("Authorization", "bearer "+access)
	got := send(s.Client(), r).wantOK(t)
	if got.text(t, "method") != "PUT" || got.text(t, "path") != "/resource/a/b" || got.field(t, "bytes") != 5.0 {
		t.Errorf("the resource saw %s; want the PUT of 5 bytes", got.body)
	}
	r, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
	r.Header["Authorization"] = []string{"Bearer " + access, "Bearer x"}
	if got := send(s.Client(), r); got.status != 401 {
		t.Errorf("two Authorization headers: HTTP %d; want 401", got.status)
	}
	if s.Served() != 1 || s.Rejected() != 7 {
		t.Errorf("served %d, rejected %d; want 1 and 7", s.Served(), s.Rejected())
	}
}

func TestAPIDescribesItselfAsConfigured(t *testing.T) {
	const root = "https://auth.test/.well-known/oauth-protected-resource"
	const path = root + "/tenant/resource"
	for name, tt := range map[string]struct {
		shape     oauthtest.APIShape
		at        string // empty: nowhere
		challenge string
		resource  string
	}{
		"path":            {oauthtest.APIShape{}, path, path, "https://auth.test/tenant/resource"},
		"root":            {oauthtest.APIShape{MetadataAtRoot: true}, root, root, "https://auth.test/tenant/resource"},
		"root of origin":  {oauthtest.APIShape{MetadataAtRoot: true, ResourceIsOrigin: true}, root, root, "https://auth.test"},
		"not announced":   {oauthtest.APIShape{MetadataAtRoot: true, NoMetadataInChallenge: true}, root, "", "https://auth.test/tenant/resource"},
		"nothing":         {oauthtest.APIShape{NoMetadata: true}, "", "", ""},
		"nothing for GET": {oauthtest.APIShape{PostOnly: true}, path, path, "https://auth.test/tenant/resource"},
	} {
		s := oauthtest.New(oauthtest.Config{IssuerPath: "/tenant", API: tt.shape})
		for _, address := range []string{root, path} {
			resp, err := s.Client().Get(address)
			if err != nil {
				t.Fatal(err)
			}
			var doc struct{ Resource string }
			if found := resp.StatusCode == http.StatusOK; found != (address == tt.at) {
				t.Errorf("%s: HTTP %d at %s", name, resp.StatusCode, address)
			} else if found && (json.NewDecoder(resp.Body).Decode(&doc) != nil || doc.Resource != tt.resource) {
				t.Errorf("%s: the resource is %q; want %q", name, doc.Resource, tt.resource)
			}
			resp.Body.Close()
		}
		for method, want := range map[string]int{http.MethodGet: 401, http.MethodPost: 401} {
			if tt.shape.PostOnly && method == http.MethodGet {
				want = 405
			}
			req, err := http.NewRequestWithContext(t.Context(), method, s.Resource(), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			told := strings.Contains(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`+tt.challenge+`"`)
			if resp.StatusCode != want || want == 401 && told != (tt.challenge != "") {
				t.Errorf("%s: HTTP %d to %s, challenge %q", name, resp.StatusCode, method, resp.Header.Get("WWW-Authenticate"))
			}
		}
	}
}
