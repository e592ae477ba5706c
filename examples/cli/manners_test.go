package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
	"github.com/evertoken/evertoken/tokenstore"
)

// The access token lives for days, so that nothing but the refresh token's own end,
// which the server does not tell, makes a renewal due.
func TestF80_ScriptEveryFiveMinutesKeepsAnIdleRefreshTokenAlive(t *testing.T) {
	const idle = 30 * time.Minute
	for name, m := range map[string]manners{"said": {RefreshIdle: span(idle)}, "said beside a preset": {Preset: "xero", RefreshIdle: span(idle)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.New(oauthtest.Config{AccessTokenLifetime: 72 * time.Hour, RefreshTokenLifetime: idle})
				s := sessionAt(t, server, m)
				for range 24 * 60 / 5 {
					time.Sleep(5 * time.Minute)
					out := new(bytes.Buffer)
					s.app.stdout, s.app.stderr = out, out
					if err := new(tokenCmd).serve(t.Context(), s.app, s); err != nil || strings.Count(out.String(), "\n") != 1 {
						t.Fatalf("got %q, %v; want a token", out, err)
					}
				}
				if n := server.Refreshes(); n < 48 || n > 96 {
					t.Errorf("%d refreshes in a day; want one in 15 to 30 minutes", n)
				}
				if mistakes := server.Audit(); len(mistakes) > 0 {
					t.Error(mistakes)
				}
			})
		})
	}
}

// sessionAt logs in at the server in process, with a profile that knows m.
func sessionAt(t *testing.T, server *oauthtest.Server, m manners) *session {
	t.Helper()
	a := testApp(t)
	a.closeLimit = closeLimit
	cfg := server.OAuthConfig()
	p := profileOf(cfg, "")
	p.manners, p.Store = m, storeFile
	m.apply(&cfg)
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	store := openBound(t, a.dir, p.binding())
	if _, err := store.Set(t.Context(), a.profile, &tokenstore.Record{Tokens: pair}); err != nil {
		t.Fatal(err)
	}
	return &session{app: a, profile: p, client: oauth.NewClient(cfg), store: store}
}

func TestPresetOfTheProfileKeepsItsRefreshTokenAlive(t *testing.T) {
	for preset, due := range map[string]bool{"xero": true, "atlassian": false, "": false} {
		l, now := living(), time.Now()
		l.profile.Preset = preset
		l.pair.IssuedAt, l.pair.ExpiresAt = now.AddDate(0, 0, -28), now.AddDate(0, 1, 0)
		a := quickApp(t, new(bytes.Buffer), new(bytes.Buffer), noEnv)
		if answer := a.quick([]string{"token", "--dir", l.save(t)}); (answer == nil) != due {
			t.Errorf("preset %q: renewal due four weeks after the last: %v; want %v", preset, answer == nil, due)
		}
	}
}

func TestMannersSurviveTheProfile(t *testing.T) {
	all := manners{Preset: "google", Lifetime: span(90 * time.Minute), RefreshIdle: span(720 * time.Hour), ScopeSeparator: ",", NoPKCE: true, TokenPath: "a.b"}
	for i := range reflect.TypeFor[manners]().NumField() {
		if reflect.ValueOf(all).Field(i).IsZero() {
			t.Errorf("%s is not tried", reflect.TypeFor[manners]().Field(i).Name)
		}
	}
	data, err := json.Marshal(&profile{manners: all})
	if err != nil {
		t.Fatal(err)
	}
	var back profile
	if err := json.Unmarshal(data, &back); err != nil || back.manners != all {
		t.Errorf("got %+v, %v; want %+v", back.manners, err, all)
	}
	cfg, err := back.config()
	if err != nil || cfg.Preset.RefreshIdleLimit != preset.Google().RefreshIdleLimit || cfg.DefaultLifetime != 90*time.Minute ||
		cfg.ScopeSeparator != "," || !cfg.DisablePKCE || cfg.TokenPath != "a.b" {
		t.Errorf("the client does not mind them: %+v, %v", cfg, err)
	}
}

func TestOldProfileHasTheDefaultManners(t *testing.T) {
	var p profile
	if err := json.Unmarshal([]byte(`{"format":1,"client_id":"id","token_url":"https://auth.test/token"}`), &p); err != nil {
		t.Fatal(err)
	}
	cfg, err := p.config()
	if err != nil || p.manners != (manners{}) || !reflect.DeepEqual(cfg, oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token"}) {
		t.Errorf("got %+v, %v; want nothing but client and server", p, err)
	}
	data, err := json.Marshal(p)
	if err != nil || strings.Contains(string(data), "preset") || strings.Contains(string(data), "idle") {
		t.Errorf("written again as %s, %v", data, err)
	}
}

func TestEveryPresetHasAName(t *testing.T) {
	for _, name := range strings.Split("google, github-app, gitlab, entra, okta, atlassian, xero, dropbox, reddit, x", ", ") {
		if preset := presets[name]; preset == nil || reflect.ValueOf(preset()).IsZero() {
			t.Errorf("there is no preset %q", name)
		}
		if !strings.Contains(", "+presetNames()+",", ", "+name+",") {
			t.Errorf("%q is not listed in %q", name, presetNames())
		}
	}
}
