package register

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

func TestRegistrationIsRead(t *testing.T) {
	r, fail := judgeRegistration(answered(opRegister, 201, `{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post",
		"client_id_issued_at":1700000000,"client_secret_expires_at":1800000000,"registration_access_token":"t",
		"registration_client_uri":"https://auth.test/register/c","redirect_uris":["http://127.0.0.1/"],"grant_types":["authorization_code"]}`), authNone)
	if fail != nil {
		t.Fatal(fail)
	}
	if r.ClientID != "c" || r.ClientSecret != "s" || r.AuthMethod != authPost || r.AccessToken != "t" || r.ManagementURL != "https://auth.test/register/c" ||
		!r.IssuedAt.Equal(time.Unix(1700000000, 0)) || !r.SecretExpiresAt.Equal(time.Unix(1800000000, 0)) || len(r.RedirectURIs) != 1 || len(r.GrantTypes) != 1 {
		t.Errorf("got %#v", *r)
	}
	r, fail = judgeRegistration(answered(opRegister, 200, `{"client_id":"c","client_secret":"s","client_secret_expires_at":0,"registration_access_token":"t"}`), "")
	if fail != nil || !r.SecretExpiresAt.IsZero() || r.AccessToken != "" {
		t.Errorf("got %v ending at %v, %v; want no end and no token without a place", r, r.SecretExpiresAt, fail)
	}
}

func TestRegisteredWayOfAuthenticating(t *testing.T) {
	for _, tt := range []struct {
		asked     string
		secret    string
		registers string
		want      string
	}{
		{"", "", "", authNone},
		{authNone, "", "none", authNone},
		{authNone, "", "client_secret_basic", authNone}, // a default, echoed
		{authBasic, "", "", authNone},
		{"", "s", "", authBasic}, // RFC 7591 section 2
		{authNone, "s", "", authBasic},
		{authPost, "s", "", authPost},
		{authPost, "s", "client_secret_basic", authBasic},
		{authNone, "s", "none", authNone},
		{authNone, "", "private_key_jwt", "private_key_jwt"},
		{"private_key_jwt", "", "", "private_key_jwt"},
	} {
		r := &Registration{ClientSecret: tt.secret, AuthMethod: tt.registers}
		if r.settle(tt.asked); r.AuthMethod != tt.want {
			t.Errorf("asked %q, answered %q with secret %q: got %s; want %s", tt.asked, tt.registers, tt.secret, r.AuthMethod, tt.want)
		}
	}
}

func TestRefusedRegistrations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   error
		hint   string
	}{
		{"redirect", 400, oauthError("invalid_redirect_uri"), oauth.ErrMisconfigured, "redirect URI"},
		{"metadata", 400, oauthError("invalid_client_metadata"), oauth.ErrMisconfigured, "Metadata"},
		{"statement", 400, oauthError("unapproved_software_statement"), oauth.ErrMisconfigured, "by hand"},
		{"not for everybody", 401, oauthError("invalid_token"), oauth.ErrMisconfigured, "by hand"},
		{"forbidden", 403, "", oauth.ErrMisconfigured, "by hand"},
		{"a firewall", 403, html, oauth.ErrTransient, ""},
		{"a dead something", 400, oauthError("invalid_grant"), oauth.ErrTransient, ""},
		{"trouble that says so", 503, oauthError("invalid_redirect_uri"), oauth.ErrTransient, ""},
		{"no client ID", 201, `{"client_secret":"` + planted + `"}`, oauth.ErrTransient, ""},
		{"a page", 200, html, oauth.ErrTransient, ""},
		{"refused with a client", 400, `{"client_id":"c"}`, oauth.ErrTransient, ""},
		{"elsewhere", 307, "", oauth.ErrMisconfigured, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fail := judgeRegistration(answered(opRegister, tt.status, tt.body), authNone)
			if r != nil || !errors.Is(fail, tt.want) || !strings.Contains(fail.Hint, tt.hint) || strings.Contains(fail.Error(), "PLANTED") {
				t.Errorf("got %v, %v; want %v with a hint about %q", r, fail, tt.want, tt.hint)
			}
		})
	}
}

