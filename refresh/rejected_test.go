package refresh_test

import (
	"context"
	"errors"
	"net/http"
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

// crowd sends n requests at once and returns how many got each status. The
// server answers the first n after a second, so that all carry the same token.
func crowd(t *testing.T, f *fixture, client *http.Client, n int) map[int]int {
	t.Helper()
	f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Times: n, Delay: time.Second})
	var (
		mu     sync.Mutex
		got    = make(map[int]int)
		caller sync.WaitGroup
	)
	for range n {
		caller.Go(func() {
			status, err := fetch(client, f.server.Resource())
			if err != nil {
				t.Errorf("a request failed: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	caller.Wait()
	return got
}

func TestF9_TwentyRejectionsCauseOneRefreshAndTwentyRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second})
		if got := crowd(t, f, client, 20); got[http.StatusOK] != 20 {
			t.Errorf("statuses %v; want 20 times 200", got)
		}
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		if n := len(w.requests()); n != 40 {
			t.Errorf("%d requests; want 20 and 20 retries", n)
		}
		f.clean(t)
	})
}

func TestF9_FailedRefreshReturnsTheRejectionsAndIsNotTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
		if got := crowd(t, f, client, 20); got[http.StatusUnauthorized] != 20 {
			t.Errorf("statuses %v; want the 20 rejections", got)
		}
		time.Sleep(time.Until(f.GetRefreshStatus().NextAttempt) - 1)
		f.mustBe(t, http.StatusUnauthorized)
		if n := f.tokenRequests(); n != 1 {
			t.Errorf("%d refreshes tried before the time for the next; want 1", n)
		}
		const most = 2 * 60 // as for callers without a token
		for range 120 * 2 {
			time.Sleep(500 * time.Millisecond)
			if status := get(t, client, f.server.Resource()); status != http.StatusUnauthorized {
				t.Errorf("status %d; want the rejection", status)
			}
		}
		if n := f.tokenRequests(); n > most {
			t.Errorf("%d refreshes tried in two minutes of rejections; want %d at most", n, most)
		}
		if n := len(w.requests()); n != 20+240 {
			t.Errorf("%d requests; want no retry", n)
		}
		f.server.ClearScript()
		time.Sleep(2 * time.Second)
		f.mustBe(t, http.StatusOK)
		f.clean(t)
	})
}

func TestF10_ServerThatAlwaysRejectsIsAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusUnauthorized)
		if status := get(t, client, "https://api.test/"); status != http.StatusUnauthorized {
			t.Errorf("status %d; want the second 401", status)
		}
		if n, r := len(w.requests()), f.server.Refreshes(); n != 2 || r != 1 {
			t.Errorf("%d requests and %d refreshes; want 2 and 1", n, r)
		}
		if first := w.bodies[0]; !first.closed.Load() || !first.ended.Load() {
			t.Error("the first answer's body was not drained and closed: its connection is lost")
		}

		// The token was not the reason: nothing is gained by another one soon.
		for range 5 {
			time.Sleep(10 * time.Second)
			get(t, client, "https://api.test/")
		}
		if n, r := len(w.requests()), f.server.Refreshes(); n != 7 || r != 1 {
			t.Errorf("%d requests and %d refreshes within a check interval; want 7 and 1", n, r)
		}
		time.Sleep(refresh.DefaultCheckInterval)
		get(t, client, "https://api.test/")
		if r := f.server.Refreshes(); r != 2 {
			t.Errorf("%d refreshes after the check interval; want another", r)
		}
		f.clean(t)
	})
}

func TestDistrustOfRejectionsEndsWithANewLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, _ := f.wired()
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized, Times: 2})
		get(t, client, f.server.Resource())
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(login); err != nil {
			t.Fatal(err)
		}
		f.server.ExpireAccess("alice")
		if status := get(t, client, f.server.Resource()); status != http.StatusOK {
			t.Errorf("status %d; want the new login's token renewed", status)
		}
		f.clean(t)
	})
}

func TestF21_SiblingsAdoptInsteadOfRefreshing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
		var siblings []*http.Client
		for range 4 {
			m := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store})
			if err := m.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Stop)
			siblings = append(siblings, &http.Client{Transport: m.Transport(f.server.Client().Transport)})
		}
		time.Sleep(10 * time.Second)
		for round := 1; round <= 3; round++ {
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, client := range siblings {
				if status := get(t, client, f.server.Resource()); status != http.StatusOK {
					t.Errorf("status %d at a sibling; want 200", status)
				}
			}
			if n := f.server.Refreshes(); n != round {
				t.Errorf("%d refreshes; want %d, as siblings adopt", n, round)
			}
		}
		f.clean(t)
	})
}

