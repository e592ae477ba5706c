package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
)

func challenged(text string) challenge.Challenge {
	c, _ := challenge.Find(http.Header{"Www-Authenticate": {text}}, "Bearer")
	return c
}

func stepping(change ...func(*oauth.Config)) *oauth.Client {
	return over(answering(200, okBody), append(change, func(cfg *oauth.Config) {
		cfg.AuthURL, cfg.RedirectURL = "https://auth.test/authorize", "https://app.test/cb"
	})...)
}

func TestStepUpKeepsWhatWasAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		has, challenge, want string
	}{
		"more scope":              {"a b", `Bearer error="insufficient_scope", scope="b c"`, "a b c"},
		"of a 401":                {"", `Bearer scope="a"`, "a"},
		"several in one":          {"a,b", `Bearer error="insufficient_scope", scope="c"`, "a b c"},
		"no code":                 {"a", `Bearer scope="b"`, "a b"},
		"nothing new":             {"a b", `Bearer error="insufficient_scope", scope="b a"`, ""},
		"nothing named":           {"a", `Bearer error="insufficient_scope"`, ""},
		"another kind of refusal": {"a", `Bearer error="invalid_token"`, ""},
	} {
		c := stepping(func(cfg *oauth.Config) { cfg.Scopes = strings.Fields(tt.has) })
		next, err := c.StepUp(challenged(tt.challenge))
		if tt.want == "" {
			if !errors.Is(err, oauth.ErrNoStepUp) || !errors.Is(err, oauth.ErrMisconfigured) || next != nil {
				t.Errorf("%s: got %v, %v; want ErrNoStepUp", name, next, err)
			}
			continue
		}
		if err != nil || loginQuery(t, next).Get("scope") != tt.want {
			t.Errorf("%s: got %v, %v; want the scopes %q", name, next, err, tt.want)
		}
		if got := strings.Join(c.Config().Scopes, " "); got != strings.Join(strings.Fields(tt.has), " ") {
			t.Errorf("%s: the client itself now asks for %q", name, got)
		}
	}
}

func TestStepUpAsksForTheKindOfLogin(t *testing.T) {
	const wanted = `Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="300", scope="x"`
	c, err := stepping(func(cfg *oauth.Config) { cfg.Scopes = []string{"a"} }).StepUp(challenged(wanted))
	if err != nil {
		t.Fatal(err)
	}
	if q := loginQuery(t, c); q.Get("acr_values") != "gold silver" || q.Get("max_age") != "300" || q.Get("scope") != "a" {
		t.Errorf("asks for %v", q)
	}
	if next, err := c.StepUp(challenged(wanted)); !errors.Is(err, oauth.ErrNoStepUp) {
		t.Errorf("the same again: %v, %v; want ErrNoStepUp", next, err)
	}
	next, err := c.StepUp(challenged(`Bearer error="insufficient_user_authentication", max_age=0`))
	if err != nil || loginQuery(t, next).Get("max_age") != "0" || loginQuery(t, next).Get("acr_values") != "gold silver" {
		t.Errorf("a more recent login: %v", err)
	}
	if next, err := c.StepUp(challenged(`Bearer error="insufficient_user_authentication"`)); !errors.Is(err, oauth.ErrNoStepUp) {
		t.Errorf("no kind named: %v, %v; want ErrNoStepUp", next, err)
	}
}

// What no server would read is not asked for, nor shown to a person.
func TestF93_StepUpToWhatHasNoRoomInAnAddressIsNone(t *testing.T) {
	for _, challenge := range []string{`Bearer error="insufficient_scope", scope="%s"`, `Bearer error="insufficient_user_authentication", acr_values="%s"`} {
		for size, want := range map[int]bool{4 << 10: true, 4<<10 + 2: false, 60 << 10: false} {
			words := strings.TrimSpace(strings.Repeat("x ", size/2)) + "x"
			_, err := stepping().StepUp(challenged(fmt.Sprintf(challenge, words)))
			if (err == nil) != want || err != nil && !errors.Is(err, oauth.ErrNoStepUp) {
				t.Errorf("%.60s of %d bytes: error %v; want a step: %v", challenge, len(words), err, want)
			}
		}
	}
}

// An API that wants something else each time would open one browser window after the other.
func TestStepUpEnds(t *testing.T) {
	c := stepping()
	for i := 'a'; ; i++ {
		next, err := c.StepUp(challenged(`Bearer error="insufficient_scope", scope=` + string(i)))
		if errors.Is(err, oauth.ErrNoStepUp) {
			if i != 'a'+8 {
				t.Errorf("it ended at %c", i)
			}
			return
		}
		if err != nil || i > 'z' {
			t.Fatalf("at %c: %v", i, err)
		}
		c = next
	}
}

func TestRefreshTokenIsAskedForWhereTheServerListsTheScope(t *testing.T) {
	listed := strings.Replace(goodMeta, "{", `{"scopes_supported":["a","offline_access"],`, 1)
	for name, tt := range map[string]struct {
		metadata      string
		change        func(*oauth.Config)
		scope, prompt string
	}{
		"listed":             {listed, func(cfg *oauth.Config) { cfg.OfflineAccess = true }, "a offline_access", "consent"},
		"listed, not wanted": {listed, func(*oauth.Config) {}, "a", ""},
		"not listed":         {goodMeta, func(cfg *oauth.Config) { cfg.OfflineAccess = true }, "a", ""},
		"asked for already":  {listed, func(cfg *oauth.Config) { cfg.OfflineAccess, cfg.Scopes = true, []string{"offline_access a"} }, "offline_access a", "consent"},
		"no other scope":     {listed, func(cfg *oauth.Config) { cfg.OfflineAccess, cfg.Scopes = true, nil }, "offline_access", "consent"},
		"another prompt": {listed, func(cfg *oauth.Config) {
			cfg.OfflineAccess, cfg.AuthParams = true, map[string][]string{"prompt": {"login"}}
		}, "a offline_access", "login"},
		"scope as a parameter": {listed, func(cfg *oauth.Config) {
			cfg.OfflineAccess, cfg.Scopes, cfg.AuthParams = true, nil, map[string][]string{"scope": {"b"}}
		}, "b", ""},
		"known server": {listed, func(cfg *oauth.Config) {
			cfg.OfflineAccess, cfg.Preset.Offline.Scope = true, "offline.access"
		}, "a offline.access", ""},
	} {
		w := published(map[string]*http.Response{rfc8414: response(200, tt.metadata)})
		c, err := discover(t, w, func(cfg *oauth.Config) { cfg.Scopes, cfg.RedirectURL = []string{"a"}, "https://app.test/cb" }, tt.change)
		if err != nil {
			t.Fatal(err)
		}
		if q := loginQuery(t, c); q.Get("scope") != tt.scope || q.Get("prompt") != tt.prompt {
			t.Errorf("%s: scope %q, prompt %q; want %q, %q", name, q.Get("scope"), q.Get("prompt"), tt.scope, tt.prompt)
		}
		if next, err := c.StepUp(challenged(`Bearer scope="z"`)); err != nil || tt.scope == "a offline_access" && loginQuery(t, next).Get("scope") != "a z offline_access" {
			t.Errorf("%s: after a step up: %v", name, err)
		}
	}
}
