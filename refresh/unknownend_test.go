package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The refresh token's end makes a renewal due, also where the access token's is not known and
// the clock is set back.
func TestF53_ClockIsSetBackWhileOnlyTheRefreshTokensEndIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{Now: time.Now, AnnounceRefreshLifetime: true, RefreshTokenLifetime: 4 * time.Hour, AccessTokenLifetime: 100 * time.Hour}, drivenBy(clk))
		f.first.ExpiresAt, f.first.ExpiresIn = time.Time{}, 0
		f.server.Script(oauthtest.Fault{ExpiresIn: oauthtest.Missing, Times: -1})
		f.start(t)
		time.Sleep(time.Minute)
		clk.move(-6 * time.Hour)
		time.Sleep(5 * time.Hour)
		if f.server.Refreshes() == 0 {
			t.Error("the refresh token has died unused")
		}
		f.serve(t, f.saved(t))
		f.clean(t)
	})
}
