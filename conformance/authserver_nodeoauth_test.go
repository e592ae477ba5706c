package conformance

import (
	"path/filepath"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// startNodeOAuth starts the npm package @node-oauth/oauth2-server. It wants its
// client's secret in the body, takes it raw in Basic (where RFC 6749 section 2.3.1
// has it encoded), compares the whole redirect URI, and has no metadata. A
// refresh token that was spent is unknown to it, like one that never was.
func startNodeOAuth(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	const secret = `p:w%2F+ /&="~'\`
	s := newAuthServer(t)
	s.config = oauth.Config{
		ClientID:    "evertoken",
		ClientAuth:  oauth.SecretPost(secret),
		AuthURL:     s.origin() + "/authorize",
		TokenURL:    s.origin() + "/token",
		RedirectURL: "http://127.0.0.1:" + freePort(t) + "/callback",
	}
	s.answers = map[string]string{"username": "alice"}
	s.api = s.origin() + "/api"
	state := filepath.Join(t.TempDir(), "state.json")
	s.launch = func() (*process, string) {
		return startListening(t, nodeCommand(t, "nodeoauth", "@node-oauth/oauth2-server"), func(string) any {
			return map[string]any{
				"redirectURL": s.config.RedirectURL, "secret": secret, "accessTokenLifetime": o.life, "rotate": o.rotate, "state": state,
			}
		})
	}
	s.run()
	return s
}
