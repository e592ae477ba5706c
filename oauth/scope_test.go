package oauth_test

import (
	"cmp"
	"net/url"
	"slices"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

func TestScopesAreSeparatedAsConfigured(t *testing.T) {
	for _, tt := range []struct {
		separator, want string
		scopes          []string
	}{
		{"", "read activity:read_all openid", []string{"read", "activity:read_all openid"}},
		{" ", "read openid", []string{"read", "openid"}},
		{",", "read,activity:read_all,openid", []string{"read", "activity:read_all openid"}},
		{",", "read,openid", []string{"read,openid"}},
		{", ", "read, openid", []string{"read", "openid"}},
		{"+", "read+openid", []string{"read", "openid"}},
	} {
		w := answering(200, okBody)
		c := over(w, func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL, cfg.DeviceAuthURL = "https://auth.test/auth", "https://app.test/cb", "https://auth.test/device"
			cfg.ClientSecret, cfg.Scopes, cfg.ScopeSeparator, cfg.Preset.ScopeOnRefresh = "s", tt.scopes, tt.separator, true
		})
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(req.URL)
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]string{"authorization": u.Query().Get("scope")}
		for name, send := range map[string]func(){
			"device":             func() { _, _ = c.DeviceAuth(t.Context()) },
			"refresh":            func() { _, _ = c.RefreshToken(t.Context(), "r") },
			"client credentials": func() { _, _ = c.ClientCredentials(t.Context()) },
			"password":           func() { _, _ = c.Password(t.Context(), "u", "p") },
			"narrowed":           func() { _, _ = c.RefreshScope(t.Context(), &oauth.TokenPair{RefreshToken: "r"}, "read", "openid") },
			"exchange": func() {
				_, _ = c.ExchangeToken(t.Context(), oauth.TokenExchange{SubjectToken: "x", Scopes: tt.scopes})
			},
		} {
			send()
			sent := w.requests()
			asked[name] = sent[len(sent)-1].form.Get("scope")
		}
		for name, got := range asked {
			want := tt.want
			if name == "narrowed" {
				want = "read" + cmp.Or(tt.separator, " ") + "openid"
			}
			if got != want {
				t.Errorf("separator %q, %s: scope %q; want %q", tt.separator, name, got, want)
			}
		}
	}
}

func TestOpenIDIsSeenBetweenCommas(t *testing.T) {
	c := over(answering(200, okBody), func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.RedirectURL, cfg.Scopes, cfg.ScopeSeparator = "https://auth.test/auth", "https://app.test/cb", []string{"read,openid"}, ","
		cfg.Preset.Offline.Scope = "openid"
	})
	if req, err := c.AuthCodeURL(); err != nil || req.Nonce == "" {
		t.Errorf("got %v, %v; want a nonce", req, err)
	}
	if advice := c.OfflineAdvice(); advice.Scope != "" {
		t.Errorf("advises the scope %s, which is asked for", advice.Scope)
	}
}

func TestScopesOfAnAnswerAreReadWithEitherSeparator(t *testing.T) {
	want := []string{"read", "activity:read_all"}
	for _, scope := range []string{`"read activity:read_all"`, `"read,activity:read_all"`, `"read, activity:read_all"`, `["read","activity:read_all"]`} {
		pair, err := over(answering(200, `{"access_token":"a","scope":`+scope+`}`)).RefreshToken(t.Context(), "r")
		if err != nil || !slices.Equal(pair.Scopes(), want) {
			t.Errorf("%s: got %q, %v; want %q", scope, pair.Scopes(), err, want)
		}
	}
	if got := new(oauth.TokenPair).Scopes(); len(got) != 0 {
		t.Errorf("no scope is %q", got)
	}
}

func TestSeparatorIsInTheConfigIDOnlyIfRefreshesNameScopes(t *testing.T) {
	id := func(separator string, onRefresh bool) string {
		return over(answering(200, okBody), func(cfg *oauth.Config) {
			cfg.Scopes, cfg.ScopeSeparator, cfg.Preset.ScopeOnRefresh = []string{"a", "b"}, separator, onRefresh
		}).ConfigID()
	}
	if id(",", true) == id(" ", true) || id("", true) != id(" ", true) {
		t.Error("refreshes that name scopes: the ID does not tell separators apart as the server does")
	}
	if id(",", false) != id("", false) {
		t.Error("refreshes do not name scopes, and have another ID")
	}
}
