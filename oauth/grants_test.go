package oauth_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func serviceClient() (*oauthtest.Server, *oauth.Client) {
	s := oauthtest.New(oauthtest.Config{ClientID: "service", ClientSecret: "s:e c"})
	return s, oauth.NewClient(s.OAuthConfig())
}

func TestClientCredentialsGiveAToken(t *testing.T) {
	s, c := serviceClient()
	pair, err := c.ClientCredentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pair.RefreshToken != "" {
		t.Error("a refresh token for a client that needs none")
	}
	wantWorking(t, s, pair)
}

func TestClientCredentialsSendGrantAndScope(t *testing.T) {
	w := answering(200, okBody)
	c := over(w, func(cfg *oauth.Config) { cfg.ClientSecret, cfg.Scopes = "s", []string{"a", "b"} })
	if _, err := c.ClientCredentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.requests()[0].form.Encode(); got != "grant_type=client_credentials&scope=a+b" {
		t.Errorf("body %s", got)
	}
}

func TestClientCredentialsWithAWrongSecretAreMisconfigured(t *testing.T) {
	s, _ := serviceClient()
	cfg := s.OAuthConfig()
	cfg.ClientSecret = secret
	_, err := oauth.NewClient(cfg).ClientCredentials(t.Context())
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Op != "client_credentials" || fail.Hint == "" {
		t.Errorf("got %v; want ErrMisconfigured and a hint", err)
	}
}

func TestClientCredentialsRefresherAsksAgain(t *testing.T) {
	s, c := serviceClient()
	r := c.ClientCredentialsRefresher()
	first, err := r.Refresh(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.ExpireAccess("")
	second, err := r.Refresh(t.Context(), &oauth.TokenPair{AccessToken: first.AccessToken, RefreshToken: "must not be sent"})
	if err != nil {
		t.Fatal(err)
	}
	if second.RefreshToken != "" {
		t.Error("the refresh token of the old pair was carried over")
	}
	wantWorking(t, s, second)
	if n := s.Refreshes(); n != 0 {
		t.Errorf("%d refresh tokens were spent", n)
	}
	if r.ConfigID() != c.ConfigID() {
		t.Error("the refresher has another configuration ID than its client")
	}
}

func TestClientCredentialsRefresherTellsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := serviceClient()
		r := c.ClientCredentialsRefresher()
		s.Script(oauthtest.Fault{RetryAfter: time.Minute})
		_, err := r.Refresh(t.Context(), nil)
		if !errors.Is(err, oauth.ErrTransient) || !failure(t, err).RetryAt.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("got %v; want ErrTransient with a time", err)
		}
	})
}

func TestPasswordLogin(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	pair, err := c.Password(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s, pair)
	_, err = c.Password(t.Context(), oauthtest.DefaultUser, secret)
	if fail := failure(t, err); !errors.Is(err, oauth.ErrLoginRequired) || fail.Op != "password" {
		t.Errorf("a wrong password: %v; want ErrLoginRequired", err)
	}
}

func TestPasswordSendsGrantAndScope(t *testing.T) {
	w := answering(200, okBody)
	c := over(w, func(cfg *oauth.Config) { cfg.Scopes = []string{"a"} })
	if _, err := c.Password(t.Context(), "al&ice", "p=w"); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"client_id": {"id"}, "grant_type": {"password"}, "username": {"al&ice"}, "password": {"p=w"}, "scope": {"a"}}
	if got := w.requests()[0].form.Encode(); got != want.Encode() {
		t.Errorf("body %s; want %s", got, want.Encode())
	}
}

