package refresh_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Law 6: an outage is not a logout.

// outages is everything a server, or what stands before it, says and does that
// ends no session, also when it has accepted the refresh token before.
func outages() map[string]oauthtest.Fault {
	return map[string]oauthtest.Fault{
		"500":                         {Status: 500, HTML: true},
		"500 with an error":           {Status: 500, Body: `{"error":"server_error"}`},
		"500 with invalid_grant":      {Status: 500, Body: `{"error":"invalid_grant"}`},
		"502":                         {Status: 502, HTML: true},
		"503":                         {Status: 503},
		"504":                         {Status: 504, HTML: true},
		"408":                         {Status: 408},
		"425":                         {Status: 425},
		"429":                         {Status: 429},
		"429 with invalid_grant":      {Status: 429, Body: `{"error":"invalid_grant"}`},
		"400 temporarily_unavailable": {Status: 400, Body: `{"error":"temporarily_unavailable"}`},
		"400 server_error":            {Status: 400, Body: `{"error":"server_error"}`},
		"400 slow_down":               {Status: 400, Body: `{"error":"slow_down"}`},
		"400 as a web page":           {Status: 400, HTML: true},
		"404 as a web page":           {Status: 404, HTML: true},
		"redirect to a portal":        {Redirect: "https://portal.example/", Status: 302},
		"portal that says 200":        {Status: 200, HTML: true},
		"connection refused":          {Down: true},
		"connection reset":            {Reset: true},
		"no answer":                   {Hang: true},
	}
}

func TestLaw6_OutageIsNotALogout(t *testing.T) {
	for name, fault := range outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told failures
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, told.use, s.use).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				pair := f.GetTokens()
				f.server.Script(forEver(fault))
				time.Sleep(time.Hour)
				want, patience := refresh.StateRetrying, 2*minute
				if fault.Hang {
					patience = 5 * minute // the request that hangs may have to end first
				}
				if fault.Redirect != "" {
					want, patience = refresh.StateMisconfigured, 10*minute // somebody may have to change the address
				}
				if st := f.GetRefreshStatus(); st.State != want || st.LastError == "" {
					t.Errorf("status %+v; want %s, with the reason", st, want)
				}
				_, err := f.TokenContext(t.Context())
				if err == nil || errors.Is(err, oauth.ErrLoginRequired) {
					t.Errorf("error %v; want one that asks for no login", err)
				}
				if rec := f.record(t); rec.Tokens.RefreshToken != pair.RefreshToken || rec.Dead != nil {
					t.Errorf("the store holds %v, dead %v; want the pair left alone", rec, rec.Dead)
				}
				f.server.ClearScript()
				time.Sleep(patience)
				f.inState(t, refresh.StateValid)
				f.serve(t, f.saved(t))
				if n := len(told.heard()); n != 0 {
					t.Errorf("OnRefreshFail was called %d times", n)
				}
				if s.deletes != 0 {
					t.Error("the record was deleted")
				}
				f.clean(t)
			})
		})
	}
}

func TestLaw6_StoreThatIsDownIsNotALogout(t *testing.T) {
	troubles := map[string]func(s *faultyStore){
		"it cannot be read":   func(s *faultyStore) { s.onGet = func(context.Context) error { return errDiskFull } },
		"it hangs":            func(s *faultyStore) { s.onGet = hang },
		"it cannot be locked": func(s *faultyStore) { s.onLock = func(context.Context) error { return errDiskFull } },
	}
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told failures
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, told.use, s.use).start(t)
				s.edit(trouble)
				for range 15 {
					time.Sleep(time.Minute - time.Second)
					f.serve(t, f.first)
				}
				time.Sleep(time.Hour)
				_, err := f.TokenContext(t.Context())
				if err == nil || errors.Is(err, oauth.ErrLoginRequired) {
					t.Errorf("error %v; want one that asks for no login", err)
				}
				s.edit(func(s *faultyStore) { s.onGet, s.onLock = nil, nil })
				time.Sleep(2 * minute)
				f.inState(t, refresh.StateValid)
				if n := len(told.heard()); n != 0 {
					t.Errorf("OnRefreshFail was called %d times", n)
				}
				f.clean(t)
			})
		})
	}
}

// Law 7: a valid token is always served.

