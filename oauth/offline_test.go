package oauth_test

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
)

// loginQuery returns what a browser login asks for.
func loginQuery(t *testing.T, c *oauth.Client) url.Values {
	t.Helper()
	req, err := c.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(req.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestLoginAsksForARefreshTokenAsThePresetSays(t *testing.T) {
	for name, tt := range map[string]struct {
		preset    oauth.Preset
		scope     string // of Config
		wantScope string
		want      string // the parameters
	}{
		"none":       {oauth.Preset{}, "read", "read", ""},
		"Atlassian":  {preset.Atlassian(), "read", "read offline_access", ""},
		"Dropbox":    {preset.Dropbox(), "read", "read", "token_access_type=offline"},
		"Entra ID":   {preset.EntraID(), "read", "read offline_access", ""},
		"GitHub App": {preset.GitHubApp(), "read", "read", ""},
		"GitLab":     {preset.GitLab(), "read", "read", ""},
		"Google":     {preset.Google(), "read", "read", "access_type=offline&prompt=consent"},
		"Okta":       {preset.Okta(), "read", "read offline_access", ""},
		"Reddit":     {preset.Reddit(), "read", "read", "duration=permanent"},
		"X":          {preset.X(), "read", "read offline.access", ""},
		"Xero":       {preset.Xero(), "read", "read offline_access", ""},

		"asked for already":    {preset.Okta(), "offline_access read", "offline_access read", ""},
		"what else is granted": {preset.Okta(), "", "", ""}, // by default, and alone it would be the whole
	} {
		w := answering(200, okBody)
		c := over(w, func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL = "https://auth.test/authorize", "https://app.test/cb"
			cfg.DeviceAuthURL = "https://auth.test/device"
			cfg.Preset, cfg.Scopes = tt.preset, strings.Fields(tt.scope)
		})
		query := loginQuery(t, c)
		if got := query.Get("scope"); got != tt.wantScope {
			t.Errorf("%s: scope %q; want %q", name, got, tt.wantScope)
		}
		for _, param := range []string{"access_type", "prompt", "token_access_type", "duration"} {
			if got, want := query.Get(param), mustQuery(t, tt.want).Get(param); got != want {
				t.Errorf("%s: %s=%q; want %q", name, param, got, want)
			}
		}
		_, _ = c.DeviceAuth(t.Context())
		_, _ = c.Password(t.Context(), "alice", "wonderland")
		_, _ = c.ClientCredentials(t.Context()) // no person, no session to keep
		for i, want := range []string{tt.wantScope, tt.wantScope, tt.scope} {
			if got := w.requests()[i].form.Get("scope"); got != want {
				t.Errorf("%s: request %d for the scope %q; want %q", name, i+1, got, want)
			}
		}
		if got := c.Config().Scopes; strings.Join(got, " ") != tt.scope {
			t.Errorf("%s: the configuration says %q; want what the program set", name, got)
		}
	}
}

func mustQuery(t *testing.T, text string) url.Values {
	t.Helper()
	query, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return query
}

func TestProgramsOwnParametersStandBeforeThePresets(t *testing.T) {
	c := over(answering(200, okBody), func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.RedirectURL = "https://auth.test/authorize", "https://app.test/cb"
		cfg.Preset, cfg.AuthParams = preset.Google(), url.Values{"access_type": {"online"}}
	})
	if query := loginQuery(t, c); fmt.Sprint(query["access_type"], query["prompt"]) != "[online] [consent]" {
		t.Errorf("access_type %q, prompt %q; want online, which the program set, and consent", query["access_type"], query["prompt"])
	}
	if got := c.OfflineAdvice(); got != (oauth.OfflineAccess{Params: "access_type=offline"}) {
		t.Errorf("advice %+v; want what the program has changed", got)
	}
}

func TestAdviceNamesOnlyWhatTheServerIsKnownToWant(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{}) // its metadata lists offline_access
	unlisted := oauthtest.New(oauthtest.Config{})
	unlisted.Script(oauthtest.Fault{Endpoint: oauthtest.MetadataEndpoint, Times: -1, Edit: func(fields map[string]any) {
		fields["scopes_supported"] = []string{"read"}
	}})
	for name, tt := range map[string]struct {
		server *oauthtest.Server // nil: no metadata
		scope  string
		params url.Values
		preset oauth.Preset
		want   oauth.OfflineAccess
	}{
		"nothing known":             {nil, "read", nil, oauth.Preset{}, oauth.OfflineAccess{}},
		"not listed":                {unlisted, "read", nil, oauth.Preset{}, oauth.OfflineAccess{}},
		"listed":                    {s, "read", nil, oauth.Preset{}, oauth.OfflineAccess{Scope: "offline_access", Params: "prompt=consent"}},
		"listed, no scopes":         {s, "", nil, oauth.Preset{}, oauth.OfflineAccess{Scope: "offline_access", Params: "prompt=consent"}},
		"asked for":                 {s, "read offline_access", nil, oauth.Preset{}, oauth.OfflineAccess{Params: "prompt=consent"}},
		"asked for, not listed":     {nil, "offline_access", nil, oauth.Preset{}, oauth.OfflineAccess{Params: "prompt=consent"}},
		"asked for in a parameter":  {s, "", url.Values{"scope": {"read offline_access"}}, oauth.Preset{}, oauth.OfflineAccess{Params: "prompt=consent"}},
		"asked for, with consent":   {s, "read offline_access", url.Values{"prompt": {"login consent"}}, oauth.Preset{}, oauth.OfflineAccess{}},
		"preset that asks":          {nil, "read", nil, preset.Google(), oauth.OfflineAccess{}},
		"preset that may not":       {nil, "", nil, preset.X(), oauth.OfflineAccess{Scope: "offline.access"}},
		"preset before metadata":    {s, "", nil, preset.X(), oauth.OfflineAccess{Scope: "offline.access"}},
		"preset without, by itself": {nil, "read", nil, preset.GitLab(), oauth.OfflineAccess{}},
	} {
		cfg := oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token", Scopes: strings.Fields(tt.scope), AuthParams: tt.params, Preset: tt.preset}
		c := oauth.NewClient(cfg)
		if tt.server != nil {
			var err error
			cfg.HTTPClient = tt.server.Client()
			if c, err = oauth.Discover(t.Context(), tt.server.Issuer(), cfg); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.OfflineAdvice(); got != tt.want {
			t.Errorf("%s: advice %+v; want %+v", name, got, tt.want)
		}
	}
}

// A session of a server that gives refresh tokens only to those who ask begins
// with one, though the program's scopes say nothing of it, and it renews.
func TestLoginWithAPresetBeginsASessionThatCanBeRenewed(t *testing.T) {
	for name, preset := range map[string]oauth.Preset{"Entra ID": preset.EntraID(), "Okta": preset.Okta()} {
		for _, known := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Like(preset))
				cfg := s.OAuthConfig()
				cfg.Scopes, cfg.Output, cfg.RedirectURL = []string{"openid"}, io.Discard, "https://app.test/cb"
				if known {
					cfg.Preset = preset
				}
				c := oauth.NewClient(cfg)
				pair, err := c.Password(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword)
				if err != nil || (pair.RefreshToken != "") != known {
					t.Fatalf("%s, preset known: %v: got %v, %v", name, known, pair, err)
				}
				if !known {
					return
				}
				if pair, err = c.Refresh(t.Context(), pair); err != nil || pair.Scope != "openid offline_access" {
					t.Errorf("%s: got %v, %v", name, pair, err)
				}
			})
		}
	}
}
