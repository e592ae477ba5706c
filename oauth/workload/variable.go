package workload

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A Variable reads the token that a platform has put into the environment: GitLab CI/CD for
// each name that the job has under id_tokens,
//
//	id_tokens:
//	  EVERTOKEN_ID_TOKEN:
//	    aud: https://auth.example.com
//
// CircleCI in CIRCLE_OIDC_TOKEN_V2, Bitbucket Pipelines in BITBUCKET_STEP_OIDC_TOKEN for steps
// with oidc: true. Such a token is made once, before the job begins, and ends with the job's
// time limit at the latest: a session by it lives no longer.
type Variable struct {
	// Name is the variable's. Required.
	Name string
}

// Token reads the variable anew. An error matches oauth.ErrMisconfigured.
func (v Variable) Token(context.Context) (string, error) {
	if v.Name == "" {
		return "", misconfigured(errors.New("Variable.Name is empty"), "")
	}
	token := strings.TrimSpace(os.Getenv(v.Name))
	switch {
	case token == "":
		return "", misconfigured(errors.New("the environment has no "+v.Name), v.hint())
	case !wire.IsJWT(token):
		return "", misconfigured(errors.New("what is in "+v.Name+" is not a JWT"), v.hint())
	}
	return token, nil
}

// hint says what to do where the token is missing.
func (v Variable) hint() string {
	switch {
	case os.Getenv("GITLAB_CI") != "":
		return "give the job `id_tokens: " + v.Name + ": aud: …` with the authorization server's issuer for its audience"
	case os.Getenv("BITBUCKET_BUILD_NUMBER") != "":
		return "give the step `oidc: true`, and use BITBUCKET_STEP_OIDC_TOKEN"
	case os.Getenv("CIRCLECI") != "":
		return "use CIRCLE_OIDC_TOKEN_V2, which jobs with a context have"
	}
	return "have the platform set it to the token of this job"
}