// A refresh made the token that this request carried obsolete while it was under
// way. There is no need for another refresh, also when none would be made.
func TestRejectionOfAnOldTokenIsRetriedWithoutARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
		client, w := f.wired()
		for _, distrust := range []bool{false, true} {
			if distrust {
				f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized, Times: 2})
				get(t, client, f.server.Resource())
			}
			requests, refreshes := len(w.requests()), f.server.Refreshes()
			f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Delay: 10 * time.Second})
			var caller sync.WaitGroup
			caller.Go(func() {
				if status, err := fetch(client, f.server.Resource()); status != http.StatusOK || err != nil {
					t.Errorf("%d, %v; want 200", status, err)
				}
			})
			time.Sleep(time.Second)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			caller.Wait()
			requests, refreshes = len(w.requests())-requests, f.server.Refreshes()-refreshes
			if requests != 2 || refreshes != 1 {
				t.Errorf("%d requests and %d refreshes; want 2 and no more than the one", requests, refreshes)
			}
		}
		f.clean(t)
	})
}

func TestF45_InsufficientScopeAsksForMoreScopeAndNeverRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		f := newFixture(t, oauthtest.Config{ResourceScope: "admin"}, func(cfg *refresh.Config) {
			cfg.Treat403AsExpired = true // not even then
			cfg.AllowedOrigins = []string{refresh.AnyOrigin}
			cfg.OnInsufficientScope = func(scope string) { asked = append(asked, scope) }
		}).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusUnauthorized, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="write"`)
		for range 3 {
			if status := get(t, client, f.server.Resource()); status != http.StatusForbidden {
				t.Errorf("status %d; want 403", status)
			}
			if status := get(t, client, "https://api.test/"); status != http.StatusUnauthorized {
				t.Errorf("status %d; want 401", status)
			}
		}
		if got := strings.Join(asked, ","); got != "admin,write" {
			t.Errorf("the hook heard %q; want each scope once", got)
		}
		if n, r := len(w.requests()), f.tokenRequests(); n != 6 || r != 0 {
			t.Errorf("%d requests and %d refreshes; want 6 and none", n, r)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		get(t, client, f.server.Resource())
		if len(asked) != 3 {
			t.Errorf("the hook heard %q; want it again for a new token", asked)
		}
		f.clean(t)
	})
}

func TestPanickingScopeHookHarmsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{ResourceScope: "admin"}, func(cfg *refresh.Config) {
			cfg.OnInsufficientScope = func(string) { panic("hook") }
		}).start(t)
		f.mustBe(t, http.StatusForbidden)
		f.clean(t)
	})
}

// mustBe fails the test unless a request to the resource is answered so.
func (f *fixture) mustBe(t *testing.T, want int) {
	t.Helper()
	if status, err := f.call(t); status != want || err != nil {
		t.Errorf("answered %d, %v; want %d", status, err, want)
	}
}

func TestForbiddenRefreshesOnlyIfConfigured(t *testing.T) {
	for _, tt := range []struct {
		treat     bool
		challenge string
		refreshes int
	}{
		{false, "", 0},
		{false, `Bearer error="invalid_token"`, 0},
		{true, "", 1},
		{true, `Basic realm="x"`, 1},
		{true, `Bearer error="insufficient_scope"`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Treat403AsExpired = tt.treat }).start(t)
			client, w := f.wired()
			w.hosts["api.test"] = answering(http.StatusForbidden, "WWW-Authenticate", tt.challenge)
			if status := get(t, client, "https://api.test/"); status != http.StatusForbidden {
				t.Errorf("status %d; want 403", status)
			}
			if n, r := len(w.requests()), f.tokenRequests(); r != tt.refreshes || n != 1+tt.refreshes {
				t.Errorf("treated %v, challenge %q: %d requests, %d refreshes; want %d refreshes", tt.treat, tt.challenge, n, r, tt.refreshes)
			}
			f.clean(t)
		})
	}
}

// Three servers say 403 when the token is dead; somebody else may have renewed.
func TestForbiddenMakesTheManagerLookAtTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusForbidden)
		time.Sleep(time.Second)
		rec, err := f.store.Get(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		rec.Supersede(&oauth.TokenPair{AccessToken: "newer", RefreshToken: "newer", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		get(t, client, "https://api.test/")
		synctest.Wait()
		if got := f.GetTokens().AccessToken; got != "newer" {
			t.Error("the pair in the store was not adopted after a 403")
		}
	})
}

func TestRejectionsAreUnderstoodWhateverTheChallenge(t *testing.T) {
	for _, challenges := range [][]string{
		nil,
		{`Bearer error="invalid_token"`},
		{`Basic realm="x"`, `Bearer realm="y", error="invalid_token"`},
		{`Bearer realm="never closed`},
		{`error=invalid_token`},
		{`Bearer error="invalid_request"`},
		{``, `,,=`},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			h := http.Header{}
			if challenges != nil {
				h["WWW-Authenticate"] = challenges
			}
			f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized, HTML: true, Header: h})
			f.mustCall(t)
			if n := f.server.Refreshes(); n != 1 {
				t.Errorf("challenges %q: %d refreshes; want 1", challenges, n)
			}
			f.clean(t)
		})
	}
}

