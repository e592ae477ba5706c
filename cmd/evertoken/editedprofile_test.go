//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// ok ends the test if err is one.
func (d *desk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// edit changes a member of the profile's file, as whoever can write to it may. Nil removes it.
func (d *desk) edit(member string, value any) {
	d.t.Helper()
	path := profile.File{Dir: d.Dir, Name: d.Profile}.Path()
	text, err := os.ReadFile(path)
	d.ok(err)
	fields := make(map[string]any)
	d.ok(json.Unmarshal(text, &fields))
	fields[member] = value
	if value == nil {
		delete(fields, member)
	}
	text, err = json.Marshal(fields)
	d.ok(err)
	d.ok(os.WriteFile(path, text, 0o600))
}

// Whoever can write the plain profile, but not the keyring, must not get a token by it.
func TestF96_EditedProfileSendsNothingAnywhere(t *testing.T) {
	var heard atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	t.Cleanup(evil.Close)
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{profile.InKeyring, profile.InFiles} {
		t.Run(store, func(t *testing.T) {
			d := newDesk(t)
			d.mustLogin(store)
			p, err := d.loadProfile()
			d.ok(err)
			clean := p.Fingerprint()
			for member, value := range map[string]any{
				"token_url": evil.URL + "/token", "revocation_url": evil.URL + "/revoke", "userinfo_url": evil.URL + "/userinfo", "auth_url": evil.URL + "/auth",
				"device_auth_url": evil.URL + "/device", "issuer": evil.URL, "client_id": "another", "client_secret_file": secret, "client_auth": "client_secret_post",
				"redirect_url": "http://127.0.0.1:1/cb", "scopes": []string{"admin"}, "auth_params": map[string][]string{"prompt": {"none"}}, "require_iss": false,
				"preset": "google", "access_token_lifetime": "1h", "refresh_idle": "1h", "scope_separator": ",", "no_pkce": true, "token_path": "data", "presentation": map[string]string{"header": "X-Evil"}, "grace": "none", "apis": []string{evil.URL},
			} {
				d.edit(member, value)
				sessions := d.server.Sessions("alice")
				for name, run := range map[string]func() error{
					"token":         func() error { return (&tokenCmd{}).Run(t.Context(), d.app) },
					"refresh":       func() error { return refreshCmd{}.Run(t.Context(), d.app) },
					"whoami":        func() error { return (&whoamiCmd{}).Run(t.Context(), d.app) },
					"get":           func() error { return (&getCmd{URL: d.server.Resource()}).Run(t.Context(), d.app) },
					"get elsewhere": func() error { return (&getCmd{URL: evil.URL}).Run(t.Context(), d.app) },
					"get, allowed": func() error {
						return (&getCmd{URL: evil.URL, allowFlag: allowFlag{AllowOrigin: true}}).Run(t.Context(), d.app)
					},
					"logout":         func() error { return (&logoutCmd{}).Run(t.Context(), d.app) },
					"logout --force": func() error { return (&logoutCmd{Force: true}).Run(t.Context(), d.app) },
				} {
					d.stderr.Reset()
					if code, said := d.report(run()), d.stderr.String(); code != exit.Config || strings.Contains(said, evil.URL) {
						t.Errorf("%s was edited, %s: exit code %d, %q; want 5 without the address", member, name, code, said)
					}
				}
				if n := d.server.Sessions("alice"); n != sessions {
					t.Errorf("%s was edited: %d sessions at the server; want the %d that were there", member, n, sessions)
				}
				if said := d.mustLogin(store); !strings.Contains(said, "not those that it was logged in with") {
					t.Errorf("%s was edited: a login said %q; want that it does not use the settings", member, said)
				}
				if p, err := d.loadProfile(); err != nil || p.Fingerprint() != clean {
					t.Errorf("%s was edited: after a login the profile is %+v, %v", member, p, err)
				}
			}
			if n := heard.Load(); n != 0 {
				t.Errorf("%d requests went to where an edited profile says", n)
			}
			d.refreshes()
		})
	}
}

// The address and the dialect of a backend say where tokens are sent, too.
func TestF96_EditedBackendGetsNothing(t *testing.T) {
	for _, dialect := range []string{"kratos", "gin-jwt", "aspnet"} {
		backend := map[string]oauthtest.Backend{"kratos": oauthtest.KratosBackend, "gin-jwt": oauthtest.GinJWTBackend, "aspnet": oauthtest.ASPNETBackend}[dialect]
		d := newDesk(t)
		d.stdin = strings.NewReader("wonderland\n")
		c := &loginCmd{Store: profile.InKeyring, Timeout: time.Minute}
		c.Dialect, c.URL, c.Username, c.PasswordStdin = dialect, d.server.DialectConfig(backend).BaseURL, "alice", true
		d.ok(c.Run(t.Context(), d.app))
		d.refreshes() // the dialect that is read back is the one that was written
		p, err := d.loadProfile()
		d.ok(err)
		text, err := json.Marshal(p.Backend)
		d.ok(err)
		edited := make(map[string]any)
		d.ok(json.Unmarshal(text, &edited))
		edited["url"] = "https://evil.example.com"
		d.edit("backend", edited)
		d.stderr.Reset()
		if code, said := d.report((&logoutCmd{}).Run(t.Context(), d.app)), d.stderr.String(); code != exit.Config ||
			!strings.Contains(said, "edited") || !strings.Contains(said, " --dialect NAME --url URL\"") || strings.Contains(said, "--issuer") {
			t.Errorf("%s: logout: exit code %d, %q; want 5 and the command that logs in anew", dialect, code, said)
		}
	}
}

// Nor does a login send the password to another address, whichever store has the tokens.
func TestF96_EditedBackendGetsNoPassword(t *testing.T) {
	for _, store := range []string{profile.InKeyring, profile.InFiles} {
		var heard atomic.Int32
		evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
		t.Cleanup(evil.Close)
		d := newDesk(t)
		d.stdin = strings.NewReader("wonderland\n")
		c := &loginCmd{Store: store, Timeout: time.Minute}
		c.Dialect, c.URL, c.Username, c.PasswordStdin = "kratos", d.server.DialectConfig(oauthtest.KratosBackend).BaseURL, "alice", true
		d.ok(c.Run(t.Context(), d.app))
		p, err := d.loadProfile()
		d.ok(err)
		text, err := json.Marshal(p.Backend)
		d.ok(err)
		edited := make(map[string]any)
		d.ok(json.Unmarshal(text, &edited))
		edited["url"] = evil.URL
		d.edit("backend", edited)
		d.stderr.Reset()
		d.stdin = strings.NewReader("wonderland\n")
		again := &loginCmd{Timeout: time.Minute}
		again.PasswordStdin = true
		code := d.report(again.Run(t.Context(), d.app))
		if said := d.stderr.String(); code != exit.Config || !strings.Contains(said, "with --dialect and --url") || strings.Contains(said, evil.URL) || heard.Load() != 0 {
			t.Errorf("%s: exit code %d, %q, %d requests to where the edit says; want 5, the flags and none", store, code, said, heard.Load())
		}
	}
}

// A login without flags takes nothing of it.
func TestF96_EditedProfileIsNotWhatALoginRemembers(t *testing.T) {
	t.Run("plain file", func(t *testing.T) {
		for member, value := range map[string]any{"client_id": "another", "token_url": "https://evil.example.com/token", "auth_url": "https://evil.example.com/auth"} {
			d := newDesk(t)
			d.mustLogin(profile.InFiles)
			d.edit(member, value)
			d.stderr.Reset()
			code := d.report((&loginCmd{Timeout: time.Minute}).Run(t.Context(), d.app))
			if said := d.stderr.String(); code != exit.Config || !strings.Contains(said, "with --issuer and --client-id") {
				t.Errorf("%s was edited: login without flags: exit code %d, %q; want that it needs --issuer", member, code, said)
			}
		}
	})
	for _, member := range []string{"scopes", "store"} {
		d := newDesk(t)
		d.mustLogin(profile.InKeyring)
		d.edit(member, map[string]any{"scopes": []string{"admin"}, "store": profile.InFiles}[member])
		d.stderr.Reset()
		code := d.report((&loginCmd{Timeout: time.Minute}).Run(t.Context(), d.app))
		if said := d.stderr.String(); code == exit.OK || !strings.Contains(said, "not those that it was logged in with") || !strings.Contains(said, "with --issuer and --client-id") {
			t.Errorf("%s was edited: login without flags: exit code %d, %q; want that it needs --issuer", member, code, said)
		}
		d.mustLogin("")
		if p, err := d.loadProfile(); err != nil || p.Kind() != profile.InKeyring || len(p.Scopes) != 2 {
			t.Errorf("%s was edited: after a login the profile is %+v, %v", member, p, err)
		}
		d.refreshes()
	}
}

// What a login with the same client changes is not an edit to a process that was there before.
func TestSettingsThatALoginChangesAreTaken(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InKeyring)
	s, err := d.open(t.Context())
	d.ok(err)
	_, err = s.store.Get(t.Context(), d.Profile)
	d.ok(err)
	c := &loginCmd{Scope: []string{"openid"}, Timeout: time.Minute}
	d.ok(c.Run(t.Context(), d.app))
	rec, err := s.store.Get(t.Context(), d.Profile)
	d.ok(err)
	if _, err := s.store.Set(t.Context(), d.Profile, rec); err != nil {
		t.Error(err)
	}
	d.refreshes() // by the profile of now: the older process has not put its own in its place
}

