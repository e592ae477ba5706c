package refresh_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// oddAnswers are good answers to a refresh that are not what one expects.
func oddAnswers() map[string]oauthtest.Fault {
	edit := func(change func(fields map[string]any)) oauthtest.Fault {
		return oauthtest.Fault{Grant: "refresh_token", Edit: change}
	}
	return map[string]oauthtest.Fault{
		"nanoseconds":        {ExpiresIn: "900000000000"},
		"overflowing":        {ExpiresIn: "9223372036854775807"},
		"a string":           {ExpiresIn: `"900"`},
		"a float":            {ExpiresIn: `900.7`},
		"rounded down":       {ExpiresIn: `899`},
		"no expires_in":      {ExpiresIn: oauthtest.Missing},
		"no token_type":      edit(func(f map[string]any) { delete(f, "token_type") }),
		"bearer":             edit(func(f map[string]any) { f["token_type"] = "bearer" }),
		"BEARER":             edit(func(f map[string]any) { f["token_type"] = "BEARER" }),
		"no id_token, scope": edit(func(f map[string]any) { delete(f, "id_token"); delete(f, "scope") }),
		"extra fields":       edit(func(f map[string]any) { f["error"], f["not_before_policy"], f["x"] = "", 0, map[string]any{"y": nil} }),
	}
}

// Each answer of the server is odd, the API is picky about the scheme's letters,
// and the session lives through a day with a request every quarter of an hour.
func TestSessionLivesOnOddAnswers(t *testing.T) {
	for name, fault := range oddAnswers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{ExactScheme: true}}, told.use).start(t)
				f.server.Script(forEver(fault))
				for range 6 * 4 {
					time.Sleep(15 * minute)
					f.mustCall(t)
				}
				f.inState(t, refresh.StateValid)
				if n := f.server.Refreshes(); n < 23 || n > 50 {
					t.Errorf("%d refreshes in six hours; want about one for each token", n)
				}
				if f.saved(t).IDToken == "" || f.saved(t).Scope == "" {
					t.Error("what the answer omits is lost")
				}
				if n := len(told.heard()); n != 0 {
					t.Errorf("OnRefreshFail was called %d times", n)
				}
				f.clean(t)
			})
		})
	}
}

func TestSessionLivesOnRefreshTokensOfAnyLength(t *testing.T) {
	for name, server := range map[string]oauthtest.Config{
		"128 characters, with colon and equals signs": {Quirks: oauthtest.Quirks{RefreshTokenLength: 128}},
		"870 characters": {Quirks: oauthtest.Quirks{RefreshTokenLength: 870}},
		"a JWT":          {JWTRefreshTokens: true},
		"64 KiB":         {Quirks: oauthtest.Quirks{RefreshTokenLength: 64 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, server).start(t)
				if n := server.Quirks.RefreshTokenLength; n != 0 && len(f.first.RefreshToken) != n {
					t.Fatalf("a refresh token of %d characters", len(f.first.RefreshToken))
				}
				time.Sleep(2 * time.Hour)
				f.mustCall(t)
				f.clean(t)
			})
		})
	}
}

// A refresh in the second of the login brings the same access token again. That
// the refresh token is new must not be lost for it, nor a rejected request.
func TestByteIdenticalAccessTokenIsARefreshLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{SameSecondSameAccess: true}}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		saved := f.saved(t)
		if saved.AccessToken != f.first.AccessToken || saved.RefreshToken == f.first.RefreshToken {
			t.Fatal("want the same access token with another refresh token in the store")
		}
		if n := f.events.count(refresh.EventRefreshed); n != 1 || f.GetLastRefreshAt().IsZero() {
			t.Errorf("%d refreshes reported, the last at %v", n, f.GetLastRefreshAt())
		}
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized})
		f.mustCall(t) // rejected, renewed to the very same token, accepted
		if n := f.requests(); n != 2 {
			t.Errorf("%d refreshes; want 2", n)
		}
		time.Sleep(2 * time.Hour)
		f.mustCall(t)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// Requests are under way when a refresh ends the token they carry, and the API
// says so with a 401 or a 403. Each comes through with the new token.
func TestRequestsInFlightSurviveARefreshThatEndsTheirToken(t *testing.T) {
	forEachAccessRefusal(t, func(t *testing.T, r oauthtest.Refusal, server oauthtest.Config) {
		server.RevokeOldAccess = true
		f := newFixture(t, server, func(cfg *refresh.Config) { cfg.Treat403AsExpired = r.Status == http.StatusForbidden }).start(t)
		client, _ := f.wired()
		for range 3 {
			done := make(chan map[int]int)
			go func() { done <- crowd(t, f, client, 10) }()
			time.Sleep(500 * time.Millisecond)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := <-done; got[http.StatusOK] != 10 {
				t.Errorf("statuses %v; want 10 times 200", got)
			}
		}
		if n := f.server.Refreshes(); n != 3 {
			t.Errorf("%d refreshes; want the three", n)
		}
		f.clean(t)
	})
}

// An error in a 500 that is not OAuth's, and other trouble in words that look like
// a verdict, are trouble.
func TestErrorsThatAreNotOAuthsAreTrouble(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"500 invalid_grant":          {Status: 500, Body: `{"error":"invalid_grant"}`},
		"500 Internal Server Error":  {Status: 500, Body: `{"statusCode":500,"error":"Internal Server Error"}`},
		"502 web page":               {Status: 502, HTML: true},
		"503 Unsupported Media Type": {Status: 503, Body: `{"error":"Unsupported Media Type"}`},
		"405 web page":               {Status: 405, HTML: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told failures
				f := newFixture(t, oauthtest.Config{}, told.use).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.server.Script(forEver(fault))
				time.Sleep(6 * time.Hour)
				f.inState(t, refresh.StateRetrying)
				f.server.ClearScript()
				time.Sleep(7 * minute) // a sixtieth of what it has lasted, and a moment
				f.inState(t, refresh.StateValid)
				if n := len(told.heard()); n != 0 {
					t.Errorf("OnRefreshFail was called %d times", n)
				}
				f.clean(t)
			})
		})
	}
}
