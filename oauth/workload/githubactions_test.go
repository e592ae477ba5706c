package workload_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/workload"
)

// A github is what runners of GitHub ask for tokens, as its jobs see it.
type github struct {
	*httptest.Server
	asked []*http.Request
}

// newGitHub begins a job that may ask for tokens. answer gets the audience.
func newGitHub(t *testing.T, answer func(w http.ResponseWriter, audience string)) *github {
	t.Helper()
	g := &github{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked = append(g.asked, r)
		if r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, r.URL.Query().Get("audience"))
	}))
	t.Cleanup(g.Close)
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", g.URL+"/_apis/idtoken?api-version=2.0")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret)
	return g
}

// A job keeps a session by tokens that are new each time, and good for one server.
func TestJobOfGitHubActionsKeepsASession(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const issuer = "https://token.actions.githubusercontent.com"
	server := oauthtest.New(oauthtest.Config{TrustedIssuers: []oauthtest.TrustedIssuer{{Issuer: issuer, Keys: map[string]crypto.PublicKey{"": &key.PublicKey}}}})
	g := newGitHub(t, func(w http.ResponseWriter, audience string) {
		token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": issuer, "sub": "repo:octo/app:ref:refs/heads/main", "aud": audience, "exp": time.Now().Add(5 * time.Minute).Unix(), "jti": rand.Text(),
		}).SignedString(key)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"count":%d,"value":%q}`, len(token), token)
	})
	cfg := server.OAuthConfig()
	cfg.ClientID, cfg.ClientAuth = "", oauth.Anonymous()
	r := oauth.NewClient(cfg).JWTBearerRefresher(workload.GitHubActions{Audience: server.Issuer()}.Token)
	for range 3 {
		if pair, err := r.Refresh(t.Context(), nil); err != nil || pair.AccessToken == "" {
			t.Fatal(err)
		}
	}
	if len(g.asked) != 3 {
		t.Errorf("GitHub was asked %d times; want 3", len(g.asked))
	}
	wrong := oauth.NewClient(cfg).JWTBearerRefresher(workload.GitHubActions{Audience: "https://other.test"}.Token)
	if _, err := wrong.Refresh(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("another server's audience: %v; want an error that speaks of it", err)
	}
	for _, m := range server.Audit() {
		t.Errorf("a mistake: %v", m)
	}
}

func TestGitHubIsAskedForTheAudience(t *testing.T) {
	for _, audience := range []string{"", "https://auth.test", "a&b=c d/ü?#%"} {
		g := newGitHub(t, func(w http.ResponseWriter, _ string) { fmt.Fprintf(w, `{"value":%q}`, aToken) })
		token, err := workload.GitHubActions{Audience: audience, HTTPClient: g.Client()}.Token(t.Context())
		if err != nil || token != aToken || len(g.asked) != 1 {
			t.Fatalf("%q: got %q, %v after %d requests", audience, token, err, len(g.asked))
		}
		want := url.Values{"api-version": {"2.0"}}
		if audience != "" {
			want.Set("audience", audience)
		}
		if r := g.asked[0]; r.Method != http.MethodGet || r.URL.Path != "/_apis/idtoken" || r.URL.Query().Encode() != want.Encode() {
			t.Errorf("asked by %s %s; want a GET with %s", r.Method, r.URL, want.Encode())
		}
	}
}

// answersOfPlatforms are what can come in place of a token: what they mean, and what is said.
var answersOfPlatforms = map[string]struct {
	status int
	body   string
	header string // Retry-After
	want   error
	says   string
}{
	"refused":             {401, `{"message":"` + secret + `"}`, "", oauth.ErrMisconfigured, "HTTP 401"},
	"forbidden":           {403, "", "", oauth.ErrMisconfigured, "gives this program no token"},
	"gone":                {404, "not here " + secret, "", oauth.ErrMisconfigured, "HTTP 404"},
	"speaks of a grant":   {400, `{"error":"invalid_grant"}`, "", oauth.ErrMisconfigured, "HTTP 400"},
	"speaks of a client":  {401, `{"error":"invalid_client"}`, "", oauth.ErrMisconfigured, "HTTP 401"},
	"speaks of a login":   {403, `{"error":"interaction_required"}`, "", oauth.ErrMisconfigured, "HTTP 403"},
	"speaks in a success": {200, `{"error":"invalid_grant"}`, "", oauth.ErrMisconfigured, "no token"},
	"no token":            {200, `{"count":0}`, "", oauth.ErrMisconfigured, "no token"},
	"empty":               {200, "", "", oauth.ErrMisconfigured, "no token"},
	"no JWT":              {200, `{"value":"` + secret + `"}`, "", oauth.ErrMisconfigured, "no token"},
	"a number":            {200, `{"value":1}`, "", oauth.ErrMisconfigured, "no token"},
	"trouble":             {500, `{"error":"invalid_client"}`, "", oauth.ErrTransient, "trouble"},
	"away":                {503, "", "10", oauth.ErrTransient, "HTTP 503"},
	"too often":           {429, "", "10", oauth.ErrTransient, "HTTP 429"},
	"later":               {403, "", "10", oauth.ErrTransient, "HTTP 403"},
	"a page":              {200, "<!DOCTYPE html>" + secret, "", oauth.ErrTransient, "web page"},
	"a page that refuses": {403, "<html>" + secret, "", oauth.ErrTransient, "web page"},
}

func TestWhatGitHubAnswersInPlaceOfATokenIsSaid(t *testing.T) {
	for name, tt := range answersOfPlatforms {
		newGitHub(t, func(w http.ResponseWriter, _ string) {
			if tt.header != "" {
				w.Header().Set("Retry-After", tt.header)
			}
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		})
		_, err := workload.GitHubActions{}.Token(t.Context())
		wantFailure(t, name, err, tt.want, tt.says)
		if tt.status >= 400 && tt.want == oauth.ErrMisconfigured && !strings.Contains(err.Error(), "id-token: write") {
			t.Errorf("%s: %v does not say what to set", name, err)
		}
		if fail := err.(*oauth.Error); fail.RetryAt.IsZero() != (tt.header == "") {
			t.Errorf("%s: to be asked again at %v", name, fail.RetryAt)
		}
	}
}

// What was on its way when the connection broke may be asked for again: nothing is spent.
func TestGitHubThatDoesNotAnswerIsTrouble(t *testing.T) {
	g := newGitHub(t, func(w http.ResponseWriter, _ string) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"value":"`+aToken[:5])
	})
	_, err := workload.GitHubActions{}.Token(t.Context())
	wantFailure(t, "cut", err, oauth.ErrTransient, "broke off")
	g.Close()
	_, err = workload.GitHubActions{}.Token(t.Context())
	wantFailure(t, "down", err, oauth.ErrTransient, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = workload.GitHubActions{}.Token(ctx)
	wantFailure(t, "left", err, oauth.ErrTransient, "cancel")
}

