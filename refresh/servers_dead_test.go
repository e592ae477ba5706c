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
	for _, r := range oauthtest.Cases().RefreshRefusals {
		t.Run(r.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, r, oauthtest.Config{Quirks: oauthtest.Quirks{DeadRefresh: r}}) })
		})
	}
}

// saysNothingOf fails the test if an error repeats a refusal's body. Codes that
// look like ones are not secrets.
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

// However a server says that a refresh token is dead, the session survives the first
// refusals, and the program hears once: within one refresh if the word is clear, else
// when the access token is dead and the refusal has lasted for ten check intervals
// (sixty, if it is the client that is refused). Only a server's trouble is not a verdict,
// also if it means one.
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
		clear := strings.HasSuffix(r.Name, "invalid_grant")
		if !clear {
			f.serve(t, pair)
			f.untilExpired()
			f.unsettled(t)
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times while the access token lived", n)
			}
			time.Sleep(2 * time.Hour)
		}
		want, kind := refresh.StateSuspected, oauth.ErrLoginRequired
		switch {
		case r.Status >= 500:
			want, kind = refresh.StateRetrying, oauth.ErrTransient
		case clear:
			want = refresh.StateLoginRequired
			f.untilExpired()
		}
		f.inState(t, want)
		_, err := f.TokenContext(t.Context())
		is(t, err, kind)
		if n := len(told.heard()); (n == 1) != (kind == oauth.ErrLoginRequired) {
			t.Errorf("OnRefreshFail was called %d times; want once if a login helps", n)
		}
		if n := f.requests() - before; r.Status < 500 && n > 12 {
			t.Errorf("%d requests in two hours; want a few", n)
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
	for _, r := range oauthtest.Cases().RefreshRefusals {
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

// A login that ended before its first refresh is told like any other; only where the
// client is refused, that never was accepted, somebody has to look at its configuration.
func TestDeadTokenBeforeTheFirstRefreshIsReportedForAPerson(t *testing.T) {
	forEachRefreshRefusal(t, func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config) {
		if r.Status >= 500 || strings.HasSuffix(r.Name, "invalid_grant") {
			return
		}
		var told failures
		f := newFixture(t, server, told.use).start(t)
		f.server.RevokeAll("alice")
		time.Sleep(24 * time.Hour)
		want, kind, words := refresh.StateSuspected, oauth.ErrLoginRequired, "a login helps"
		if strings.Contains(r.Name, "client") {
			want, kind, words = refresh.StateMisconfigured, oauth.ErrMisconfigured, "check "
		}
		f.inState(t, want)
		_, err := f.TokenContext(t.Context())
		is(t, err, kind)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %q does not say %q", err, words)
		}
		if n := f.events.count(refresh.EventMisconfigured) + len(told.heard()); n != 1 {
			t.Errorf("reported %d times in a day; want once", n)
		}
		saysNothingOf(t, r, append(told.heard(), err)...)
		if n := f.requests(); n > 24*7 {
			t.Errorf("%d requests in a day; want some two dozen, or one in ten minutes where somebody has to correct something", n)
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

// Programs that run for a moment share the waiting through the Store: the first one
// says what is going on, one that comes when it has lasted knows.
func TestShortLivedProgramsLearnOfADeadTokenOneAfterAnother(t *testing.T) {
	for name, refreshed := range map[string]bool{"renewed before": true, "never renewed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				silent := slices.IndexFunc(oauthtest.Cases().RefreshRefusals, func(r oauthtest.Refusal) bool { return r.Body == "" })
				f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{DeadRefresh: oauthtest.Cases().RefreshRefusals[silent]}}).start(t)
				if refreshed {
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
				for range 2 {
					err := run()
					is(t, err, oauth.ErrTransient)
					if err == nil || !strings.Contains(err.Error(), "words that do not say why") {
						t.Errorf("the first runs say %v; want what is going on", err)
					}
					time.Sleep(6 * minute)
				}
				is(t, run(), oauth.ErrLoginRequired, refresh.ErrSuspected)
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
