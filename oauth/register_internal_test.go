package oauth

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRegistrationIsRead(t *testing.T) {
	r, fail := judgeRegistration(answered(opRegister, 201, `{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post",
		"client_id_issued_at":1700000000,"client_secret_expires_at":1800000000,"registration_access_token":"t",
		"registration_client_uri":"https://auth.test/register/c","redirect_uris":["http://127.0.0.1/"],"grant_types":["authorization_code"]}`), AuthNone)
	if fail != nil {
		t.Fatal(fail)
	}
	if r.ClientID != "c" || r.ClientSecret != "s" || r.ClientAuth != AuthPost || r.AccessToken != "t" || r.ManagementURL != "https://auth.test/register/c" ||
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
		asked     ClientAuth
		secret    string
		registers string
		want      ClientAuth
	}{
		{"", "", "", AuthNone},
		{AuthNone, "", "none", AuthNone},
		{AuthNone, "", "client_secret_basic", AuthNone}, // a default, echoed
		{AuthBasic, "", "", AuthNone},
		{"", "s", "", AuthBasic}, // RFC 7591 section 2
		{AuthNone, "s", "", AuthBasic},
		{AuthPost, "s", "", AuthPost},
		{AuthPost, "s", "client_secret_basic", AuthBasic},
		{AuthNone, "s", "none", AuthNone},
		{AuthNone, "", "private_key_jwt", "private_key_jwt"},
		{"private_key_jwt", "", "", "private_key_jwt"},
	} {
		r := &Registration{ClientSecret: tt.secret, ClientAuth: ClientAuth(tt.registers)}
		if r.settle(tt.asked); r.ClientAuth != tt.want {
			t.Errorf("asked %q, answered %q with secret %q: got %s; want %s", tt.asked, tt.registers, tt.secret, r.ClientAuth, tt.want)
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
		{"redirect", 400, oauthError("invalid_redirect_uri"), ErrMisconfigured, "redirect URI"},
		{"metadata", 400, oauthError("invalid_client_metadata"), ErrMisconfigured, "ClientMetadata"},
		{"statement", 400, oauthError("unapproved_software_statement"), ErrMisconfigured, "by hand"},
		{"not for everybody", 401, oauthError("invalid_token"), ErrMisconfigured, "by hand"},
		{"forbidden", 403, "", ErrMisconfigured, "by hand"},
		{"a firewall", 403, html, ErrTransient, ""},
		{"a dead something", 400, oauthError("invalid_grant"), ErrTransient, ""},
		{"trouble that says so", 503, oauthError("invalid_redirect_uri"), ErrTransient, ""},
		{"no client ID", 201, `{"client_secret":"` + planted + `"}`, ErrTransient, ""},
		{"a page", 200, html, ErrTransient, ""},
		{"refused with a client", 400, `{"client_id":"c"}`, ErrTransient, ""},
		{"elsewhere", 307, "", ErrMisconfigured, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fail := judgeRegistration(answered(opRegister, tt.status, tt.body), AuthNone)
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
		r, fail := judgeRegistration(answered(opRegister, status, body), AuthNone)
		if (r == nil) == (fail == nil) {
			t.Fatalf("registration %v and error %v; want exactly one", r, fail)
		}
		if fail != nil {
			if fail.Kind != ErrTransient && fail.Kind != ErrMisconfigured {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if status < 200 || status > 299 || !usableToken(r.ClientID) || (r.AccessToken != "" && r.ManagementURL == "") {
			t.Errorf("HTTP %d gave %v", status, r)
		}
		if c := NewClient(r.Config(Config{})); c.err != nil && (r.ClientAuth == AuthNone || r.ClientAuth == AuthBasic) {
			t.Errorf("the client cannot be used: %v", c.err)
		}
	})
}

func TestManagedRegistrationKeepsWhatTheAnswerOmits(t *testing.T) {
	old := &Registration{
		Issuer: testIssuer, ClientID: "c", ClientSecret: "s", ClientAuth: AuthPost, IssuedAt: time.Unix(1, 0), SecretExpiresAt: time.Unix(2, 0),
		AccessToken: "a", ManagementURL: "https://auth.test/c", RedirectURIs: []string{"https://app.test/"}, GrantTypes: []string{"g"},
	}
	for name, tt := range map[string]struct {
		body  string
		asked ClientAuth
		edit  func(*Registration)
	}{
		"all":                                   {`{"client_id":"c"}`, AuthPost, func(*Registration) {}},
		"a new token alone":                     {`{"client_id":"c","registration_access_token":"b"}`, AuthPost, func(r *Registration) { r.AccessToken = "b" }},
		"an address where no token may be sent": {`{"client_id":"c","registration_client_uri":"http://auth.test/c"}`, AuthPost, func(*Registration) {}},
		"the rest": {`{"client_id":"c","client_secret":"t","client_id_issued_at":3,"registration_client_uri":"https://auth.test/d","redirect_uris":["x"],
			"grant_types":["h"],"token_endpoint_auth_method":"client_secret_basic"}`, AuthPost, func(r *Registration) {
			r.ClientSecret, r.SecretExpiresAt, r.IssuedAt, r.ManagementURL = "t", time.Time{}, time.Unix(3, 0), "https://auth.test/d"
			r.RedirectURIs, r.GrantTypes, r.ClientAuth = []string{"x"}, []string{"h"}, AuthBasic
		}},
		"a secret that is given up": {`{"client_id":"c"}`, AuthNone, func(r *Registration) {
			r.ClientSecret, r.SecretExpiresAt, r.ClientAuth = "", time.Time{}, AuthNone
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
	old := &Registration{ClientID: "c", ClientAuth: AuthNone}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   error
		hint   string
	}{
		{"another client", 200, `{"client_id":"d"}`, ErrMisconfigured, ""},
		{"no client", 200, `{}`, ErrTransient, ""},
		{"a page", 200, html, ErrTransient, ""},
		{"gone", 401, oauthError("invalid_token"), ErrMisconfigured, "register again"},
		{"metadata", 400, oauthError("invalid_client_metadata"), ErrMisconfigured, "ClientMetadata"},
		{"forbidden", 403, "", ErrMisconfigured, "does not let"},
		{"a firewall", 403, html, ErrTransient, ""},
		{"not supported", 405, "", ErrMisconfigured, "does not let"},
		{"a dead something", 400, oauthError("invalid_grant"), ErrTransient, ""},
		{"trouble", 503, oauthError("invalid_client_metadata"), ErrTransient, ""},
		{"elsewhere", 307, "", ErrMisconfigured, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fail := judgeManaged(answered(opReadRegistration, tt.status, tt.body), old, AuthNone)
			if r != nil || !errors.Is(fail, tt.want) || !strings.Contains(fail.Hint, tt.hint) {
				t.Errorf("got %v, %v; want %v with a hint about %q", r, fail, tt.want, tt.hint)
			}
		})
	}
}
