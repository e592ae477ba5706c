package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestSessionIsKeptAliveForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			if _, err := f.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		t.Log(f.server.Refreshes(), f.GetRefreshStatus())
		f.clean(t)
	})
}