func TestRevokeEndsTheSession(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	pair := mustLogin(t, s)
	if err := c.Revoke(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if n := s.Sessions(oauthtest.DefaultUser); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if err := c.Revoke(t.Context(), pair); err != nil {
		t.Errorf("revoking what is revoked: %v; want success", err)
	}
	wantNoMistakes(t, s)
}

func TestF61_RevokingTheOldGrantLeavesTheNewOne(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	old, fresh := mustLogin(t, s), mustLogin(t, s)
	if err := c.Revoke(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s, fresh)
	if _, err := c.Refresh(t.Context(), fresh); err != nil {
		t.Errorf("the new session: %v", err)
	}
	wantNoMistakes(t, s)
}

func TestRevokeSendsOneTokenWithItsHint(t *testing.T) {
	for want, pair := range map[string]*oauth.TokenPair{
		"client_id=id&token=r&token_type_hint=refresh_token": {AccessToken: "a", RefreshToken: "r"},
		"client_id=id&token=a&token_type_hint=access_token":  {AccessToken: "a"},
	} {
		w := answering(200, "")
		c := over(w, func(cfg *oauth.Config) { cfg.RevocationURL = "https://auth.test/revoke" })
		if err := c.Revoke(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		sent := w.requests()
		if len(sent) != 1 || sent[0].form.Encode() != want || sent[0].URL.Path != "/revoke" {
			t.Errorf("%d requests, the first with %s; want one with %s", len(sent), sent[0].form.Encode(), want)
		}
	}
}

func TestRevocationAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		headers []string
		want    error
	}{
		{"done", 200, "", nil, nil},
		{"done, no content", 204, "", nil, nil},
		{"done, with a page", 200, webPage, nil, nil},
		{"unknown token as 400 invalid_grant", 400, `{"error":"invalid_grant"}`, nil, nil},
		{"unknown token as 400 invalid_token", 400, `{"error":"invalid_token"}`, nil, nil},
		{"dead token in a dialect", 401, `{"error":"TOKEN_EXPIRED"}`, nil, nil},
		{"the caller's own credentials", 401, `{"error":"invalid_token"}`, nil, oauth.ErrNotRevoked},
		{"wrong client", 401, `{"error":"invalid_client"}`, nil, oauth.ErrNotRevoked},
		{"401 with nothing", 401, "", nil, oauth.ErrNotRevoked},
		{"bad request", 400, `{"error":"invalid_request"}`, nil, oauth.ErrNotRevoked},
		{"400 with nothing", 400, "", nil, oauth.ErrNotRevoked},
		{"400 with a page", 400, webPage, nil, oauth.ErrNotRevoked},
		{"not this kind of token", 400, `{"error":"unsupported_token_type"}`, nil, oauth.ErrNotRevoked},
		{"not this client", 400, `{"error":"unauthorized_client"}`, nil, oauth.ErrNotRevoked},
		{"policy", 403, `{"error":"access_denied"}`, nil, oauth.ErrNotRevoked},
		{"policy of a page", 403, webPage, nil, oauth.ErrNotRevoked},
		{"no such page", 404, webPage, nil, oauth.ErrNotRevoked},
		{"no such page, in JSON", 404, `{"message":"Not Found"}`, nil, oauth.ErrNotRevoked},
		{"not this method", 405, "", nil, oauth.ErrNotRevoked},
		{"gone", 410, "", nil, oauth.ErrNotRevoked},
		{"not this media type", 415, "", nil, oauth.ErrNotRevoked},
		{"not implemented", 501, "", nil, oauth.ErrNotRevoked},
		{"redirect", 302, "", nil, oauth.ErrNotRevoked},
		{"moved", 308, "", nil, oauth.ErrNotRevoked},
		{"overload", 503, webPage, []string{"Retry-After", "30"}, oauth.ErrTransient},
		{"a fault", 500, "", nil, oauth.ErrTransient},
		{"gateway", 502, webPage, nil, oauth.ErrTransient},
		{"slowly", 429, "", nil, oauth.ErrTransient},
		{"timed out", 408, "", nil, oauth.ErrTransient},
		{"403 for a while", 403, "", []string{"Retry-After", "30"}, oauth.ErrTransient},
		{"trouble in words", 400, `{"error":"temporarily_unavailable"}`, nil, oauth.ErrTransient},
		{"trouble under 403", 403, `{"error":"slow_down"}`, nil, oauth.ErrTransient},
		{"a proxy's word", 407, "", nil, oauth.ErrTransient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := over(answering(tt.status, tt.body, tt.headers...), func(cfg *oauth.Config) { cfg.RevocationURL = "https://auth.test/revoke" })
			err := c.Revoke(t.Context(), secretPair())
			if tt.want == nil {
				if err != nil {
					t.Errorf("got %v; want success", err)
				}
				return
			}
			fail := failure(t, err)
			if !errors.Is(err, tt.want) || errors.Is(err, oauth.ErrLoginRequired) || fail.Op != "revoke" {
				t.Errorf("got %v; want %v", err, tt.want)
			}
			if refused := tt.want == oauth.ErrNotRevoked; errors.Is(err, oauth.ErrMisconfigured) != refused || errors.Is(err, oauth.ErrTransient) == refused {
				t.Errorf("got %v of the kind %v", err, fail.Kind)
			}
			if (tt.headers != nil) == fail.RetryAt.IsZero() {
				t.Errorf("retry at %v", fail.RetryAt)
			}
		})
	}
}

