package oauthtest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func startDevice(t *testing.T, s *oauthtest.Server) result {
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.DeviceAuthorizationEndpoint), form("scope", "profile")).wantOK(t)
}

func poll(t *testing.T, s *oauthtest.Server, code string) result {
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", deviceGrant, "device_code", code))
}

func TestDeviceFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		d := startDevice(t, s)
		code, userCode := d.text(t, "device_code"), d.text(t, "user_code")
		if d.field(t, "interval") != 5.0 || d.field(t, "expires_in") != 1800.0 || !strings.HasSuffix(d.text(t, "verification_uri_complete"), userCode) {
			t.Errorf("device authorization %s; want interval, expires_in and a complete URI", d.body)
		}
		poll(t, s, code).wantError(t, 400, "authorization_pending")
		time.Sleep(5 * time.Second)
		poll(t, s, code).wantError(t, 400, "authorization_pending")

		typed := strings.ToLower(strings.Replace(userCode, "-", " ", 1))
		if err := s.AllowDevice(t.Context(), typed, "alice"); err != nil {
			t.Fatal(err)
		}
		r := poll(t, s, code).wantOK(t)
		if r.text(t, "refresh_token") == "" || r.text(t, "scope") != "profile" {
			t.Errorf("answer %s; want a refresh token and the scope asked for", r.body)
		}
		poll(t, s, code).wantError(t, 400, "invalid_grant")
		if err := s.AllowDevice(t.Context(), userCode, "alice"); err == nil {
			t.Error("a code was decided on twice")
		}
	})
}

func TestDeviceFlowSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		code := startDevice(t, s).text(t, "device_code")
		for _, step := range []struct {
			wait time.Duration
			code string
		}{
			{0, "authorization_pending"}, {4 * time.Second, "slow_down"}, {9 * time.Second, "slow_down"},
			{14 * time.Second, "slow_down"}, {20 * time.Second, "authorization_pending"},
		} {
			time.Sleep(step.wait)
			poll(t, s, code).wantError(t, 400, step.code)
		}
	})
}

func TestDeviceFlowDenied(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	d := startDevice(t, s)
	if err := s.DenyDevice(t.Context(), d.text(t, "user_code"), "alice"); err != nil {
		t.Fatal(err)
	}
	poll(t, s, d.text(t, "device_code")).wantError(t, 400, "access_denied")
}

func TestDeviceCodesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{DeviceCodeLifetime: time.Minute, DeviceInterval: time.Second})
		d := startDevice(t, s)
		time.Sleep(time.Minute)
		poll(t, s, d.text(t, "device_code")).wantError(t, 400, "expired_token")
		if err := s.AllowDevice(t.Context(), d.text(t, "user_code"), "alice"); err == nil {
			t.Error("an expired code was accepted")
		}
	})
}

func TestDeviceFlowRefusals(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
	poll(t, s, "made-up").wantError(t, 400, "invalid_grant")
	poll(t, s, "").wantError(t, 400, "invalid_request")
	f := form("grant_type", deviceGrant, "device_code", startDevice(t, s).text(t, "device_code"))
	f.Set("client_id", "other")
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantError(t, 400, "invalid_grant")
	f.Set("client_id", "nobody")
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.DeviceAuthorizationEndpoint), f).wantError(t, 401, "invalid_client")
	if err := s.AllowDevice(t.Context(), "WRONG", "alice"); err == nil {
		t.Error("a wrong user code was accepted")
	}
	if err := s.AllowDevice(t.Context(), "", "alice"); err == nil {
		t.Error("an empty user code was accepted")
	}
}
