package workload

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// What the runner tells jobs that may ask for tokens.
const (
	githubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// A GitHubActions gets the tokens that GitHub signs for a job of GitHub Actions, on github.com
// and on a server of one's own, and Forgejo for its jobs, by the same variables. The job needs
// the permission
//
//	permissions:
//	  id-token: write
//
// and with Forgejo enable-openid-connect: true. Jobs for pull requests from forks get none.
// The issuer that the authorization server has to trust is
// https://token.actions.githubusercontent.com, or that of the server of one's own.
type GitHubActions struct {
	// Audience is whom the token is for: what the authorization server wants in aud, most
	// often its issuer. Empty leaves it to GitHub, which names the owner of the repository.
	Audience string
	// HTTPClient sends the requests, without following redirects. Nil means a client that
	// opens one connection for each.
	HTTPClient *http.Client
}

// Token asks for a new token: one GET to the address in ACTIONS_ID_TOKEN_REQUEST_URL, which
// must be https, or http to a loopback address, with the token in
// ACTIONS_ID_TOKEN_REQUEST_TOKEN, and within 30 seconds. Without these two, or when GitHub
// refuses, the error matches oauth.ErrMisconfigured.
func (g GitHubActions) Token(ctx context.Context) (string, error) {
	address, secret := os.Getenv(githubURL), os.Getenv(githubToken)
	if address == "" || secret == "" {
		return "", misconfigured(errors.New("the environment has no "+githubURL+" and "+githubToken), githubHint())
	}
	if err := wire.CheckEndpoint(githubURL, address); err != nil {
		return "", misconfigured(err, "")
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", misconfigured(errors.New(githubURL+" is not an absolute URL"), "")
	}
	if g.Audience != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&audience="+url.QueryEscape(g.Audience), "&")
	}
	a, fail := sender(g.HTTPClient).Get(ctx, opToken, u.String(), "Bearer "+secret)
	if fail != nil {
		return "", unanswered(fail)
	}
	return judge(a, "value", "give the job the permission `id-token: write`, and ask while it runs")
}

// githubHint says what to do where the variables are missing.
func githubHint() string {
	if os.Getenv("GITHUB_ACTIONS") != "" {
		return "give the job the permission `id-token: write`; jobs for pull requests from forks get no tokens"
	}
	return "run this in a job of GitHub Actions with the permission `id-token: write`"
}
