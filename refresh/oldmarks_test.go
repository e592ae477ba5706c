package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Earlier versions called a session dead for words that do not say so, and a mark did
// not tell under which configuration it was made. What they have written is read by
// what is known now: by its word, and by who renewed the session last.
func TestMarksOfEarlierVersionsAreReadAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		code  string
		other bool // another configuration goes on with the session
		dead  bool
	}{
		"an unclear word":                            {code: "invalid_request"},
		"no word":                                    {code: ""},
		"a word about the client":                    {code: "unauthorized_client"},
		"a word that ends sessions":                  {code: "invalid_grant", dead: true},
		"the same, spelled otherwise":                {code: "TOKEN_REUSED", dead: true},
		"the same, and another configuration":        {code: "invalid_grant", other: true},
		"an unclear word, and another configuration": {code: "invalid_request", other: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{}, told.use)
				client := oauth.NewClient(f.server.OAuthConfig())
				rec := &tokenstore.Record{
					Tokens: f.first, RefreshedAt: time.Now(), RefreshedBy: client.ConfigID(),
					Dead: &tokenstore.Mark{Token: tokenstore.Fingerprint(f.first.RefreshToken), At: time.Now(), Code: tt.code},
				}
				if tt.other {
					rec.RefreshedBy = "another configuration"
				}
				if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				f.resume(t)
				time.Sleep(2 * minute)
				want, requests := refresh.StateValid, 1
				if tt.dead {
					want, requests = refresh.StateLoginRequired, 0
				}
				f.inState(t, want)
				if n := f.requests(); n != requests {
					t.Errorf("%d requests; want %d", n, requests)
				}
				if n := len(told.heard()); (n == 1) != tt.dead {
					t.Errorf("OnRefreshFail was called %d times; dead %v", n, tt.dead)
				}
			})
		})
	}
}

// A verdict is for the configuration that it was given to: another one asks once more,
// and what it is told is its own.
func TestVerdictEndsWithANewConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		f.Stop()
		f.resume(t) // with the same configuration nobody is asked
		time.Sleep(time.Hour)
		f.inState(t, refresh.StateLoginRequired)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.Stop()
		next := f.sibling(t, func(cfg *refresh.Config) {
			client := f.server.OAuthConfig()
			client.Preset.ScopeOnRefresh, client.Scopes = true, []string{"openid"} // which the server sees
			cfg.OAuthClient = oauth.NewClient(client)
		}).resume(t)
		time.Sleep(minute)
		next.inState(t, refresh.StateValid)
	})
}

// Who stops a manager and starts it again wants to know, and does not wait for what
// the earlier run has planned.
func TestStartAsksAtOnceWhateverTheRunBeforeHasMet(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"suspected":         {Status: 404, Body: "404 page not found\n"},
		"client refused":    {Status: 401, Body: `{"error":"invalid_client"}`},
		"trouble":           {Status: 503, HTML: true},
		"an odd success":    {Status: 200, Body: `{"ok":false}`},
		"a redirect":        {Redirect: "https://elsewhere.example/"},
		"answers that stop": {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				f.server.Script(forEver(fault))
				time.Sleep(6 * time.Hour)
				f.Stop()
				f.server.ClearScript()
				f.resume(t)
				time.Sleep(2 * time.Second)
				f.inState(t, refresh.StateValid)
			})
		})
	}
}
