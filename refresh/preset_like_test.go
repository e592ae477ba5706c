package refresh_test

import (
	"errors"
	"net/http"
	"os"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
	"github.com/evertoken/evertoken/refresh"
)

// allPresets are the presets by name.
var allPresets = map[string]oauth.Preset{
	"Atlassian": preset.Atlassian(),
	"Dropbox":   preset.Dropbox(),
	"EntraID":   preset.EntraID(),
	"GitHubApp": preset.GitHubApp(),
	"GitLab":    preset.GitLab(),
	"Google":    preset.Google(),
	"Okta":      preset.Okta(),
	"Reddit":    preset.Reddit(),
	"X":         preset.X(),
	"Xero":      preset.Xero(),
}

func TestAllPresetsAreRun(t *testing.T) {
	api, err := os.ReadFile("../api/oauth_preset.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^func (\w+)\(\) oauth\.Preset$`).FindAllSubmatch(api, -1)
	if len(names) != len(allPresets) {
		t.Errorf("%d presets exist, %d are run", len(names), len(allPresets))
	}
	for _, name := range names {
		if _, ok := allPresets[string(name[1])]; !ok {
			t.Errorf("preset.%s is not run", name[1])
		}
	}
}

// like is oauthtest.Like with what a preset does not tell: that a refresh ends the access
// token before, at those that do so.
func like(name string, preset oauth.Preset) oauthtest.Config {
	server := oauthtest.Like(preset)
	server.RevokeOldAccess = name == "GitHubApp" || name == "GitLab"
	return server
}

// with makes the manager's client know the preset.
func with(preset oauth.Preset) func(*refresh.Config) {
	return func(cfg *refresh.Config) {
		client := cfg.OAuthClient.(*oauth.Client).Config()
		client.Preset = preset
		cfg.OAuthClient = oauth.NewClient(client)
	}
}

func TestSessionLivesForAMonthOnServersLikeThePresets(t *testing.T) {
	for name, preset := range allPresets {
		inBubble(t, name, func(t *testing.T) {
			server, failed := like(name, preset), new(failures)
			server.AccessTokenLifetime = 3 * time.Hour // shorter ones make the test longer, and say no more
			seldom := func(cfg *refresh.Config) { cfg.CheckInterval = 10 * minute }
			f := newFixture(t, server, with(preset), failed.use, seldom).start(t)
			client, _ := f.wired()
			for range 30 * 2 {
				time.Sleep(12 * time.Hour)
				if preset.Grace > 0 || preset.Rotation == oauth.RotationNone {
					f.server.Script(lostAnswer)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatalf("the session is lost: %v", err)
				}
				if status := get(t, client, f.server.Resource()); status != http.StatusOK {
					t.Fatalf("the resource answers %d", status)
				}
			}
			if heard := failed.heard(); len(heard) != 0 {
				t.Errorf("OnRefreshFail heard %v", heard)
			}
			f.inState(t, refresh.StateValid)
			f.clean(t)
		})
	}
}

// A session that nobody needs for longer than the idle limit lives on where the
// manager knows of it, and ends where it does not.
func TestServersLikeThePresetsEndIdleSessions(t *testing.T) {
	for name, preset := range allPresets {
		if preset.RefreshIdleLimit == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, known := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					server := like(name, preset)
					server.AccessTokenLifetime = 2 * preset.RefreshIdleLimit
					knows := preset
					if !known {
						knows.RefreshIdleLimit = 0
					}
					f := newFixture(t, server, with(knows), func(cfg *refresh.Config) { cfg.CheckInterval = 6 * time.Hour }).start(t)
					time.Sleep(preset.RefreshIdleLimit + day)
					if err := f.ForceRefresh(t.Context()); (err == nil) != known {
						t.Errorf("idle limit known: %v; error %v", known, err)
					}
					f.clean(t)
				})
			}
		})
	}
}

// A lost answer is asked for again in the same flight for as long as the server is
// known to repeat it.
func TestLostAnswerIsAskedForUntilTheKnownGraceIsNearlyOver(t *testing.T) {
	known := func(grace time.Duration) oauth.Preset { return oauth.Preset{Grace: grace} }
	for name, tt := range map[string]struct {
		grace    time.Duration
		preset   oauth.Preset
		lost     int // answers
		requests int // in the flight
		err      error
	}{
		"not known, long":                   {10 * minute, known(0), 8, 5, oauth.ErrTransient},
		"not believed, long":                {10 * minute, oauth.Preset{Rotation: oauth.RotationNone, Grace: 10 * minute}, 8, 5, oauth.ErrTransient},
		"known, long":                       {10 * minute, known(10 * minute), 8, 9, nil},
		"known, long, lost for ever":        {10 * minute, known(10 * minute), -1, 11, oauth.ErrTransient},
		"until the successor is used":       {-1, known(oauth.GraceUntilUsed), 8, 9, nil},
		"not known, until it is used":       {-1, known(0), 8, 5, oauth.ErrTransient},
		"not known, short, and so too late": {5 * time.Second, known(0), 3, 4, oauth.ErrTransient}, // until the second opinion
		"known, short":                      {5 * time.Second, known(5 * time.Second), 3, 4, nil},
		"known, short, lost for ever":       {5 * time.Second, known(5 * time.Second), -1, 4, oauth.ErrTransient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := oauthtest.Config{Grace: tt.grace}
				if tt.grace < 0 {
					server = oauthtest.Like(oauth.Preset{Grace: oauth.GraceUntilUsed})
				}
				f := newFixture(t, server, with(tt.preset)).start(t)
				fault := lostAnswer
				fault.Times = tt.lost
				f.server.Script(fault)
				begun := time.Now()
				if err := f.ForceRefresh(t.Context()); !errors.Is(err, tt.err) {
					t.Errorf("error %v; want %v", err, tt.err)
				}
				if took := time.Since(begun); took > minute {
					t.Errorf("the flight took %v; want a minute at most", took)
				}
				if n := f.requests(); n != tt.requests {
					t.Errorf("%d requests; want %d", n, tt.requests)
				}
				f.clean(t)
			})
		})
	}
}

// Where the refresh token stays, nothing is known that would make replays better.
func TestGraceOfATokenThatStaysIsNone(t *testing.T) {
	for _, tt := range []struct {
		preset oauth.Preset
		want   time.Duration
	}{
		{oauth.Preset{}, 0},
		{oauth.Preset{Rotation: oauth.RotationOnUse}, 0},
		{oauth.Preset{Rotation: oauth.RotationOnUse, Grace: minute}, minute},
		{oauth.Preset{Grace: minute}, minute},
		{oauth.Preset{Grace: oauth.GraceNone}, oauth.GraceNone},
		{oauth.Preset{Rotation: oauth.RotationNone, Grace: minute}, 0},
		{oauth.Preset{Rotation: oauth.RotationNone, Grace: oauth.GraceNone}, 0},
	} {
		client := oauth.NewClient(oauth.Config{ClientID: "c", TokenURL: "https://as.example/token", Preset: tt.preset})
		if grace := client.RefreshGrace(); grace != tt.want {
			t.Errorf("%+v: grace %v; want %v", tt.preset, grace, tt.want)
		}
	}
}
