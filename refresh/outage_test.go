package refresh_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// forEver is a fault for all token requests to come.
func forEver(fault oauthtest.Fault) oauthtest.Fault {
	fault.Times = -1
	return fault
}

func TestF37_ServerIsDownForTwoMinutesWhileTheTokenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		f.server.Script(forEver(oauthtest.Fault{Status: 503, HTML: true}))
		f.untilDue()
		for range 120 {
			time.Sleep(time.Second)
			f.serve(t, f.first)
		}
		f.inState(t, refresh.StateRetrying)
		if n := f.requests(); n < 5 || n > 15 {
			t.Errorf("%d requests in two minutes; want a few, ever further apart", n)
		}
		f.server.ClearScript()
		time.Sleep(minute)
		f.inState(t, refresh.StateValid)
		if f.GetTokens().AccessToken == f.first.AccessToken {
			t.Error("the session did not recover by itself")
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("an outage asked for a login %d times", n)
		}
		f.clean(t)
	})
}

func TestF37_ServerIsDownForTwoMinutesWhenTheTokenDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use)
		time.Sleep(time.Hour)
		f.server.Script(forEver(oauthtest.Fault{Status: 503, HTML: true}))
		f.start(t)
		start := time.Now()
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		if strings.Contains(err.Error(), "html") || strings.Contains(err.Error(), "Something") {
			t.Errorf("the error quotes the page: %v", err)
		}
		if waited := time.Since(start); waited > refreshWait {
			t.Errorf("the caller waited %v; want at most MaxWait", waited)
		}
		time.Sleep(2*minute - time.Since(start))
		f.server.ClearScript()
		time.Sleep(minute)
		synctest.Wait() // a refresh may be due in this very moment
		f.serve(t, f.GetTokens())
		f.inState(t, refresh.StateValid)
		if n := len(told.heard()); n != 0 {
			t.Errorf("an outage asked for a login %d times", n)
		}
		f.clean(t)
	})
}

func TestF38_RetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 3 * time.Hour}).start(t)
		f.server.Script(oauthtest.Fault{RetryAfter: time.Hour})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		f.serve(t, f.first)
		for range 59 {
			time.Sleep(minute)
			is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests within the hour; want 1", n)
		}
		time.Sleep(time.Minute)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("after the hour: %v", err)
		}
		f.clean(t)
	})
}

func TestF38_RetryAfterBoundsTheWaitOfCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour)
		f.server.Script(oauthtest.Fault{RetryAfter: time.Hour})
		f.start(t)
		synctest.Wait()
		start := time.Now()
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the caller waited %v for what could not come", waited)
		}
		time.Sleep(59 * minute)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests within the hour; want 1", n)
		}
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestF38_RetryAfterIsRememberedForANewProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{RetryAfter: time.Hour})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		f.Stop()
		time.Sleep(20 * minute) // the access token is dead

		var mu sync.Mutex
		checks := 0
		next := f.sibling(t, func(cfg *refresh.Config) {
			cfg.OnEvent = func(e refresh.Event) {
				mu.Lock()
				defer mu.Unlock()
				if checks++; checks == 1000 {
					t.Error("the manager runs in circles instead of waiting")
				}
				if checks >= 1000 {
					time.Sleep(time.Second) // let time pass, so that the test ends
				}
			}
		}).resume(t)
		_, err := next.TokenContext(t.Context())
		is(t, err, oauth.ErrTransient)
		time.Sleep(39 * minute)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests within the hour; want 1", n)
		}
		time.Sleep(3 * minute)
		next.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// A Retry-After of a 429 is the matter of the session that got it, also where others have
