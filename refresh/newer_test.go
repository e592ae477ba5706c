package refresh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// refusing is an API that refuses dead tokens with a status, in words of its own.
func (f *fixture) refusing(status int) roundTripFunc {
	return func(r *http.Request) (*http.Response, error) {
		asked, err := http.NewRequestWithContext(r.Context(), http.MethodGet, f.server.Resource(), nil)
		if err != nil {
			return nil, err
		}
		asked.Header = r.Header
		resp, err := f.server.Client().Transport.RoundTrip(asked)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			return answering(status)(r)
		}
		return answering(resp.StatusCode)(r)
	}
}

// A sibling has renewed, which ended our token: whatever the API calls that, the request
// goes out once more with the sibling's token, and nothing is spent.
func TestF72_ATokenThatASiblingHasEnded(t *testing.T) {
	rewindable := func() *http.Request {
		req, _ := http.NewRequest(http.MethodPost, "https://api.test/", strings.NewReader("body"))
		return req
	}
	once := func() *http.Request {
		req := rewindable()
		req.GetBody = nil
		return req
	}
	for _, status := range []int{401, 403, 400} {
		for name, tt := range map[string]struct {
			edit     func(*refresh.Config)
			request  func() *http.Request
			requests int
			want     int
		}{
			"a manager":                {request: rewindable, requests: 2, want: 200},
			"one that pauses":          {edit: func(cfg *refresh.Config) { cfg.Renewal = refresh.RenewNever }, request: rewindable, requests: 2, want: 200},
			"one for use":              {edit: func(cfg *refresh.Config) { cfg.Renewal = refresh.RenewOnUse }, request: rewindable, requests: 2, want: 200},
			"a follower":               {edit: func(cfg *refresh.Config) { cfg.Follower, cfg.OAuthClient = true, nil }, request: rewindable, requests: 2, want: 200},
			"without locks":            {edit: withoutLocks, request: rewindable, requests: 2, want: 200},
			"a body that is read once": {request: once, requests: 1, want: status},
		} {
			t.Run(fmt.Sprintf("%d, %s", status, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					owner := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
					edit := tt.edit
					if edit == nil {
						edit = func(*refresh.Config) {}
					}
					f := owner.sibling(t, edit).resume(t)
					synctest.Wait()
					client, w := f.wired()
					w.hosts["api.test"] = f.refusing(status)
					for range 3 {
						time.Sleep(2 * time.Second)
						if err := owner.ForceRefresh(t.Context()); err != nil {
							t.Fatal(err)
						}
						spent, before := owner.tokenRequests(), len(w.requests())
						resp, err := client.Do(tt.request())
						if err != nil {
							t.Fatal(err)
						}
						resp.Body.Close()
						if n := len(w.requests()) - before; resp.StatusCode != tt.want || n != tt.requests {
							t.Errorf("%d after %d requests; want %d after %d", resp.StatusCode, n, tt.want, tt.requests)
						}
						synctest.Wait()
						if n := owner.tokenRequests() - spent; n != 0 {
							t.Errorf("%d refreshes; want none", n)
						}
						f.serve(t, owner.saved(t)) // also for the next request
					}
					owner.clean(t)
				})
			})
		}
	}
}

// The server ends the token when it renews the session, before the answer is there: in
// this process, or in another one that has announced it.
func TestF72_ATokenThatIsBeingRenewed(t *testing.T) {
	for _, status := range []int{401, 403, 400} {
		for _, elsewhere := range []string{"", "a sibling", "a follower"} {
			for _, takes := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond, 10 * time.Second} {
				t.Run(fmt.Sprintf("%d, %s, for %v", status, elsewhere, takes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						owner := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
						f := owner
						switch elsewhere {
						case "a sibling":
							f = owner.sibling(t).resume(t)
						case "a follower":
							f, _ = owner.follow(t)
						}
						synctest.Wait()
						client, w := f.wired()
						w.hosts["api.test"] = f.refusing(status)
						owner.server.Script(oauthtest.Fault{AfterCommit: true, Delay: takes})
						go owner.ForceRefresh(t.Context())
						time.Sleep(100 * time.Millisecond)
						begun := time.Now()
						got := get(t, client, "https://api.test/")
						waited, want := time.Since(begun), status
						if takes < 2*time.Second || status == 401 && elsewhere != "a follower" { // which waits as a caller does
							want = http.StatusOK
						}
						if got != want || len(w.requests()) > 2 {
							t.Errorf("%d after %d requests; want %d", got, len(w.requests()), want)
						}
						if (status != 401 || elsewhere == "a follower") && waited > 2*time.Second {
							t.Errorf("it waited %v", waited)
						}
						time.Sleep(minute)
						if n := owner.tokenRequests(); n != 1 {
							t.Errorf("%d refreshes; want 1", n)
						}
						owner.clean(t)
					})
				})
			}
		}
	}
}