func FuzzJudgeRegistration(f *testing.F) {
	f.Add(201, `{"client_id":"c","client_secret":"s","client_secret_expires_at":0,"redirect_uris":["x"]}`)
	f.Add(201, `{"client_id":"c\n","client_secret_expires_at":1e300,"registration_client_uri":"http://evil.test/"}`)
	f.Add(400, `{"error":"invalid_redirect_uri"}`)
	f.Add(200, html)
	f.Fuzz(func(t *testing.T, status int, body string) {
		r, fail := judgeRegistration(answered(opRegister, status, body), authNone)
		if (r == nil) == (fail == nil) {
			t.Fatalf("registration %v and error %v; want exactly one", r, fail)
		}
		if fail != nil {
			if fail.Kind != oauth.ErrTransient && fail.Kind != oauth.ErrMisconfigured {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if status < 200 || status > 299 || !member.UsableToken(r.ClientID) || (r.AccessToken != "" && r.ManagementURL == "") {
			t.Errorf("HTTP %d gave %v", status, r)
		}
		// Without an endpoint the first call says so, unless the client cannot be used at all.
		if _, err := oauth.NewClient(r.Config(oauth.Config{})).AuthCodeURL(); (r.AuthMethod == authNone || r.AuthMethod == authBasic) &&
			!strings.Contains(err.Error(), "URL is empty") {
			t.Errorf("the client cannot be used: %v", err)
		}
	})
}

func TestManagedRegistrationKeepsWhatTheAnswerOmits(t *testing.T) {
	old := &Registration{
		Issuer: "https://auth.test", ClientID: "c", ClientSecret: "s", AuthMethod: authPost, IssuedAt: time.Unix(1, 0), SecretExpiresAt: time.Unix(2, 0),
		AccessToken: "a", ManagementURL: "https://auth.test/c", RedirectURIs: []string{"https://app.test/"}, GrantTypes: []string{"g"},
	}
	for name, tt := range map[string]struct {
		body  string
		asked string
		edit  func(*Registration)
	}{
		"all":                                   {`{"client_id":"c"}`, authPost, func(*Registration) {}},
		"a new token alone":                     {`{"client_id":"c","registration_access_token":"b"}`, authPost, func(r *Registration) { r.AccessToken = "b" }},
		"an address where no token may be sent": {`{"client_id":"c","registration_client_uri":"http://auth.test/c"}`, authPost, func(*Registration) {}},
		"the rest": {`{"client_id":"c","client_secret":"t","client_id_issued_at":3,"registration_client_uri":"https://auth.test/d","redirect_uris":["x"],
			"grant_types":["h"],"token_endpoint_auth_method":"client_secret_basic"}`, authPost, func(r *Registration) {
			r.ClientSecret, r.SecretExpiresAt, r.IssuedAt, r.ManagementURL = "t", time.Time{}, time.Unix(3, 0), "https://auth.test/d"
			r.RedirectURIs, r.GrantTypes, r.AuthMethod = []string{"x"}, []string{"h"}, authBasic
		}},
		"a secret that is given up": {`{"client_id":"c"}`, authNone, func(r *Registration) {
			r.ClientSecret, r.SecretExpiresAt, r.AuthMethod = "", time.Time{}, authNone
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := *old
			tt.edit(&want)
			got, fail := judgeManaged(answered(opUpdateRegistration, 200, tt.body), old, tt.asked)
			if fail != nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("got %v %#v, want %#v", fail, (*plainRegistration)(got), plainRegistration(want))
			}
		})
	}
}

// plainRegistration prints with its secrets.
type plainRegistration Registration

func TestRefusedManagementOfRegistrations(t *testing.T) {
	old := &Registration{ClientID: "c", AuthMethod: authNone}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   error
		hint   string
	}{
		{"another client", 200, `{"client_id":"d"}`, oauth.ErrMisconfigured, ""},
		{"no client", 200, `{}`, oauth.ErrTransient, ""},
		{"a page", 200, html, oauth.ErrTransient, ""},
		{"gone", 401, oauthError("invalid_token"), oauth.ErrMisconfigured, "register again"},
		{"metadata", 400, oauthError("invalid_client_metadata"), oauth.ErrMisconfigured, "Metadata"},
		{"forbidden", 403, "", oauth.ErrMisconfigured, "does not let"},
		{"a firewall", 403, html, oauth.ErrTransient, ""},
		{"not supported", 405, "", oauth.ErrMisconfigured, "does not let"},
		{"a dead something", 400, oauthError("invalid_grant"), oauth.ErrTransient, ""},
		{"trouble", 503, oauthError("invalid_client_metadata"), oauth.ErrTransient, ""},
		{"elsewhere", 307, "", oauth.ErrMisconfigured, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fail := judgeManaged(answered(opReadRegistration, tt.status, tt.body), old, authNone)
			if r != nil || !errors.Is(fail, tt.want) || !strings.Contains(fail.Hint, tt.hint) {
				t.Errorf("got %v, %v; want %v with a hint about %q", r, fail, tt.want, tt.hint)
			}
		})
	}
}

// planted is in every body and must be in no error.
const planted = "PLANTED-eyJhbGciOi.s3cr3t"

const html = "<!DOCTYPE html><title>Sign in</title><p>" + planted

// answered is an answer to op as the network gave it.
func answered(op string, status int, body string) *wire.Answer {
	return &wire.Answer{Op: op, Status: status, Header: http.Header{}, Body: []byte(body), Whole: true, Received: time.Now()}
}

// oauthError is an error document with a secret in its description.
func oauthError(code string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, planted)
}

// What a server calls a way to authenticate is its word, and may be a secret that it echoes.
func TestAWayToAuthenticateThatIsNoneIsNotPrinted(t *testing.T) {
	for _, method := range []string{planted + "\x1b]0;owned\a", "client\u202esecret", "x\ny", strings.Repeat("a", 1000)} {
		body, err := json.Marshal(map[string]string{"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": method})
		if err != nil {
			t.Fatal(err)
		}
		r, fail := judgeRegistration(answered(opRegister, http.StatusCreated, string(body)), authPost)
		if fail != nil {
			t.Fatal(fail)
		}
		if r.AuthMethod != authPost {
			t.Errorf("%.50q: got %q; want what was asked for, %q", method, r.AuthMethod, authPost)
		}
	}
}