// A challenge of another scheme is about other credentials than the token, such as a gateway's.
func TestARejectionByAnotherSchemeCostsNoRefresh(t *testing.T) {
	for _, tt := range []struct {
		challenges []string
		refreshes  int
	}{
		{[]string{`Basic realm="x"`}, 0},
		{[]string{`Negotiate`, `NTLM`}, 0},
		{[]string{`Negotiate YII=, bAsIc realm="x", Digest realm="y", nonce="z"`}, 0},
		{[]string{`Basic realm="x"`, `Bearer realm="y"`}, 1},
		{[]string{`Basic realm="x", bearer`}, 1},
		{[]string{`Basic realm="x", error="invalid_token"`}, 1},
		{[]string{`JWT realm="x"`}, 1},
		{[]string{`Basic realm="x"`, `Token`}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			client, w := f.wired()
			w.hosts["api.test"] = answering(http.StatusUnauthorized, pairs("WWW-Authenticate", tt.challenges)...)
			if status := get(t, client, "https://api.test/"); status != http.StatusUnauthorized {
				t.Errorf("status %d; want 401", status)
			}
			if n, r := len(w.requests()), f.tokenRequests(); r != tt.refreshes || n != 1+tt.refreshes {
				t.Errorf("challenges %q: %d requests, %d refreshes; want %d refreshes", tt.challenges, n, r, tt.refreshes)
			}
			f.clean(t)
		})
	}
}

// pairs are headers of one name.
func pairs(name string, values []string) (headers []string) {
	for _, value := range values {
		headers = append(headers, name, value)
	}
	return headers
}

// But a newer token in the store is tried, and one of which no end is known is renewed: there is
// no other sign.
func TestARejectionByAnotherSchemeMayMeanTheToken(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}).start(t)
			if !ends {
				pair, err := f.server.Login(oauthtest.DefaultUser)
				if err != nil {
					t.Fatal(err)
				}
				pair.ExpiresAt, pair.ExpiresIn = time.Time{}, 0
				if err := f.UpdateTokens(pair); err != nil {
					t.Fatal(err)
				}
			}
			old := "Bearer " + f.GetTokens().AccessToken
			client, w := f.wired()
			w.hosts["api.test"] = func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("Authorization") == old {
					return answering(http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="x"`)(r)
				}
				return answering(http.StatusOK)(r)
			}
			want := 1
			if ends {
				want = 0
				rec, err := f.store.Get(t.Context(), "default")
				if err != nil {
					t.Fatal(err)
				}
				rec.Supersede(&oauth.TokenPair{AccessToken: "newer", RefreshToken: "newer", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
				if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
					t.Fatal(err)
				}
			}
			if status := get(t, client, "https://api.test/"); status != http.StatusOK || f.server.Refreshes() != want {
				t.Errorf("its end is known: %v: HTTP %d after %d refreshes; want 200 and %d", ends, status, f.server.Refreshes(), want)
			}
		})
	}
}

func TestCallerWhoLeavesDuringTheRefreshGetsTheRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, _ := f.wired()
		f.server.ExpireAccess("alice")
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server.Resource(), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		resp, err := client.Do(req)
		if err == nil {
			if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d; want the 401", resp.StatusCode)
			}
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("returned after %v; want when the caller left", waited)
		}
		time.Sleep(minute)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want the one under way to land", n)
		}
		f.clean(t)
	})
}

// The replay needs the session to be shared with others who may log it out.
func TestRejectionAfterALogoutIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		synctest.Wait() // or the first check might notice the logout before the request does
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		rec, err := f.store.Get(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.store.Delete(t.Context(), "default", rec.Version); err != nil && !errors.Is(err, tokenstore.ErrNotFound) {
			t.Fatal(err)
		}
		if status := get(t, client, f.server.Resource()); status != http.StatusUnauthorized || len(w.requests()) != 1 {
			t.Errorf("status %d after %d requests; want the 401", status, len(w.requests()))
		}
		if n := f.tokenRequests(); n != 0 {
			t.Errorf("%d refreshes of a session that was logged out", n)
		}
		f.clean(t)
	})
}

// Distrust is of the tokens of one login. Another process has made a new one.
func TestNewLoginFromTheStoreIsNotDistrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, _ := f.wired()
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: 2})
		if status := get(t, client, f.server.Resource()); status != http.StatusUnauthorized {
			t.Fatalf("status %d; want 401, twice in a row", status)
		}
		login := f.loginElsewhere(t, "alice")
		if err := f.ForceRefresh(t.Context()); err != nil { // finds it
			t.Fatal(err)
		}
		f.serve(t, login)
		f.server.ExpireAccess("alice")
		if status := get(t, client, f.server.Resource()); status != http.StatusOK {
			t.Errorf("the new login's token was rejected for the first time, and the answer is %d; want a refresh and 200", status)
		}
		f.clean(t)
	})
}