func TestLaw7_ValidTokenIsServedWhateverTheRefresherGoesThrough(t *testing.T) {
	server := func(fault oauthtest.Fault) func(*fixture, *faultyStore) {
		return func(f *fixture, _ *faultyStore) { f.server.Script(forEver(fault)) }
	}
	store := func(edit func(*faultyStore)) func(*fixture, *faultyStore) {
		return func(_ *fixture, s *faultyStore) { s.edit(edit) }
	}
	troubles := map[string]func(*fixture, *faultyStore){
		"the server hangs":        server(oauthtest.Fault{Hang: true}),
		"the server is down":      server(oauthtest.Fault{Status: 503}),
		"the server wants peace":  server(oauthtest.Fault{RetryAfter: time.Hour}),
		"answers get lost":        server(oauthtest.Fault{Reset: true}),
		"the client is refused":   server(oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}),
		"the grant is dead":       func(f *fixture, _ *faultyStore) { f.server.RevokeAll("alice") },
		"the store hangs reading": store(func(s *faultyStore) { s.onGet = hang }),
		"the store hangs writing": store(func(s *faultyStore) {
			s.onSet = func(ctx context.Context, _ *tokenstore.Record) error { return hang(ctx) }
		}),
		"the store's lock hangs":    store(func(s *faultyStore) { s.onLock = hang }),
		"the lock is held for ever": func(f *fixture, _ *faultyStore) { f.hold(t) },
		"the manager has stopped":   func(f *fixture, _ *faultyStore) { f.Stop() },
	}
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, s.use).start(t)
				if trouble(f, s); f.IsRunning() {
					go f.ForceRefresh(t.Context())
				}
				for time.Until(f.first.ExpiresAt) > 0 {
					f.serve(t, f.first)
					if tok, err := f.Token(); err != nil || tok.AccessToken != f.first.AccessToken {
						t.Fatalf("Token: %v", err)
					}
					time.Sleep(time.Second)
				}
				s.edit(func(s *faultyStore) { s.onGet, s.onSet, s.onLock = nil, nil, nil })
				f.clean(t)
			})
		})
	}
}

func TestLaw7_CallersOfADeadTokenWaitThroughFailedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		time.Sleep(time.Hour)
		f.server.Script(oauthtest.Fault{Status: 503, Times: 3})
		f.start(t)
		start := time.Now()
		pair, err := f.TokenContext(t.Context())
		if err != nil || pair.AccessToken == f.first.AccessToken {
			t.Errorf("got %v, %v; want the new pair", pair, err)
		}
		if waited := time.Since(start); waited == 0 || waited > 10*time.Second {
			t.Errorf("three failures took %v to overcome", waited)
		}
		f.clean(t)
	})
}

func TestLaw7_CallersOfADeadTokenDoNotPayForABackoffOfOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.CheckInterval = 10 * minute }).start(t)
		f.server.Script(forEver(oauthtest.Fault{Status: 503}))
		time.Sleep(15 * minute) // the token has died, after minutes of an outage
		f.server.ClearScript()  // which is over now
		start := time.Now()
		pair, err := f.TokenContext(t.Context())
		if err != nil || pair.AccessToken == f.first.AccessToken {
			t.Errorf("after %v: %v; want a new pair, the server is well and asked for no peace", time.Since(start), err)
		}
		f.clean(t)
	})
}

func TestLaw7_CallersOfADeadTokenWaitNoLongerThanTheyWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.MaxWait = 10 * time.Second })
		time.Sleep(time.Hour)
		f.server.Script(forEver(oauthtest.Fault{Hang: true}))
		f.start(t)
		for _, wait := range []time.Duration{time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			start := time.Now()
			_, err := f.TokenContext(ctx)
			cancel()
			if wait < 10*time.Second {
				is(t, err, context.DeadlineExceeded)
			} else {
				is(t, err, oauth.ErrTransient)
			}
			if took := time.Since(start); took != min(wait, 10*time.Second) {
				t.Errorf("with %v of patience and 10 s MaxWait the caller waited %v", wait, took)
			}
		}
		start := time.Now()
		_, err := f.Token()
		is(t, err, oauth.ErrTransient)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("Token waited %v; want MaxWait", took)
		}
		f.clean(t)
	})
}

func TestLaw7_CallersOfADeadTokenDoNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use, func(cfg *refresh.Config) { cfg.MaxWait = 10 * time.Second }).start(t)
		s.edit(func(s *faultyStore) { s.onGet = hang })
		f.untilExpired()
		start := time.Now()
		_, err := f.TokenContext(t.Context())
		if err == nil || errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("error %v; want one that asks for no login", err)
		}
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("with 10 s MaxWait the caller waited %v", took)
		}
		s.edit(func(s *faultyStore) { s.onGet = nil })
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestLaw7_StoppedManagerWithADeadTokenSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.Stop()
		f.untilExpired()
		_, err := f.TokenContext(t.Context())
		is(t, err, refresh.ErrStopped)
		if f.GetTokens() == nil {
			t.Error("the pair is gone")
		}
	})
}
