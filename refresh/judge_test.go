package refresh_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// pairWith returns a pair of an hour's life, of which so much is left.
func pairWith(left time.Duration, refreshToken string) *oauth.TokenPair {
	now := time.Now().Round(0)
	return &oauth.TokenPair{AccessToken: "a", RefreshToken: refreshToken, IssuedAt: now.Add(left - time.Hour), ExpiresAt: now.Add(left)}
}

func TestJudgeReadsASavedSession(t *testing.T) {
	now := time.Now().Round(0)
	mark := &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now, Code: "invalid_grant"}
	refused := func(times int, over time.Duration) *tokenstore.Mark {
		return &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now.Add(-over), Last: now, Count: times, Code: "nope"}
	}
	others := *refused(9, time.Hour)
	others.By = "another configuration"
	ended := func(left time.Duration) *oauth.TokenPair {
		pair := pairWith(left, "r")
		pair.RefreshExpiresAt = now.Add(-time.Second)
		return pair
	}
	for name, c := range map[string]struct {
		rec   *tokenstore.Record
		state refresh.State
		needs bool
	}{
		"nothing":                {nil, refresh.StateNone, false},
		"no tokens":              {&tokenstore.Record{}, refresh.StateNone, false},
		"fresh":                  {&tokenstore.Record{Tokens: pairWith(30*minute, "r")}, refresh.StateValid, false},
		"due":                    {&tokenstore.Record{Tokens: pairWith(4*minute, "r")}, refresh.StateValid, true},
		"expired":                {&tokenstore.Record{Tokens: pairWith(-minute, "r")}, refresh.StateValid, true},
		"no access token":        {&tokenstore.Record{Tokens: &oauth.TokenPair{RefreshToken: "r"}}, refresh.StateValid, true},
		"end not known":          {&tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}, refresh.StateValid, false},
		"nothing to renew with":  {&tokenstore.Record{Tokens: pairWith(4*minute, "")}, refresh.StateValid, false},
		"expired, nothing else":  {&tokenstore.Record{Tokens: pairWith(-minute, "")}, refresh.StateLoginRequired, false},
		"refresh token ended":    {&tokenstore.Record{Tokens: ended(-minute)}, refresh.StateLoginRequired, false},
		"ended, but still valid": {&tokenstore.Record{Tokens: ended(minute)}, refresh.StateValid, true},
		"dead":                   {&tokenstore.Record{Tokens: pairWith(minute, "r"), Dead: mark}, refresh.StateLoginRequired, false},
		"dead was another":       {&tokenstore.Record{Tokens: pairWith(time.Hour, "r2"), Dead: mark}, refresh.StateValid, false},
		"refused":                {&tokenstore.Record{Tokens: pairWith(minute, "r"), Refused: mark}, refresh.StateRetrying, true},
		"refused long ago once":  {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Refused: refused(1, time.Hour)}, refresh.StateRetrying, true},
		"refused for a while":    {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Refused: refused(9, minute)}, refresh.StateRetrying, true},
		"refused for long":       {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Refused: refused(9, time.Hour)}, refresh.StateSuspected, true},
		"refused, but alive":     {&tokenstore.Record{Tokens: pairWith(minute, "r"), Refused: refused(9, time.Hour)}, refresh.StateRetrying, true},
		"dead by unclear words":  {&tokenstore.Record{Tokens: pairWith(minute, "r"), Dead: refused(9, time.Hour)}, refresh.StateRetrying, true},
		"dead by its spelling":   {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Dead: &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now, Code: "Token-Reused"}}, refresh.StateLoginRequired, false},
		"answered elsewhere":     {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Refused: &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now, Last: now, Count: 1, Code: "unread_answer"}}, refresh.StateMisconfigured, true},
		"by another client":      {&tokenstore.Record{Tokens: pairWith(-minute, "r"), Refused: &others}, refresh.StateValid, true},
		"asked to wait":          {&tokenstore.Record{Tokens: pairWith(minute, "r"), NotBefore: now.Add(minute)}, refresh.StateRetrying, true},
		"asked to wait too long": {&tokenstore.Record{Tokens: pairWith(minute, "r"), NotBefore: now.Add(48 * time.Hour)}, refresh.StateValid, true},
		"outcome unknown":        {&tokenstore.Record{Tokens: pairWith(minute, "r"), Pending: mark}, refresh.StateRetrying, true},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.rec.Clone()
			st := refresh.Judge(refresh.Config{Session: "work"}, c.rec, now)
			if st.State != c.state || st.NeedsRefresh != c.needs || st.Session != "work" {
				t.Errorf("session %q: state %s, needs refresh %v; want %s, %v", st.Session, st.State, st.NeedsRefresh, c.state, c.needs)
			}
			if well := st.State == refresh.StateValid || st.State == refresh.StateNone; well != (st.LastError == "") {
				t.Errorf("state %s with reason %q", st.State, st.LastError)
			}
			if c.rec != nil && c.rec.Tokens != nil && fmt.Sprintf("%#v", c.rec.Tokens.OAuth2()) != fmt.Sprintf("%#v", before.Tokens.OAuth2()) {
				t.Error("the record was changed")
			}
		})
	}
}

// An idleClient is a client that knows its server's idle limit.
type idleClient struct {
	refresh.Refresher
	limit time.Duration
}

