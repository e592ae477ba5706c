package refresh_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// The tests in servers_*_test.go are rows of docs/servers.md.

// forEachRefreshRefusal runs test in a bubble with a server for each way of
// announcing a dead refresh token.
func forEachRefreshRefusal(t *testing.T, test func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config)) {
	for _, r := range oauthtest.RefreshRefusals() {
		t.Run(r.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, r, oauthtest.Config{Quirks: oauthtest.Quirks{DeadRefresh: r}}) })
		})
	}
}

// saysNothingOf fails the test if an error repeats a refusal's body. Codes that
// look like ones are no secret.
func saysNothingOf(t *testing.T, r oauthtest.Refusal, errs ...error) {
	t.Helper()
	for _, err := range errs {
		for _, words := range []string{r.Body, "expired", "Bad refresh", "Internal", "description"} {
			if words != "" && strings.Contains(err.Error(), words) {
				t.Errorf("the error repeats the body: %v", err)
			}
		}
	}
}

// However a server says that a refresh token is dead, the session survives the
// first refusals, and the program hears once, before the access token has died.
// Only a server's trouble is no verdict, also if it means one.
func TestDeadTokenIsNoticedInEveryForm(t *testing.T) {
	forEachRefreshRefusal(t, func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config) {
		var told failures
		f := newFixture(t, server, told.use).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, pair := f.requests(), f.saved(t)
		f.server.RevokeAll("alice")
		f.untilDue()
		if clear := strings.HasSuffix(r.Name, "invalid_grant"); !clear {
			time.Sleep(minute) // a check interval
			f.inState(t, refresh.StateRetrying)
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times within a check interval", n)
			}
		}
		f.serve(t, pair)
		f.untilExpired()
		want := refresh.StateLoginRequired
		if r.Status >= 500 {
			want = refresh.StateRetrying
		}
		f.inState(t, want)
		_, err := f.TokenContext(t.Context())
		if want == refresh.StateLoginRequired {
			is(t, err, oauth.ErrLoginRequired)
			if n := len(told.heard()); n != 1 {
				t.Errorf("OnRefreshFail was called %d times; want once", n)
			}
			if n := f.requests() - before; n > 4 {
				t.Errorf("%d requests until the verdict; want a few", n)
			}
		} else {
			is(t, err, oauth.ErrTransient)
		}
		if f.saved(t).RefreshToken != pair.RefreshToken {
			t.Error("the pair is gone")
		}
		for _, e := range f.events.of(refresh.EventRefreshFailed) {
			saysNothingOf(t, r, e.Err)
		}
		saysNothingOf(t, r, append(told.heard(), err)...)
		f.clean(t)
	})
}

// What is refused once, and not again, was not dead.
func TestRefusalInAnyUnclearFormThatPassesHarmsNothing(t *testing.T) {
	for _, r := range oauthtest.RefreshRefusals() {
		if strings.HasSuffix(r.Name, "invalid_grant") {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{}, told.use).start(t)
				for range 3 {
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
					f.server.Script(oauthtest.Fault{Status: r.Status, Body: r.Body})
					f.untilExpired()
					f.inState(t, refresh.StateValid)
				}
				if n := len(told.heard()); n != 0 {
					t.Errorf("OnRefreshFail was called %d times", n)
				}
				f.clean(t)
			})
		})
	}
}

// Before the first refresh nobody can tell a dead login from a client that is not
// set up right. The program hears of it once, in words that name both.
func TestDeadTokenBeforeTheFirstRefreshIsReportedForAPerson(t *testing.T) {
	forEachRefreshRefusal(t, func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config) {
		if r.Status >= 500 || strings.HasSuffix(r.Name, "invalid_grant") {
			return
		}
		var told failures
		f := newFixture(t, server, told.use).start(t)
		f.server.RevokeAll("alice")
		time.Sleep(24 * time.Hour)
		f.inState(t, refresh.StateMisconfigured)
		reports := f.events.of(refresh.EventMisconfigured)
		if len(reports) != 1 {
			t.Fatalf("reported %d times in a day; want once", len(reports))
		}
		_, err := f.TokenContext(t.Context())
		for _, err := range []error{reports[0].Err, err} {
			is(t, err, oauth.ErrMisconfigured)
			for _, words := range []string{"misconfigured", "has not renewed this session", "check ", "log in again"} {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("error %q does not say %q", err, words)
				}
			}
			saysNothingOf(t, r, err)
		}
		if n := f.requests(); n > 24*60/10+4 {
			t.Errorf("%d requests in a day; want one in ten minutes", n)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times; nothing is certain", n)
		}
		if f.saved(t).RefreshToken != f.first.RefreshToken {
			t.Error("the pair is gone")
		}
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(login); err != nil { // the advice helps
			t.Fatal(err)
		}
		f.untilExpired()
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// Programs that run for a moment share the waiting through the Store: the first
// one says what is going on, one that comes a check interval later knows.
func TestShortLivedProgramsLearnOfADeadTokenOneAfterAnother(t *testing.T) {
	for name, refreshed := range map[string]bool{"renewed before": true, "never renewed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				silent := slices.IndexFunc(oauthtest.RefreshRefusals(), func(r oauthtest.Refusal) bool { return r.Body == "" })
				f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{DeadRefresh: oauthtest.RefreshRefusals()[silent]}}).start(t)
				want := oauth.ErrMisconfigured
				if refreshed {
					want = oauth.ErrLoginRequired
					if err := f.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				f.Stop()
				f.server.RevokeAll("alice")
				time.Sleep(time.Hour)
				run := func() error {
					next := f.sibling(t).resume(t)
					defer next.Stop()
					_, err := next.TokenContext(t.Context())
					return err
				}
				err := run()
				is(t, err, oauth.ErrTransient)
				if err == nil || !strings.Contains(err.Error(), "perhaps because it has ended") {
					t.Errorf("the first run says %v; want what is going on", err)
				}
				time.Sleep(2 * minute)
				is(t, run(), want)
				f.clean(t)
			})
		})
	}
}

// A client that the server has lost may come back: 500 is never a verdict.
func TestUnknownClientAs500IsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{
			UnknownClient: oauthtest.Refusal{Status: 500, Body: `{"error":"server_error","error_description":"client not found"}`},
		}}, told.use).start(t)
		client := f.server.OAuthConfig()
		client.ClientID = "unknown"
		f.Stop()
		next := f.sibling(t, told.use, func(cfg *refresh.Config) { cfg.OAuthClient = oauth.NewClient(client) }).resume(t)
		time.Sleep(24 * time.Hour)
		next.inState(t, refresh.StateRetrying)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		next.Stop()
		f.resume(t)
		if _, err := f.TokenContext(t.Context()); err != nil {
			t.Errorf("nothing was lost, and yet: %v", err)
		}
		f.clean(t)
	})
}