func TestJobWithoutPermissionIsToldWhatToSet(t *testing.T) {
	for name, tt := range map[string]struct{ url, token, actions, says string }{
		"a job":            {"", "", "true", "permission `id-token: write`; jobs for pull requests from forks"},
		"half of it":       {"https://github.test/x", "", "true", "id-token: write"},
		"the other half":   {"", secret, "true", "id-token: write"},
		"no job":           {"", "", "", "run this in a job of GitHub Actions"},
		"plain HTTP":       {"http://github.test/x?api-version=2.0", secret, "true", "must be https"},
		"no URL":           {"github", secret, "true", "not an absolute URL"},
		"user information": {"https://u:" + secret + "@github.test/", secret, "true", "user information"},
	} {
		t.Setenv("GITHUB_ACTIONS", tt.actions)
		t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", tt.url)
		t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", tt.token)
		sent := roundTrips(func(*http.Request) (*http.Response, error) {
			t.Errorf("%s: a request was sent", name)
			return nil, http.ErrServerClosed
		})
		_, err := workload.GitHubActions{HTTPClient: &http.Client{Transport: sent}}.Token(t.Context())
		wantFailure(t, name, err, oauth.ErrMisconfigured, tt.says)
	}
}

// roundTrips is a transport of one function.
type roundTrips func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The job's own credentials go to the address in the environment, and along no redirect.
func TestRedirectGetsNoCredentialsOfTheJob(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked with %q", r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	newGitHub(t, func(w http.ResponseWriter, _ string) {
		w.Header().Set("Location", elsewhere.URL+"?"+secret)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	_, err := workload.GitHubActions{HTTPClient: &http.Client{}}.Token(t.Context())
	wantFailure(t, "redirected", err, oauth.ErrMisconfigured, "redirect")
}