func (c idleClient) RefreshIdleLimit() time.Duration { return c.limit }

// tokenless renews without a refresh token.
type tokenless struct{ refresh.Refresher }

func (tokenless) RenewsWithoutRefreshToken() bool { return true }

func TestJudgeAgreesWithAManagerThatStarts(t *testing.T) {
	nobody := refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
		t.Error("a token was spent")
		return nil, nil
	})
	configs := map[string]refresh.Config{
		"plain":            {OAuthClient: nobody},
		"threshold":        {OAuthClient: nobody, RefreshThreshold: 15 * minute},
		"idle limit":       {OAuthClient: nobody, RefreshIdleLimit: 30 * minute},
		"client's limit":   {OAuthClient: idleClient{nobody, 30 * minute}},
		"no limit":         {OAuthClient: idleClient{nobody, 30 * minute}, RefreshIdleLimit: -1},
		"short-lived":      {OAuthClient: idleClient{nobody, 30 * minute}, ShortLived: true},
		"no refresh token": {OAuthClient: tokenless{nobody}},
		"follower":         {Follower: true},
	}
	dead := &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), Code: "invalid_grant"}
	records := map[string]func() *tokenstore.Record{
		"fresh":      func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(50*minute, "r")} },
		"half":       func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(35*minute, "r")} },
		"late":       func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(10*minute, "r")} },
		"expired":    func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(-minute, "r")} },
		"no refresh": func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(10*minute, "")} },
		"end not known": func() *tokenstore.Record {
			return &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}}
		},
		"dead": func() *tokenstore.Record { return &tokenstore.Record{Tokens: pairWith(10*minute, "r"), Dead: dead} },
	}
	for config, cfg := range configs {
		for record, rec := range records {
			t.Run(config+"/"+record, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := cfg
					cfg.Store, cfg.Renewal = new(tokenstore.Memory), refresh.RenewNever
					if _, err := cfg.Store.Set(t.Context(), "default", rec()); err != nil {
						t.Fatal(err)
					}
					got := refresh.Judge(cfg, rec(), time.Now())
					m := refresh.NewManager(cfg)
					if err := m.Start(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					want := m.GetRefreshStatus()
					m.Stop()
					if got.State != want.State || got.NeedsRefresh != want.NeedsRefresh || !got.ExpiresAt.Equal(want.ExpiresAt) {
						t.Errorf("judged %+v; the manager says %+v", got, want)
					}
					jitter := got.RefreshAt.Sub(want.RefreshAt)
					if most := got.ExpiresAt.Sub(got.RefreshAt) / 10; jitter < 0 || jitter > max(most, 0) {
						t.Errorf("due %v; the manager says %v", got.RefreshAt, want.RefreshAt)
					}
				})
			})
		}
	}
}

// A server ends refresh tokens that nobody uses for half an hour, and access tokens
// live for longer than that. Nothing runs but a command, every five minutes.
func TestF80_CommandsKeepAShortRefreshTokenAlive(t *testing.T) {
	const idle, every = 30 * minute, 5 * minute
	for name, c := range map[string]struct {
		server oauthtest.Config
		edit   func(*refresh.Config)
	}{
		"announced":     {oauthtest.Config{AnnounceRefreshLifetime: true}, func(*refresh.Config) {}},
		"configured":    {oauthtest.Config{}, func(cfg *refresh.Config) { cfg.RefreshIdleLimit = idle }},
		"by the client": {oauthtest.Config{}, func(cfg *refresh.Config) { cfg.OAuthClient = idleClient{cfg.OAuthClient, idle} }},
		"without rotation": {oauthtest.Config{NoRotation: true, SlidingRefresh: true},
			func(cfg *refresh.Config) { cfg.RefreshIdleLimit = idle }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.server.AccessTokenLifetime, c.server.RefreshTokenLifetime = 2*time.Hour, idle
				server := oauthtest.New(c.server)
				server.Script(oauthtest.Fault{Delay: time.Second, Times: -1}) // a command asks while the manager does
				cfg := refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: new(tokenstore.Memory), ShortLived: true}
				c.edit(&cfg)
				first, err := server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := cfg.Store.Set(t.Context(), "default", &tokenstore.Record{Tokens: first}); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); time.Sleep(every) {
					tokenCommand(t, cfg, every)
				}
				if server.Sessions("alice") != 1 {
					t.Error("the session idled out")
				}
				if n := server.Refreshes(); n > 24*60/15 {
					t.Errorf("%d refreshes in a day; want at most one in a quarter of an hour", n)
				}
				for _, mistake := range server.Audit() {
					t.Errorf("the server saw a mistake: %v", mistake)
				}
			})
		})
	}
}

// tokenCommand does what a command does that is run every so often: it renews the
// session if that is due, which is not long after it was promised.
func tokenCommand(t *testing.T, cfg refresh.Config, every time.Duration) {
	t.Helper()
	rec, err := cfg.Store.Get(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	st := refresh.Judge(cfg, rec, time.Now())
	if !st.NeedsRefresh {
		return
	}
	if st.TimeUntilRefresh <= -every {
		t.Errorf("due %v ago", -st.TimeUntilRefresh)
	}
	m := refresh.NewManager(cfg)
	if err := m.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if err := m.ForceRefresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}
