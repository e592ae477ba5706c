package main

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A savedLogin is what commands find.
type savedLogin struct {
	profile profile.Profile
	pair    *oauth.TokenPair // nil: none
	damaged string           // file of the session, instead
	client  string           // whose session it is; empty: the profile's
}

// living is a login to a plain file with a token that lives for an hour.
func living() savedLogin {
	now := time.Now()
	return savedLogin{
		profile: profile.Profile{Format: profile.Format, ClientID: "id", TokenURL: "https://auth.test/token", Store: profile.InFiles},
		pair:    &oauth.TokenPair{AccessToken: "at-secret", RefreshToken: "rt-secret", IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
	}
}

// save leaves the login in a new directory.
func (l savedLogin) save(t *testing.T) (dir string) {
	t.Helper()
	a := testApp(t)
	a.Profile = profile.Default
	if err := a.saveProfile(&l.profile); err != nil {
		t.Fatal(err)
	}
	switch {
	case l.damaged != "":
		if err := os.WriteFile(filepath.Join(a.Dir, "default.json"), []byte(l.damaged), 0o600); err != nil {
			t.Fatal(err)
		}
	case l.pair != nil:
		store := openBound(t, a.Dir, cmp.Or(l.client, l.profile.Binding()))
		if _, err := store.Set(t.Context(), profile.Default, &tokenstore.Record{Tokens: l.pair}); err != nil {
			t.Fatal(err)
		}
	}
	return a.Dir
}

// ran is what a command leaves behind for who ran it.
type ran struct {
	code           int
	stdout, stderr string
}

// The access token lives for days, so that nothing but the refresh token's own end,
// which the server does not tell, makes a renewal due.
func TestF80_ScriptEveryFiveMinutesKeepsAnIdleRefreshTokenAlive(t *testing.T) {
	const idle = 30 * time.Minute
	for name, m := range map[string]profile.Manners{"said": {RefreshIdle: profile.Span(idle)}, "said beside a preset": {Preset: "xero", RefreshIdle: profile.Span(idle)}} {
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

// A server that cannot be reached at all is told of soon, unless the person wants to wait.
func TestF83_AServerThatCannotBeReachedIsToldOfWithinFiveSeconds(t *testing.T) {
	for name, tt := range map[string]struct {
		wait     *time.Duration
		from, to time.Duration
	}{
		"by default": {nil, 3 * time.Second, 5 * time.Second},
		"at once":    {new(time.Duration(0)), 0, time.Second},
		"for longer": {new(20 * time.Second), 17 * time.Second, 21 * time.Second},
	} {
		for what, run := range map[string]func(ctx context.Context, w waitFlag, s *session) error{
			"token": func(ctx context.Context, w waitFlag, s *session) error {
				return (&tokenCmd{waitFlag: w}).serve(ctx, s.app, s)
			},
			"whoami": func(ctx context.Context, w waitFlag, s *session) error {
				_, err := (&whoamiCmd{waitFlag: w}).ask(ctx, s)
				return err
			},
			"get": func(ctx context.Context, w waitFlag, s *session) error {
				return (&getCmd{URL: "https://api.example", waitFlag: w}).send(ctx, s.app, s)
			},
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := oauthtest.New(oauthtest.Config{AccessTokenLifetime: time.Minute})
					s := sessionAt(t, server, profile.Manners{})
					time.Sleep(time.Hour)
					server.Script(oauthtest.Fault{Down: true, Times: -1})
					begun := time.Now()
					err := run(t.Context(), waitFlag{tt.wait}, s)
					took := time.Since(begun)
					if err == nil || took < tt.from || took > tt.to {
						t.Errorf("after %v: %v; want the cause, between %v and %v", took, err, tt.from, tt.to)
					}
					if problem := s.app.explain(err); problem.Code != exit.Temporary || !strings.Contains(problem.Error(), "connection refused") {
						t.Errorf("the person reads %q, exit code %d", problem, problem.Code)
					}
				})
			})
		}
	}
}

// sessionAt logs in at the server in process, with a profile that knows m.
func sessionAt(t *testing.T, server *oauthtest.Server, m profile.Manners, prepare ...func(dir string)) *session {
	t.Helper()
	a := testApp(t)
	for _, f := range prepare {
		f(a.Dir)
	}
	a.closeLimit = closeLimit
	cfg := server.OAuthConfig()
	p := profile.Of(cfg, "")
	p.Manners, p.Store = m, profile.InFiles
	m.Apply(&cfg)
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	store := openBound(t, a.Dir, p.Binding())
	if _, err := store.Set(t.Context(), a.Profile, &tokenstore.Record{Tokens: pair}); err != nil {
		t.Fatal(err)
	}
	return &session{app: a, profile: p, client: oauth.NewClient(cfg), store: store}
}

func TestPresetOfTheProfileKeepsItsRefreshTokenAlive(t *testing.T) {
	for preset, due := range map[string]bool{"xero": true, "atlassian": false, "": false} {
		l, now := living(), time.Now()
		l.profile.Preset = preset
		l.pair.IssuedAt, l.pair.ExpiresAt = now.AddDate(0, 0, -35), now.AddDate(0, 1, 0)
		a := testApp(t)
		a.Profile, a.Dir = profile.Default, l.save(t)
		s, err := a.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rec, err := s.store.Get(t.Context(), a.Profile)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.judge(rec).NeedsRefresh; got != due {
			t.Errorf("preset %q: renewal due 35 days after the last: %v; want %v", preset, got, due)
		}
	}
}
