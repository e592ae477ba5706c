package oauthtest_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
)

func TestLikeTakesOverWhatThePresetSays(t *testing.T) {
	for name, tt := range map[string]struct {
		preset oauth.Preset
		want   oauthtest.Config
	}{
		"nothing":                  {oauth.Preset{}, oauthtest.Config{}},
		"rotates":                  {oauth.Preset{Rotation: oauth.RotationOnUse}, oauthtest.Config{}},
		"stays":                    {oauth.Preset{Rotation: oauth.RotationNone}, oauthtest.Config{NoRotation: true, SlidingRefresh: true}},
		"grace":                    {oauth.Preset{Grace: time.Minute}, oauthtest.Config{Grace: time.Minute}},
		"no grace":                 {oauth.Preset{Grace: oauth.GraceNone}, oauthtest.Config{}},
		"grace until used":         {oauth.Preset{Grace: oauth.GraceUntilUsed}, oauthtest.Config{Quirks: oauthtest.Quirks{GraceUntilUse: true}}},
		"life":                     {oauth.Preset{RefreshLifetime: time.Hour}, oauthtest.Config{RefreshTokenLifetime: time.Hour}},
		"idle, and a life":         {oauth.Preset{RefreshLifetime: time.Hour, RefreshIdleLimit: time.Minute}, oauthtest.Config{RefreshTokenLifetime: time.Minute}},
		"idle, and a shorter life": {oauth.Preset{RefreshLifetime: time.Minute, RefreshIdleLimit: time.Hour}, oauthtest.Config{RefreshTokenLifetime: time.Minute}},
		"from consent":             {oauth.Preset{GrantLifetime: time.Hour}, oauthtest.Config{GrantLifetime: time.Hour}},
		"idle":                     {oauth.Preset{RefreshIdleLimit: time.Hour}, oauthtest.Config{RefreshTokenLifetime: time.Hour}},
		"offline":                  {oauth.Preset{Offline: oauth.OfflineAccess{Scope: "offline_access"}}, oauthtest.Config{OfflineScope: true}},
		"params":                   {oauth.Preset{Offline: oauth.OfflineAccess{Params: "access_type=offline"}}, oauthtest.Config{}},
		"scope":                    {oauth.Preset{ScopeOnRefresh: true}, oauthtest.Config{ScopeOnRefresh: true}},
	} {
		if got := oauthtest.Like(tt.preset); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v; want %+v", name, got, tt.want)
		}
	}
}

// A program that will meet Google in production is tested against its manners.
func ExampleLike() {
	google := preset.Google()
	server := oauthtest.New(oauthtest.Like(google))
	cfg := server.OAuthConfig()
	cfg.Preset = google

	tokens, err := server.Login("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	renewed, err := oauth.NewClient(cfg).Refresh(context.Background(), tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the refresh token stays:", renewed.RefreshToken == tokens.RefreshToken)
	// Output: the refresh token stays: true
}
