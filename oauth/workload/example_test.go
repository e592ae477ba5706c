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
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/workload"
	"github.com/evertoken/evertoken/refresh"
)

// A job of GitHub Actions has tokens for an API, without a secret in its settings.
func ExampleGitHubActions() {
	ctx := context.Background()
	server, end := inAJob() // an authorization server that trusts GitHub's tokens
	defer end()

	cfg := server.OAuthConfig()                          // or oauth.Discover
	cfg.ClientID, cfg.ClientAuth = "", oauth.Anonymous() // or the ClientID that the server has for the job
	client := oauth.NewClient(cfg)
	job := workload.GitHubActions{Audience: server.Issuer()}
	manager := refresh.NewManager(refresh.Config{OAuthClient: client.JWTBearerRefresher(job.Token)})
	if err := manager.Start(ctx, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
	tokens, err := manager.TokenContext(ctx) // or manager.Client(), which sends requests with it
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tokens.TokenType, tokens.RefreshToken == "")
	// Output: Bearer true
}

// inAJob makes this program a job that may ask for tokens.
func inAJob() (server *oauthtest.Server, end func()) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	const issuer = "https://token.actions.githubusercontent.com"
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": issuer, "sub": "repo:octo/app:ref:refs/heads/main", "aud": r.URL.Query().Get("audience"),
			"exp": time.Now().Add(5 * time.Minute).Unix(), "jti": rand.Text(),
		}).SignedString(key)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"value":%q}`, token)
	}))
	before := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": runner.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job"}
	for name, value := range before {
		before[name] = os.Getenv(name)
		_ = os.Setenv(name, value)
	}
	end = func() {
		runner.Close()
		server.Close()
		for name, value := range before {
			_ = os.Setenv(name, value)
		}
	}
	trusted := oauthtest.TrustedIssuer{Issuer: issuer, Keys: map[string]crypto.PublicKey{"": &key.PublicKey}}
	server = oauthtest.NewServer(oauthtest.Config{TrustedIssuers: []oauthtest.TrustedIssuer{trusted}})
	return server, end
}
