package oauth_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
)

func TestScopeIsSentOnRefreshOnlyWhereThePresetSaysSo(t *testing.T) {
	for name, tt := range map[string]struct {
		preset oauth.Preset
		want   []string
	}{
		"by default":  {oauth.Preset{}, nil},
		"where asked": {preset.EntraID(), []string{"openid offline_access"}},
	} {
		w := answering(200, okBody)
		c := over(w, func(cfg *oauth.Config) {
			cfg.Scopes, cfg.Preset = []string{"openid", "offline_access"}, tt.preset
		})
		if _, err := c.RefreshToken(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		if got := w.requests()[0].form["scope"]; fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: scope %q; want %q", name, got, tt.want)
		}
		// A refusal of the scope says nothing about a session renewed without.
		if same := c.ConfigID() == over(w).ConfigID(); same != (tt.want == nil) {
			t.Errorf("%s: the ID is that without the preset: %v", name, same)
		}
	}
}

// A word that a preset lists ends a session at a refresh, however it is spelled and
// whatever the status; under a redirect, and to a login, it says nothing of the kind.
func TestWordsOfAPresetEndASession(t *testing.T) {
	listed := func(cfg *oauth.Config) { cfg.Preset.EndCodes = []string{"REFRESH_ERROR"} }
	for _, status := range []int{200, 400, 403, 429, 500} {
		for _, word := range []string{"REFRESH_ERROR", "refresh_error", "refreshError"} {
			w := answering(status, fmt.Sprintf(`{"error":%q}`, word))
			if _, err := over(w, listed).RefreshToken(t.Context(), "r"); failure(t, err).Verdict() != oauth.VerdictEnded {
				t.Errorf("%d %s: %v; want the session ended", status, word, err)
			}
			if _, err := over(w).RefreshToken(t.Context(), "r"); failure(t, err).Verdict() == oauth.VerdictEnded {
				t.Errorf("%d %s, which nobody lists: %v", status, word, err)
			}
		}
	}
	w := answering(307, `{"error":"REFRESH_ERROR"}`)
	if _, err := over(w, listed).RefreshToken(t.Context(), "r"); failure(t, err).Verdict() != oauth.VerdictSettings {
		t.Errorf("a redirect: %v", err)
	}
	w = answering(400, `{"error":"REFRESH_ERROR"}`)
	if _, err := over(w, listed).Password(t.Context(), "alice", "secret"); failure(t, err).Verdict() == oauth.VerdictEnded {
		t.Errorf("a login: %v", err)
	}
}

func ExamplePreset() {
	server := oauthtest.New(oauthtest.Config{})
	cfg := server.OAuthConfig()
	cfg.Preset = preset.Google()
	client := oauth.NewClient(cfg)
	fmt.Println("an idle refresh token lives for", client.RefreshIdleLimit())
	// Output: an idle refresh token lives for 4320h0m0s
}

// Neither of the two ends moves with use; that of the refresh token begins anew with
// another one.
func TestEndsThatAPresetKnowsAreHonoured(t *testing.T) {
	const day = 24 * time.Hour
	told := func(life time.Duration) oauthtest.Config {
		return oauthtest.Config{RefreshTokenLifetime: life, AnnounceRefreshLifetime: true}
	}
	for name, tt := range map[string]struct {
		since        bool // the preset is told after the login
		server       oauthtest.Config
		preset       oauth.Preset
		login, later time.Duration // the end after the login, and after a refresh ten days later; 0: not known
	}{
		"nothing":                               {false, oauthtest.Config{}, oauth.Preset{}, 0, 0},
		"from issue":                            {false, oauthtest.Config{}, oauth.Preset{RefreshLifetime: 30 * day}, 30 * day, 40 * day},
		"from issue, the token stays":           {false, oauthtest.Config{NoRotation: true}, oauth.Preset{RefreshLifetime: 30 * day}, 30 * day, 30 * day},
		"from consent":                          {false, oauthtest.Config{}, oauth.Preset{GrantLifetime: 30 * day}, 30 * day, 30 * day},
		"from consent, the token stays":         {false, oauthtest.Config{NoRotation: true}, oauth.Preset{GrantLifetime: 30 * day}, 30 * day, 30 * day},
		"both":                                  {false, oauthtest.Config{}, oauth.Preset{RefreshLifetime: 25 * day, GrantLifetime: 30 * day}, 25 * day, 30 * day},
		"the server tells an earlier one":       {false, told(20 * day), oauth.Preset{RefreshLifetime: 25 * day, GrantLifetime: 40 * day}, 20 * day, 30 * day},
		"the server tells a later one":          {false, told(90 * day), oauth.Preset{GrantLifetime: 30 * day}, 30 * day, 30 * day},
		"from issue, told after the login":      {true, oauthtest.Config{}, oauth.Preset{RefreshLifetime: 30 * day}, 0, 40 * day},
		"the token stays, told after the login": {true, oauthtest.Config{NoRotation: true}, oauth.Preset{RefreshLifetime: 30 * day}, 0, 0},
		"from consent, told after the login":    {true, oauthtest.Config{}, oauth.Preset{GrantLifetime: 30 * day}, 0, 30 * day},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.server.RefreshTokenLifetime == 0 {
					tt.server.RefreshTokenLifetime = 90 * day
				}
				server := oauthtest.New(tt.server)
				cfg := server.OAuthConfig()
				cfg.Preset = tt.preset
				client := oauth.NewClient(cfg)
				atLogin := client
				if tt.since {
					atLogin = oauth.NewClient(server.OAuthConfig())
				}
				begun := time.Now()
				pair, err := atLogin.Password(t.Context(), oauthtest.DefaultUser, oauthtest.DefaultPassword)
				if err != nil {
					t.Fatal(err)
				}
				after := func(end time.Time) time.Duration {
					if end.IsZero() {
						return 0
					}
					return end.Sub(begun)
				}
				if got := after(pair.RefreshExpiresAt); got != tt.login {
					t.Errorf("after the login: %v; want %v", got, tt.login)
				}
				time.Sleep(10 * day)
				for range 2 { // of which the second finds what the first has left
					if pair, err = client.Refresh(t.Context(), pair); err != nil {
						t.Fatal(err)
					}
				}
				if got := after(pair.RefreshExpiresAt); got != tt.later {
					t.Errorf("after a refresh: %v; want %v", got, tt.later)
				}
			})
		})
	}
}