// the same client.
func TestF85_RetryAfterOfOneSessionDoesNotConcernAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Users: map[string]string{"alice": "a", "bob": "b"}})
		client := oauth.NewClient(f.server.OAuthConfig())
		alice := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient, cfg.Session = client, "alice" }).start(t)
		bob := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient, cfg.Session = client, "bob" })
		var err error
		if bob.first, err = f.server.Login("bob"); err != nil {
			t.Fatal(err)
		}
		bob.start(t)
		f.server.Script(oauthtest.Fault{RetryAfter: 5 * minute})
		is(t, alice.ForceRefresh(t.Context()), oauth.ErrTransient)
		if err := bob.ForceRefresh(t.Context()); err != nil {
			t.Errorf("another session of the client: %v", err)
		}
		is(t, alice.ForceRefresh(t.Context()), oauth.ErrTransient)
		if n := f.requests(); n != 2 {
			t.Errorf("%d requests; want 2: alice has to wait", n)
		}
		time.Sleep(5*minute + time.Second)
		if err := alice.ForceRefresh(t.Context()); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		f.clean(t)
	})
}

func TestF39_ForbiddenByAPortalIsNoVerdict(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 511} {
		synctest.Test(t, func(t *testing.T) {
			var told failures
			f := newFixture(t, oauthtest.Config{}, told.use).start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err) // with earlier success, refusals would count
			}
			f.server.Script(forEver(oauthtest.Fault{Status: status, HTML: true}))
			time.Sleep(2 * time.Hour)
			f.inState(t, refresh.StateRetrying)
			if n := len(told.heard()); n != 0 {
				t.Errorf("HTTP %d with a web page asked for a login", status)
			}
			f.server.ClearScript()
			time.Sleep(2 * minute)
			f.inState(t, refresh.StateValid)
			f.clean(t)
		})
	}
}

func TestF40_DeadRefreshTokenIsSpentOnceAndReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		f.server.RevokeAll("alice")
		time.Sleep(24 * time.Hour)
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired)
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests in a day; want 1", n)
		}
		if heard := told.heard(); len(heard) != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once", len(heard))
		} else {
			is(t, heard[0], oauth.ErrLoginRequired)
		}
		if n := f.events.count(refresh.EventLoginRequired); n != 1 {
			t.Errorf("%d events; want 1", n)
		}
		f.inState(t, refresh.StateLoginRequired)

		f.Stop()
		f.start(t) // the same program once more
		time.Sleep(time.Hour)
		if n := len(told.heard()); n != 1 {
			t.Errorf("after a restart OnRefreshFail has been called %d times; want still once", n)
		}

		var toldNext failures
		next := f.sibling(t, told.use, toldNext.use).resume(t) // another process
		time.Sleep(time.Hour)
		_, err = next.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired)
		if n := len(toldNext.heard()); n != 1 {
			t.Errorf("in a new process OnRefreshFail was called %d times; want once", n)
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1: the verdict is known", n)
		}
		f.clean(t)
	})
}

func TestF40_DeadRefreshTokenIsForgottenWhenTheStoreChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		other := f.sibling(t)
		if err := other.Start(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		f.serve(t, login)
		f.clean(t)
	})
}

func TestF40_DeadRefreshTokenIsNotReportedAgainWhenACopyOfItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		dead := f.record(t)
		time.Sleep(time.Second)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range []*tokenstore.Record{{Tokens: login}, dead} {
			pair.Version = f.record(t).Version
			if _, err := f.store.Set(t.Context(), "default", pair); err != nil {
				t.Fatal(err)
			}
			time.Sleep(minute + time.Second)
		}
		if n := len(told.heard()); n != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once", n)
		}
		f.clean(t)
	})
}

func TestF41_RefusedBasicAuthenticationIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		server := oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "tool", Secret: "s3cret", AuthMethod: "client_secret_post"}}}
		f := newFixture(t, server, told.use)
		client := f.server.OAuthConfig()
		client.ClientID, client.ClientSecret = "tool", "s3cret" // Basic by default
		m := f.sibling(t, told.use, func(cfg *refresh.Config) { cfg.OAuthClient = oauth.NewClient(client) }).start(t)
		err := m.ForceRefresh(t.Context())
		is(t, err, oauth.ErrMisconfigured)
		if err == nil || !strings.Contains(err.Error(), "ClientAuth") {
			t.Errorf("error %v; want one with a hint", err)
		}
		time.Sleep(9 * minute)
		if n := m.requests(); n > 5 {
			t.Errorf("%d requests; want a few, ever more rarely", n)
		}
		m.inState(t, refresh.StateMisconfigured)
		m.untilExpired()
		start := time.Now()
		_, err = m.TokenContext(t.Context())
		is(t, err, oauth.ErrMisconfigured)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the caller waited %v; waiting cannot help", waited)
		}
		time.Sleep(3 * time.Hour)
		if n := m.requests(); n < 3 || n > 30 {
			t.Errorf("%d requests in three hours; want one now and then", n)
		}
		if n := m.events.count(refresh.EventMisconfigured); n != 1 {
			t.Errorf("reported %d times; want once", n)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times; a login does not help", n)
		}
		if m.saved(t).RefreshToken != f.first.RefreshToken {
			t.Error("the pair is gone")
		}
		m.clean(t)
	})
}

func TestF42_RedirectOfTheTokenEndpointIsNotFollowed(t *testing.T) {
	for _, status := range []int{302, 303, 307, 308} {
		before := status%2 == 0 // with and without an earlier success
		synctest.Test(t, func(t *testing.T) {
			var told failures
			var mu sync.Mutex
			var hosts []string
			f := newFixture(t, oauthtest.Config{}, told.use)
			client := onWire(f.server, func(r *http.Request, _ url.Values) {
				mu.Lock()
				defer mu.Unlock()
				hosts = append(hosts, r.URL.Host)
			})
			m := f.sibling(t, told.use, func(cfg *refresh.Config) { cfg.OAuthClient = client }).start(t)
			if before {
				if err := m.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			f.server.Script(forEver(oauthtest.Fault{Redirect: "https://elsewhere.example/token", Status: status}))
			is(t, m.ForceRefresh(t.Context()), oauth.ErrMisconfigured)
			time.Sleep(time.Hour)
			mu.Lock()
			for _, host := range hosts {
				if strings.Contains(host, "elsewhere") {
					t.Error("another host saw the refresh token")
				}
			}
			mu.Unlock()
			if n := len(told.heard()); n != 0 {
				t.Errorf("a redirect asked for a login")
			}
			f.server.ClearScript()
			time.Sleep(11 * minute)
			m.inState(t, refresh.StateValid)
			m.clean(t)
		})
	}
}

func TestScopeThatIsSeparatedOtherwiseIsNotReduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		f.server.Script(oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) {
			fields["scope"] = strings.ReplaceAll(fields["scope"].(string), " ", ",")
		}})
		m := f.sibling(t).start(t)
		if err := m.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if scope := m.GetTokens().Scope; !strings.Contains(scope, ",") || m.events.count(refresh.EventScopeReduced) != 0 {
			t.Errorf("the scope %q counts as reduced", scope)
		}
	})
}

func TestF44_ScopeShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{ReduceScope: "profile"})
		var mu sync.Mutex
		var forms []url.Values
		client := onWire(f.server, func(_ *http.Request, form url.Values) {
			mu.Lock()
			defer mu.Unlock()
			forms = append(forms, form)
		})
		m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = client }).start(t)
		for range 3 {
			if err := m.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := m.events.count(refresh.EventScopeReduced); n != 1 {
			t.Errorf("%d events; want 1", n)
		}
		if got := m.GetTokens().Scope; got != "profile" {
			t.Errorf("the token's scope is said to be %q; want what the server said", got)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, form := range forms {
			if form.Has("scope") {
				t.Errorf("a refresh asked for scope %q, which narrows the grant for good", form.Get("scope"))
			}
		}
		m.clean(t)
	})
}