// A login that cannot be saved leaves the old session as it was.
func TestLoginThatCannotBeSavedLeavesTheOldSettings(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InKeyring)
	s, err := d.open(t.Context())
	d.ok(err)
	before := s.profile.Fingerprint()
	d.keyring.late = os.ErrPermission
	c := &loginCmd{Scope: []string{"openid"}, Timeout: time.Minute}
	if err := c.Run(t.Context(), d.app); err == nil {
		t.Fatal("the login was saved")
	}
	d.keyring.late = nil
	if p, err := d.loadProfile(); err != nil || p.Fingerprint() != before {
		t.Errorf("the profile is another one now: %+v, %v", p, err)
	}
	d.refreshes()
}

// Sessions of before do not say which settings they had. They get them when they are saved.
func TestSessionOfAnEarlierVersionIsBoundToItsSettings(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	path := d.sessionFile(profile.InFiles)
	text, err := os.ReadFile(path)
	d.ok(err)
	fields := make(map[string]any)
	d.ok(json.Unmarshal(text, &fields))
	if delete(fields, "settings"); len(fields) == 0 {
		t.Fatal("the record is empty")
	}
	text, err = json.Marshal(fields)
	d.ok(err)
	d.ok(os.WriteFile(path, text, 0o600))
	d.refreshes()
	d.edit("revocation_url", "https://evil.example.com")
	if code := d.report((&logoutCmd{}).Run(t.Context(), d.app)); code != exit.Config {
		t.Errorf("logout: exit code %d", code)
	}
}
