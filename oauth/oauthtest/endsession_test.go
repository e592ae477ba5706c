package oauthtest_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// logoutURL is a logout request from names and values.
func logoutURL(s *oauthtest.Server, pairs ...string) string {
	return s.Endpoint(oauthtest.EndSessionEndpoint) + "?" + form(pairs...).Encode()
}

func TestLogoutRequestsAreChecked(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{
		{ID: "registered", PostLogoutRedirectURIs: []string{"https://app.test/bye"}},
	}})
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		pairs []string
		title string
	}{
		"garbage for a token":     {[]string{"id_token_hint", "x"}, "Wrong token"},
		"another program's":       {[]string{"id_token_hint", pair.IDToken, "client_id", "registered"}, "Malformed request"},
		"a foreign address":       {[]string{"post_logout_redirect_uri", "https://evil.test/"}, "Wrong address"},
		"an address that runs":    {[]string{"post_logout_redirect_uri", "javascript:alert(1)"}, "Wrong address"},
		"nobody to be signed out": {nil, "Signed out"},
	} {
		r := get(t.Context(), s.Client(), logoutURL(s, tc.pairs...), "")
		if !strings.Contains(r.body, "<h1>"+tc.title+"</h1>") || (r.status == 200) != (tc.pairs == nil) {
			t.Errorf("%s: HTTP %d; want the page %q:\n%s", name, r.status, tc.title, r.body)
		}
	}
	at := func(pairs ...string) result {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return get(t.Context(), surf(s), s.Endpoint(oauthtest.EndSessionEndpoint)+"?"+q.Encode(), "")
	}
	if r := at("id_token_hint", pair.IDToken, "client_id", "registered"); r.status != 400 || !strings.Contains(r.body, "of another program") {
		t.Errorf("another program's ID token: HTTP %d", r.status)
	}
	if r := at("post_logout_redirect_uri", "http://127.0.0.1/"); r.status != 400 {
		t.Errorf("an address of nobody's: HTTP %d; want 400", r.status)
	}
	if r := at("id_token_hint", pair.IDToken, "post_logout_redirect_uri", "http://127.0.0.1/bye"); r.header.Get("Location") != "http://127.0.0.1/bye" {
		t.Errorf("the client of the ID token: HTTP %d to %q", r.status, r.header.Get("Location"))
	}
	if r := at("client_id", "registered", "post_logout_redirect_uri", "https://app.test/bye", "state", "s"); r.header.Get("Location") != "https://app.test/bye?state=s" {
		t.Errorf("a registered address: HTTP %d to %q", r.status, r.header.Get("Location"))
	}
	wantMistakes(t, s)
}

func TestAnAccessTokenAsHintIsAMistake(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	access, _ := login(t, s)
	if r := get(t.Context(), s.Client(), logoutURL(s, "id_token_hint", access), ""); r.status != 400 {
		t.Errorf("HTTP %d; want 400", r.status)
	}
	wantMistakes(t, s, oauthtest.TokenInURL)
}

func TestPersonConfirmsALogoutWithoutIDToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := surf(s)
	signIn(t, s, c, authURL(s))
	address := logoutURL(s, "post_logout_redirect_uri", "http://127.0.0.1/bye")
	page := get(t.Context(), c, address, "").wantOK(t)
	wantAccessible(t, "logout", page.body, "logout")
	if csp := page.header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' http://127.0.0.1") {
		t.Errorf("policy %q does not let the browser return to the client", csp)
	}
	if r := post(t.Context(), c, address, url.Values{"csrf": {"forged"}}); r.status != 403 {
		t.Errorf("a forged confirmation: HTTP %d; want 403", r.status)
	}
	if r := get(t.Context(), c, authURL(s), ""); !strings.Contains(r.body, `id="allow"`) {
		t.Error("the person was signed out without being asked")
	}
	r := post(t.Context(), c, address, url.Values{"csrf": {csrfOf(t, page.body)}})
	if r.header.Get("Location") != "http://127.0.0.1/bye" {
		t.Errorf("HTTP %d to %q; want the way back", r.status, r.header.Get("Location"))
	}
	if r := get(t.Context(), c, authURL(s), ""); !strings.Contains(r.body, `id="login"`) {
		t.Error("the person is still signed in")
	}
}