func TestOtherRequestsAreNotRevocations(t *testing.T) {
	_, err := over(answering(401, `{"error":"invalid_client"}`)).RefreshToken(t.Context(), secret)
	if failure(t, err); errors.Is(err, oauth.ErrNotRevoked) || !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("got %v; want a refusal of the client alone", err)
	}
}

func TestRevokeWithoutEndpointOrTokenIsMisconfigured(t *testing.T) {
	w := answering(200, "")
	for name, err := range map[string]error{
		"no endpoint": over(w).Revoke(t.Context(), secretPair()),
		"plain http":  over(w, func(c *oauth.Config) { c.RevocationURL = "http://auth.test/" }).Revoke(t.Context(), secretPair()),
		"no pair":     over(w, func(c *oauth.Config) { c.RevocationURL = "https://auth.test/" }).Revoke(t.Context(), nil),
		"no token":    over(w, func(c *oauth.Config) { c.RevocationURL = "https://auth.test/" }).Revoke(t.Context(), &oauth.TokenPair{}),
	} {
		if failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || errors.Is(err, oauth.ErrNotRevoked) {
			t.Errorf("%s: got %v; want ErrMisconfigured, and not the server's refusal", name, err)
		}
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestIntrospectTellsALiveTokenFromADeadOne(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	pair := mustLogin(t, s)
	got, err := c.Introspect(t.Context(), pair.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Active || got.Scope == "" || got.ClientID != oauthtest.DefaultClientID || got.ExpiresAt.IsZero() || len(got.Claims) == 0 {
		t.Errorf("a live token: %+v", got)
	}
	s.RevokeAll(oauthtest.DefaultUser)
	got, err = c.Introspect(t.Context(), pair.AccessToken)
	if err != nil || got.Active || got.Claims != nil {
		t.Errorf("a dead token: %+v, %v; want inactive", got, err)
	}
	wantNoMistakes(t, s)
}

func TestOnlyTrueIsActive(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		active bool
		want   error
	}{
		{200, `{"active":true,"sub":"s","exp":"2000000000","iat":1e300,"scope":["a","b"]}`, true, nil},
		{200, `{"active":false,"sub":"` + secret + `"}`, false, nil},
		{200, `{"active":"true"}`, false, oauth.ErrTransient},
		{200, `{"active":1}`, false, oauth.ErrTransient},
		{200, `{"active":null}`, false, oauth.ErrTransient},
		{200, `{"sub":"` + secret + `"}`, false, oauth.ErrTransient},
		{200, webPage, false, oauth.ErrTransient},
		{401, `{"error":"invalid_client"}`, false, oauth.ErrMisconfigured},
		{400, `{"error":"invalid_grant","active":true}`, false, oauth.ErrTransient},
		{503, ``, false, oauth.ErrTransient},
	} {
		c := over(answering(tt.status, tt.body), func(cfg *oauth.Config) { cfg.Endpoints.Introspection = "https://auth.test/introspect" })
		got, err := c.Introspect(t.Context(), secret)
		if tt.want == nil {
			if err != nil || got.Active != tt.active {
				t.Errorf("%s: got %+v, %v", tt.body, got, err)
			}
			if tt.active && (got.Subject != "s" || got.ExpiresAt.Unix() != 2000000000 || !got.IssuedAt.IsZero() || got.Scope != "a b") {
				t.Errorf("got %+v", got)
			}
			continue
		}
		if failure(t, err); got != nil || !errors.Is(err, tt.want) || errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("%s: got %+v, %v; want %v", tt.body, got, err, tt.want)
		}
	}
	for _, err := range []error{
		second(over(answering(200, "")).Introspect(t.Context(), "t")),
		second(over(answering(200, ""), func(c *oauth.Config) { c.Endpoints.Introspection = "https://auth.test/" }).Introspect(t.Context(), "")),
	} {
		if !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("got %v; want ErrMisconfigured", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestUserinfoTellsWhoLoggedIn(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	pair := mustLogin(t, s)
	info, err := c.Userinfo(t.Context(), pair)
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject == "" || len(info.Claims) == 0 {
		t.Errorf("got %+v", info)
	}
	s.RevokeAll(oauthtest.DefaultUser)
	_, err = c.Userinfo(t.Context(), pair)
	if fail := failure(t, err); !errors.Is(err, oauth.ErrTransient) || fail.Status != http.StatusUnauthorized || fail.Hint == "" {
		t.Errorf("a dead access token: %v; want ErrTransient with 401 and a hint", err)
	}
}

func idToken(t *testing.T, subject string) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: subject}).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestUserinfoAnswers(t *testing.T) {
	pair := &oauth.TokenPair{AccessToken: secret, IDToken: idToken(t, "u1")}
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		headers []string
		want    error
	}{
		{"the same person", 200, `{"sub":"u1","name":"N","preferred_username":"P","email":"E","email_verified":true}`, nil, nil},
		{"another person", 200, `{"sub":"u2"}`, nil, oauth.ErrMisconfigured},
		{"nobody", 200, `{"name":"` + secret + `"}`, nil, oauth.ErrTransient},
		{"a page", 200, webPage, nil, oauth.ErrTransient},
		{"signed", 200, "e30.e30." + secret, []string{"Content-Type", "application/jwt; charset=utf-8"}, oauth.ErrMisconfigured},
		{"rejected", 401, ``, nil, oauth.ErrTransient},
		{"rejected in words that end sessions elsewhere", 400, `{"error":"invalid_grant"}`, nil, oauth.ErrTransient},
		{"rejected as a client", 401, `{"error":"invalid_client"}`, nil, oauth.ErrTransient},
		{"trouble", 503, webPage, []string{"Retry-After", "5"}, oauth.ErrTransient},
		{"redirect", 307, "", []string{"Location", "https://evil.test/"}, oauth.ErrMisconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := answering(tt.status, tt.body, tt.headers...)
			c := over(w, func(cfg *oauth.Config) { cfg.Endpoints.Userinfo = "https://auth.test/userinfo" })
			info, err := c.Userinfo(t.Context(), pair)
			sent := w.requests()
			if len(sent) != 1 || sent[0].Method != http.MethodGet || sent[0].Header.Get("Authorization") != "Bearer "+secret || sent[0].URL.RawQuery != "" {
				t.Errorf("%d requests, the first %s %s; want one GET with the token in its header", len(sent), sent[0].Method, sent[0].URL)
			}
			if tt.want == nil {
				if err != nil || info.Subject != "u1" || info.Name != "N" || info.PreferredUsername != "P" || info.Email != "E" || !info.EmailVerified {
					t.Errorf("got %+v, %v", info, err)
				}
				return
			}
			if failure(t, err); info != nil || !errors.Is(err, tt.want) || errors.Is(err, oauth.ErrLoginRequired) {
				t.Errorf("got %+v, %v; want %v", info, err, tt.want)
			}
		})
	}
}

func TestUserinfoSendsNoTokenThatItCannotPresent(t *testing.T) {
	w := answering(200, `{"sub":"u"}`)
	c := over(w, func(cfg *oauth.Config) { cfg.Endpoints.Userinfo = "https://auth.test/userinfo" })
	for name, pair := range map[string]*oauth.TokenPair{
		"none": nil, "empty": {}, "breaks the header": {AccessToken: "a\r\nX: y"}, "DPoP": {AccessToken: "a", TokenType: "dpop"},
	} {
		if _, err := c.Userinfo(t.Context(), pair); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%s: got %v; want ErrMisconfigured", name, err)
		}
	}
	if _, err := over(w).Userinfo(t.Context(), secretPair()); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("without endpoint: %v", err)
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
