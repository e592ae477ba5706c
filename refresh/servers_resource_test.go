package refresh_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// forEachAccessRefusal runs test in a bubble with a server for each way of
// announcing a dead access token.
func forEachAccessRefusal(t *testing.T, test func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config)) {
	for _, r := range append(oauthtest.Cases().AccessRefusals, oauthtest.Refusal{Name: "401 with a good challenge"}) {
		t.Run(r.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, r, oauthtest.Config{Quirks: oauthtest.Quirks{DeadAccess: r}}) })
		})
	}
}

// With Treat403AsExpired for APIs that mean it, every form leads to one refresh
// and one retry. Without, a 403 stays a 403.
func TestDeadAccessTokenIsReplacedInEveryForm(t *testing.T) {
	for name, treat := range map[string]bool{"403 is 403": false, "403 is 401": true} {
		t.Run(name, func(t *testing.T) {
			forEachAccessRefusal(t, func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config) {
				f := newFixture(t, server, func(cfg *refresh.Config) { cfg.Treat403AsExpired = treat }).start(t)
				f.server.ExpireAccess("alice")
				want, refreshes := http.StatusOK, 1
				if r.Status == http.StatusForbidden && !treat {
					want, refreshes = http.StatusForbidden, 0
				}
				f.mustBe(t, want)
				if n := f.tokenRequests(); n != refreshes {
					t.Errorf("%d refreshes; want %d", n, refreshes)
				}
				f.clean(t)
			})
		})
	}
}

// Whatever the form, and without any option: if somebody else has renewed, the
// rejection leads to his token, by the next request at the latest.
func TestRejectionInAnyFormLeadsToWhatSomebodyElseHasSaved(t *testing.T) {
	forEachAccessRefusal(t, func(t *testing.T, _ oauthtest.Refusal, server oauthtest.Config) {
		server.RevokeOldAccess = true
		f := newFixture(t, server).start(t)
		synctest.Wait()
		next := f.renewElsewhere(t)
		if _, err := f.call(t); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.mustCall(t)
		f.serve(t, next)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want the other's", n)
		}
		f.clean(t)
	})
}

// A 401 of the refresh endpoint that looks exactly like one of the API's is
// answered by nothing: no refresh because of it, and no request to the API.
func TestRejectionByTheRefreshEndpointIsNoRejectionOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.server.ExpireAccess("alice")
		f.server.Script(forEver(oauthtest.Fault{
			Status: http.StatusUnauthorized, Header: http.Header{"WWW-Authenticate": {`Bearer error="invalid_token"`}},
			Body: `{"error":"invalid_token"}`,
		}))
		f.mustBe(t, http.StatusUnauthorized)
		if n := f.tokenRequests(); n != 2 {
			t.Errorf("%d token requests; want the good one and one that is refused", n)
		}
		for range 10 {
			f.mustBe(t, http.StatusUnauthorized)
			time.Sleep(time.Second)
		}
		if n := f.tokenRequests(); n != 2 {
			t.Errorf("%d token requests after ten more rejections; want none more so soon", n)
		}
		f.clean(t)
	})
}
