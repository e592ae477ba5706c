package oauth_test

import (
	"fmt"
	"testing"

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
