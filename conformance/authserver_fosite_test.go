package conformance

import (
	"os/exec"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// fositeProgram returns the path of the server in fosite: the library has some
// eighty dependencies.
var fositeProgram = program("fosite")

// startFosite starts the Go library ory/fosite. Its client authenticates by Basic,
// form-encoded as RFC 6749 section 2.3.1 says, and returns to any port. Its
// storage is that of its examples, in memory.
func startFosite(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	path, err := fositeProgram()
	if err != nil {
		missing(t, "fosite cannot be built: "+err.Error())
	}
	const secret = `p:w%2F+ /&="~'\`
	s := newAuthServer(t)
	s.config = oauth.Config{
		ClientID:      "evertoken",
		ClientSecret:  secret,
		AuthURL:       s.origin() + "/authorize",
		TokenURL:      s.origin() + "/token",
		RevocationURL: s.origin() + "/revoke",
		// Not "offline_access": without this scope there is no refresh token.
		Scopes: []string{"offline"},
	}
	s.answers = map[string]string{"username": "alice"}
	s.api = s.origin() + "/api"
	s.launch = func() (*process, string) {
		return startListening(t, exec.Command(path), func(string) any {
			return map[string]any{"redirectURL": "http://127.0.0.1/callback", "secret": secret, "accessTokenLifetime": o.life}
		})
	}
	s.run()
	return s
}