// An API that refuses for reasons of its own costs no request more, no refresh and no
// wait, also in an outage in which an announced renewal has failed.
func TestF72_ARefusalForOtherReasonsCostsNothing(t *testing.T) {
	for _, status := range []int{403, 400} {
		for _, outage := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, outage %v", status, outage), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newFaultyStore()
					f := newFixture(t, oauthtest.Config{}, s.use).start(t)
					if outage {
						f.server.Script(forEver(oauthtest.Fault{Reset: true}))
						go f.ForceRefresh(t.Context())
						time.Sleep(20 * time.Second)
						for time.Until(f.GetRefreshStatus().NextAttempt) < 5*time.Second {
							time.Sleep(time.Second) // or an attempt falls into what follows
						}
					}
					client, w := f.wired()
					w.hosts["api.test"] = answering(status)
					spent, begun := f.tokenRequests(), time.Now()
					for range 20 {
						if got := get(t, client, "https://api.test/"); got != status {
							t.Errorf("%d; want %d", got, status)
						}
					}
					if took := time.Since(begun); took != 0 {
						t.Errorf("it took %v", took)
					}
					if n, r := len(w.requests()), f.tokenRequests()-spent; n != 20 || r != 0 {
						t.Errorf("%d requests, %d refreshes; want 20, 0", n, r)
					}
					s.edit(func(s *faultyStore) { s.onGet = hang })
					begun = time.Now()
					get(t, client, "https://api.test/")
					if took := time.Since(begun); took > 2*time.Second {
						t.Errorf("with a store that hangs it took %v", took)
					}
				})
			})
		}
	}
}

// A fresh token was rejected, so for a while no rejection leads to a refresh; but a
// token that a sibling brings meanwhile is taken.
func TestF72_ASiblingsTokenIsTakenAlsoWhileRejectionsAreDistrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
		f := owner.sibling(t).resume(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(401)
		get(t, client, "https://api.test/") // renews, and is rejected again
		w.hosts["api.test"] = f.refusing(401)
		for range 2 { // the first finds that its sibling has renewed
			time.Sleep(2 * time.Second)
			if err := owner.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		spent := owner.tokenRequests()
		if got := get(t, client, "https://api.test/"); got != http.StatusOK {
			t.Errorf("%d; want 200", got)
		}
		if n := owner.tokenRequests() - spent; n != 0 {
			t.Errorf("%d refreshes; want none", n)
		}
	})
}

// What does not end a token does not lead to a look, and a newer token that is refused
// as well is not a reason for a third request.
func TestF72_AtMostTwoRequests(t *testing.T) {
	for _, tt := range []struct {
		status    int
		challenge string
		requests  int
	}{{403, "", 2}, {400, "", 2}, {403, `Bearer error="insufficient_scope"`, 1}, {404, "", 1}, {500, "", 1}} {
		synctest.Test(t, func(t *testing.T) {
			owner := newFixture(t, oauthtest.Config{}).start(t)
			f := owner.sibling(t).resume(t)
			synctest.Wait()
			client, w := f.wired()
			w.hosts["api.test"] = answering(tt.status, "WWW-Authenticate", tt.challenge)
			time.Sleep(2 * time.Second)
			if err := owner.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := get(t, client, "https://api.test/"); got != tt.status || len(w.requests()) != tt.requests {
				t.Errorf("%d after %d requests; want %d after %d", got, len(w.requests()), tt.status, tt.requests)
			}
			if n := owner.tokenRequests(); n != 1 {
				t.Errorf("%d refreshes; want the owner's", n)
			}
		})
	}
}

// A resource's token is renewed by another caller of this process.
func TestF72_AResourcesTokenThatIsBeingRenewed(t *testing.T) {
	const api = "https://api.test"
	for _, status := range []int{401, 403, 400} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{RevokeOldAccess: true}).start(t)
			resource := f.Resource(api)
			first, err := resource.TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w := &wire{base: f.server.Client().Transport, hosts: map[string]roundTripFunc{"api.test": func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.Header.Get("Authorization"), first.AccessToken) {
					return answering(status)(r)
				}
				return answering(200)(r)
			}}}
			client := &http.Client{Transport: resource.Transport(w)}
			time.Sleep(time.Until(first.ExpiresAt) - minute) // due, and so renewed behind a caller's back
			f.server.Script(oauthtest.Fault{AfterCommit: true, Delay: time.Second})
			if _, err := resource.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			spent := f.tokenRequests()
			if got := get(t, client, "https://api.test/"); got != http.StatusOK {
				t.Errorf("%d: %d; want 200", status, got)
			}
			if n := f.tokenRequests() - spent; n > 1 {
				t.Errorf("%d refreshes more", n)
			}
		})
	}
}

// A mark that its process has left behind is not a renewal that has just begun.
func TestF72_AnOldMarkIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{}).start(t)
		owner.Stop()
		f, _ := owner.follow(t)
		rec := owner.record(t)
		rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: time.Now()}
		if _, err := owner.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		client, w := f.wired()
		w.hosts["api.test"] = answering(400)
		begun := time.Now()
		get(t, client, "https://api.test/")
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A newer token that is rejected, after a look alone, may be renewed by the next request.
func TestF72_ALookIsNoReasonForDistrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := newFixture(t, oauthtest.Config{}).start(t)
		f := owner.sibling(t).resume(t)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if err := owner.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		client, w := f.wired()
		statuses := []int{403, 401, 401, 200}
		w.hosts["api.test"] = func(r *http.Request) (*http.Response, error) {
			status := statuses[0]
			statuses = statuses[1:]
			return answering(status)(r)
		}
		if got := get(t, client, "https://api.test/"); got != 401 {
			t.Errorf("%d; want 401", got)
		}
		if got := get(t, client, "https://api.test/"); got != 200 {
			t.Errorf("%d; want 200", got)
		}
		if n := owner.tokenRequests(); n != 2 {
			t.Errorf("%d refreshes; want the owner's and one for the rejection", n)
		}
	})
}
