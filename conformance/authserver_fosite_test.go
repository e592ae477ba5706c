package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// fositeProgram returns the path of the server in fosite, which is a module of its
// own: the library has some eighty dependencies. All tests share one build.
var fositeProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "evertoken-fosite-")
	if err != nil {
		return "", err
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "fosite")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = "fosite"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

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
