package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

const (
	glewlwydClient = "evertoken"
	glewlwydSecret = `p:w%2F+ /&="~'\`
	glewlwydSchema = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	glewlwydLib    = "/usr/lib/glewlwyd/"
)

// startGlewlwyd starts glewlwyd, an OpenID provider in C, from its Debian package,
// with a database of its own. It compares the whole redirect URI. Two things
// surprise:
//   - It takes ID and secret in Basic as they are, where RFC 6749 section 2.3.1 has
//     them form-encoded, and answers 403 unauthorized_client otherwise.
//   - It tells that a refresh token is dead with status 400 and an empty body, so it
//     takes a check interval until the session counts as ended.
func startGlewlwyd(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	path, err := exec.LookPath("glewlwyd")
	if err != nil {
		missing(t, "there is no glewlwyd")
	}
	s := newAuthServer(t)
	s.config = oauth.Config{
		Issuer:      s.origin() + "/api/oidc",
		ClientID:    glewlwydClient,
		ClientAuth:  oauth.SecretBasicRaw(glewlwydSecret),
		Scopes:      []string{"openid"},
		RedirectURL: "http://127.0.0.1:" + freePort(t) + "/callback",
	}
	s.api = s.config.Issuer + "/userinfo"
	s.allow = s.allowAtGlewlwyd
	s.allowDevice = func(v *visitor, code *oauth.DeviceCode) { s.allowAtGlewlwyd(v, code.VerificationURIComplete) }
	dir := t.TempDir()
	createGlewlwydDatabase(t, filepath.Join(dir, "db"))
	s.launch = func() (*process, string) { return launchGlewlwyd(t, path, dir, s.origin()) }
	s.run()
	s.setUpGlewlwyd(t, o)
	return s
}

func createGlewlwydDatabase(t *testing.T, path string) {
	t.Helper()
	schema, err := os.Open(glewlwydSchema)
	if err != nil {
		missing(t, "glewlwyd's schema is not where Debian puts it: "+err.Error())
	}
	defer schema.Close()
	create := exec.Command("sqlite3", path)
	create.Stdin = schema
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
}

// launchGlewlwyd starts the server and waits until it listens.
func launchGlewlwyd(t *testing.T, path, dir, origin string) (*process, string) {
	t.Helper()
	addr := "127.0.0.1:" + freePort(t)
	config := filepath.Join(dir, "glewlwyd.conf")
	if err := os.WriteFile(config, []byte(glewlwydConfig(dir, addr, origin)), 0o600); err != nil {
		t.Fatal(err)
	}
	return startAt(t, addr, path, "--config-file="+config), addr
}

func glewlwydConfig(dir, addr, origin string) string {
	_, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`
port = %s
bind_address = "127.0.0.1"
external_url = %q
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
session_expiration = 86400
session_key = "session"
admin_session_authentication = "cookie"
profile_session_authentication = "cookie"
login_api_enabled = true
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "%[3]suser"
client_module_path = "%[3]sclient"
user_auth_scheme_module_path = "%[3]sscheme"
plugin_module_path = "%[3]splugin"
use_secure_connection = false
secure_connection_key_file = "it wants them all the same"
secure_connection_pem_file = ""
secure_connection_ca_file = ""
hash_algorithm = "SHA512"
database = { type = "sqlite3"; path = %q; };
`, port, origin, glewlwydLib, filepath.Join(dir, "db"))
}

// setUpGlewlwyd makes the OpenID plugin, a client and a person, as the
// administrator that the schema comes with.
func (s *authServer) setUpGlewlwyd(t *testing.T, o serverOptions) {
	t.Helper()
	oneUse := "never"
	if o.rotate {
		oneUse = "always"
	}
	admin := newVisitor(t)
	s.tell(admin, http.MethodPost, "/auth/", map[string]any{"username": "admin", "password": "password"})
	s.tell(admin, http.MethodPost, "/mod/plugin/", map[string]any{
		"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true,
		"parameters": map[string]any{
			"iss": s.config.Issuer, "jwt-type": "sha", "jwt-key-size": "256", "key": "a key for tests",
			"access-token-duration": o.life, "refresh-token-duration": 86400, "code-duration": 600,
			"refresh-token-one-use": oneUse, "refresh-token-rolling": true, "pkce-allowed": true,
			"auth-type-code-enabled": true, "auth-type-refresh-enabled": true, "auth-type-device-enabled": true,
			"device-authorization-expiration": 600, "device-authorization-interval": 1,
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
		},
	})
	s.tell(admin, http.MethodPost, "/client/", map[string]any{
		"client_id": glewlwydClient, "name": "Evertoken", "enabled": true,
		"confidential": true, "client_secret": glewlwydSecret, "token_endpoint_auth_method": []string{"client_secret_basic"},
		"redirect_uri": []string{s.config.RedirectURL}, "scope": []string{"openid"},
		"authorization_type": []string{"code", "refresh_token", "device_authorization"},
	})
	s.tell(admin, http.MethodPost, "/user/", map[string]any{
		"username": "alice", "password": "wonderland", "enabled": true, "scope": []string{"openid"},
	})
}

// allowAtGlewlwyd does what the scripts of its login page do.
func (s *authServer) allowAtGlewlwyd(v *visitor, address string) {
	v.t.Helper()
	s.tell(v, http.MethodPost, "/auth/", map[string]any{"username": "alice", "password": "wonderland"})
	s.tell(v, http.MethodPut, "/auth/grant/"+glewlwydClient, map[string]any{"scope": "openid"})
	u, err := url.Parse(address)
	if err != nil {
		v.t.Fatal(err)
	}
	query := u.Query()
	query.Set("g_continue", "")
	u.RawQuery = query.Encode()
	resp := v.do(http.MethodGet, u.String(), "", nil)
	_ = resp.Body.Close()
}

// tell calls glewlwyd's API.
func (s *authServer) tell(v *visitor, method, path string, what any) {
	v.t.Helper()
	encoded, err := json.Marshal(what)
	if err != nil {
		v.t.Fatal(err)
	}
	resp := v.do(method, s.origin()+"/api"+path, "application/json", strings.NewReader(string(encoded)))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("glewlwyd answers %s to %s %s", resp.Status, method, path)
	}
}
