package oauthtest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// push pushes the authorization request of authURL, changed by pairs of names and
// values; an empty value takes a parameter out.
func push(t *testing.T, s *oauthtest.Server, pairs ...string) result {
	t.Helper()
	u, err := url.Parse(authURL(s))
	if err != nil {
		t.Fatal(err)
	}
	f := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			f.Del(pairs[i])
		}
	}
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.PushedAuthorizationEndpoint), f)
}

func TestPushedRequestsAreJudgedAtOnce(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "service", Secret: "s"}}})
	for name, tc := range map[string]struct {
		change []string
		status int
		code   string
	}{
		"unknown client":     {[]string{"client_id", "stranger"}, 401, "invalid_client"},
		"wrong secret":       {[]string{"client_id", "service", "client_secret", "x"}, 401, "invalid_client"},
		"reference":          {[]string{"request_uri", "urn:x"}, 400, "invalid_request"},
		"foreign redirect":   {[]string{"redirect_uri", "https://evil.test/cb"}, 400, "invalid_request"},
		"no redirect":        {[]string{"redirect_uri", ""}, 400, "invalid_request"},
		"implicit":           {[]string{"response_type", "token"}, 400, "unsupported_response_type"},
		"without PKCE":       {[]string{"code_challenge", ""}, 400, "invalid_request"},
		"a relative target":  {[]string{"resource", "one"}, 400, "invalid_target"},
		"a target with hash": {[]string{"resource", "https://one.test/#x"}, 400, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) { push(t, s, tc.change...).wantError(t, tc.status, tc.code) })
	}
}

func TestPushedRequestBelongsToItsClient(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
	requestURI := push(t, s).text(t, "request_uri")
	at := func(client, requestURI string) string {
		return s.Endpoint(oauthtest.AuthorizeEndpoint) + "?" + url.Values{"client_id": {client}, "request_uri": {requestURI}}.Encode()
	}
	for name, address := range map[string]string{
		"another client": at("other", requestURI),
		"unknown":        at(oauthtest.DefaultClientID, requestURI+"x"),
	} {
		if r := get(t.Context(), s.Client(), address, ""); r.status != 400 || !strings.Contains(r.body, "Unknown request") {
			t.Errorf("%s: HTTP %d; want a page that says so", name, r.status)
		}
	}
	wantMistakes(t, s)
	location, err := s.Allow(t.Context(), at(oauthtest.DefaultClientID, requestURI)+"&scope=more", "alice")
	if err != nil || query(t, location).Get("code") == "" || query(t, location).Get("state") == "" {
		t.Errorf("location %q (%v); want a code", location, err)
	}
	wantMistakes(t, s, oauthtest.BesideRequestURI)
	if text := s.Audit()[0].String(); !strings.Contains(text, "parameter scope sent beside a request_uri") {
		t.Errorf("the mistake reads %q", text)
	}
}

func TestUnpushedRequestsAreRefusedWhereTheyMustBePushed(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{RequirePushedAuth: true})
	location, err := s.Allow(t.Context(), authURL(s), "alice")
	if err != nil || query(t, location).Get("error") != "invalid_request" {
		t.Errorf("location %q (%v); want invalid_request", location, err)
	}
}

func TestResourcesMustBeAbsolute(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), form("grant_type", "refresh_token", "refresh_token", token, "resource", "one")).
		wantError(t, 400, "invalid_target")
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.DeviceAuthorizationEndpoint), form("resource", "one")).
		wantError(t, 400, "invalid_target")
}
