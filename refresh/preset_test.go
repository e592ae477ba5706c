package refresh_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
	"github.com/evertoken/evertoken/refresh"
)

const day = 24 * time.Hour

// presets are the servers' peculiarities, as oauthtest has them. Access tokens
// outlive the refresh tokens where nothing else would have the manager wait so
// long: that is when it must know of an idle limit.
var presets = []struct {
	name    string
	preset  oauth.Preset
	server  oauthtest.Config
	without error // what a client without the preset meets, in a year
}{
	{"Entra ID, scope", preset.EntraID(),
		oauthtest.Config{ScopeOnRefresh: true, AccessTokenLifetime: day, RefreshTokenLifetime: 90 * day}, refresh.ErrSuspected},
	{"Entra ID, idle", preset.EntraID(),
		oauthtest.Config{AccessTokenLifetime: 120 * day, RefreshTokenLifetime: 90 * day, NoReuseDetection: true}, oauth.ErrLoginRequired},
	{"Google", preset.Google(), oauthtest.Config{
		AccessTokenLifetime: 200 * day, RefreshTokenLifetime: 180 * day, NoRotation: true, SlidingRefresh: true}, oauth.ErrLoginRequired},
	{"Atlassian", preset.Atlassian(), oauthtest.Config{
		AccessTokenLifetime: 100 * day, RefreshTokenLifetime: 90 * day, Grace: 10 * time.Minute}, oauth.ErrLoginRequired},
}

// liveForAYear runs a session with or without the preset and returns it with what
// a caller gets at the end.
func liveForAYear(t *testing.T, server oauthtest.Config, preset oauth.Preset, edits ...func(*refresh.Config)) (*fixture, error) {
	t.Helper()
	edits = append(edits, func(cfg *refresh.Config) {
		oauthConfig := cfg.OAuthClient.(*oauth.Client).Config()
		oauthConfig.Preset = preset
		cfg.OAuthClient, cfg.CheckInterval = oauth.NewClient(oauthConfig), 6*time.Hour
	})
	f := newFixture(t, server, edits...).start(t)
	var err error
	for range 13 { // somebody needs it once a month
		time.Sleep(30 * day)
		if _, err = f.TokenContext(t.Context()); err != nil {
			break
		}
	}
	return f, err
}

func TestPresetsKeepSessionsAlive(t *testing.T) {
	for _, tt := range presets {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				failed := new(failures)
				f, err := liveForAYear(t, tt.server, tt.preset, failed.use)
				if err != nil {
					t.Fatalf("the session has not lived for a year: %v", err)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Errorf("and its refresh token is dead: %v", err)
				}
				if len(failed.heard()) != 0 {
					t.Errorf("OnRefreshFail heard %v", failed.heard())
				}
				f.clean(t)
			})
		})
	}
}

// The peculiarities are real: who does not know them meets them.
func TestWithoutItsPresetAServerIsNotUnderstood(t *testing.T) {
	for _, tt := range presets {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, err := liveForAYear(t, tt.server, oauth.Preset{})
				if !errors.Is(err, tt.without) {
					t.Errorf("error %v; want %v", err, tt.without)
				}
				f.clean(t)
			})
		})
	}
}

func TestTheManagersOwnIdleLimitCounts(t *testing.T) {
	for own, want := range map[time.Duration]int{-1: 0, 0: 1, 10 * day: 2} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 400 * day, RefreshTokenLifetime: 300 * day}, func(cfg *refresh.Config) {
				oauthConfig := cfg.OAuthClient.(*oauth.Client).Config()
				oauthConfig.Preset.RefreshIdleLimit = 20 * day
				cfg.OAuthClient, cfg.CheckInterval = oauth.NewClient(oauthConfig), 6*time.Hour
				cfg.RefreshIdleLimit = own
			}).start(t)
			time.Sleep(25 * day)
			if n := f.server.Refreshes(); n != want {
				t.Errorf("own limit %v: %d refreshes in 25 days; want %d", own, n, want)
			}
			f.clean(t)
		})
	}
}
