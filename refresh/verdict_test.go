package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// This file is about when a session counts as ended, and how it comes back.

// Dead refresh tokens as servers announce them in words that decide nothing.
func mumblings() map[string]oauthtest.Fault {
	return map[string]oauthtest.Fault{
		"400 with an empty body":  {Status: 400},
		"400 with JSON":           {Status: 400, Body: `{"message":"no"}`},
		"400 invalid_request":     {Status: 400, Body: `{"error":"invalid_request"}`},
		"400 unauthorized_client": {Status: 400, Body: `{"error":"unauthorized_client"}`},
		"401 invalid_client":      {Status: 401, Body: `{"error":"invalid_client"}`},
		"401 with another JSON":   {Status: 401, Body: `{"code":16,"message":"unauthenticated"}`},
		"403 with JSON":           {Status: 403, Body: `{"error":"access_denied"}`},
		"404 as plain text":       {Status: 404, Body: `gone`, Header: http.Header{"Content-Type": {"text/plain"}}},
	}
}

// unsettled fails the test if the session is in another state than one that goes on
// without anybody having been told.
func (f *fixture) unsettled(t *testing.T) {
	t.Helper()
	if st := f.GetRefreshStatus(); st.State != refresh.StateRetrying && st.State != refresh.StateMisconfigured {
		t.Errorf("state %q (%s); want one that goes on", st.State, st.LastError)
	}
}

func TestRefusalIsFirstTransientAndThenASuspicionThatASuccessLifts(t *testing.T) {
	for name, fault := range mumblings() {
		if strings.Contains(name, "client") {
			continue
		}
		for when, refreshed := range map[string]bool{"renewed before": true, "never renewed": false} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told failures
					f := newFixture(t, oauthtest.Config{}, told.use).start(t)
					if refreshed {
						if err := f.ForceRefresh(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					f.server.Script(forEver(fault))
					f.untilDue()
					pair := f.GetTokens()
					for range 9 { // until ten minutes after the first refusal
						time.Sleep(minute)
						f.inState(t, refresh.StateRetrying)
					}
					for _, e := range f.events.of(refresh.EventRefreshFailed) {
						is(t, e.Err, oauth.ErrTransient)
					}
					if n := len(told.heard()); n != 0 {
						t.Errorf("OnRefreshFail was called %d times within nine minutes", n)
					}
					time.Sleep(12 * time.Hour)
					f.inState(t, refresh.StateSuspected)
					if heard := told.heard(); len(heard) != 1 {
						t.Errorf("OnRefreshFail was called %d times; want once", len(heard))
					} else {
						is(t, heard[0], oauth.ErrLoginRequired, refresh.ErrSuspected)
					}
					if n := f.requests(); n > 24 {
						t.Errorf("%d requests in twelve hours; want a falling rate", n)
					}
					if rec := f.record(t); rec.Dead != nil || rec.Tokens.RefreshToken != pair.RefreshToken {
						t.Errorf("the store holds %v with dead mark %v; want the pair, and no verdict", rec, rec.Dead)
					}
					f.server.ClearScript()
					time.Sleep(time.Hour)
					f.inState(t, refresh.StateValid)
					if n := f.events.count(refresh.EventRecovered); n != 1 {
						t.Errorf("EventRecovered came %d times; want once", n)
					}
					f.clean(t)
				})
			})
		}
	}
}

// A client that never was accepted is a matter of its configuration, however long it
// is refused; what was accepted before may also be a session that has ended.
func TestRefusedClientIsMisconfiguredAndKeepsItsSession(t *testing.T) {
	for name, fault := range mumblings() {
		if !strings.Contains(name, "client") {
			continue
		}
		for when, refreshed := range map[string]bool{"renewed before": true, "never renewed": false} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var told failures
					f := newFixture(t, oauthtest.Config{}, told.use).start(t)
					if refreshed {
						if err := f.ForceRefresh(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					f.server.Script(forEver(fault))
					f.untilDue()
					time.Sleep(50 * minute)
					f.inState(t, refresh.StateMisconfigured)
					if n, e := len(told.heard()), f.events.count(refresh.EventMisconfigured); n != 0 || e != 1 {
						t.Errorf("OnRefreshFail was called %d times, EventMisconfigured came %d times; want 0 and 1", n, e)
					}
					time.Sleep(3 * time.Hour)
					if n := len(told.heard()); (n == 1) != refreshed {
						t.Errorf("OnRefreshFail was called %d times after hours", n)
					}
					f.server.ClearScript()
					time.Sleep(time.Hour)
					f.inState(t, refresh.StateValid)
					f.clean(t)
				})
			})
		}
	}
}

func TestRefusalUnderAnotherConfigurationIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Stop()
		client := f.server.OAuthConfig()
		client.ClientID = "mistyped"
		next := f.sibling(t, told.use, func(cfg *refresh.Config) { cfg.OAuthClient = oauth.NewClient(client) }).resume(t)
		is(t, next.ForceRefresh(t.Context()), oauth.ErrMisconfigured)
		time.Sleep(2 * time.Hour)
		next.inState(t, refresh.StateMisconfigured)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		next.Stop()
		f.resume(t) // with the right configuration nothing was lost
		time.Sleep(11 * minute)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestRefusalThatPassesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		refusal := oauthtest.Fault{Status: 400}
		for range 5 { // each time one refusal, hours apart
			f.server.Script(refusal)
			is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
			time.Sleep(time.Hour)
			f.inState(t, refresh.StateValid)
		}
		if rec := f.record(t); rec.Refused != nil {
			t.Errorf("the mark is still there: %v", rec.Refused)
		}
		f.clean(t)
	})
}

func TestVerdictIsLiftedByALaterSuccessElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.server.Script(forEver(oauthtest.Fault{Status: 400}))
		time.Sleep(2 * time.Hour)
		f.inState(t, refresh.StateSuspected)
		f.server.ClearScript()
		next := f.renewElsewhere(t)
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		f.serve(t, next)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestVerdictIsNotAReasonToWithholdALivingToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		f.serve(t, f.first)
		f.untilExpired()
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired)
		f.clean(t)
	})
}

func TestReauthenticateRevivesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		var f *fixture
		f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(err error) bool { return errors.Is(err, oauth.ErrLoginRequired) }
			cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) {
				logins++
				time.Sleep(10 * time.Second) // people need a moment
				return f.server.Login("alice")
			}
		}).start(t)
		for range 3 { // also the next time that a grant dies
			f.server.RevokeAll("alice")
			is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
			time.Sleep(11 * time.Second)
			f.inState(t, refresh.StateValid)
			f.serve(t, f.saved(t))
		}
		if logins != 3 {
			t.Errorf("%d logins; want 3", logins)
		}
		f.clean(t)
	})
}

func TestReauthenticateThatFailsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := errors.New("nobody there")
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { return true }
			cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) { return nil, refusal }
		}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		time.Sleep(time.Hour)
		failed := f.events.of(refresh.EventReauthenticateFailed)
		if len(failed) != 1 {
			t.Fatalf("%d events; want 1", len(failed))
		}
		is(t, failed[0].Err, refusal)
		f.inState(t, refresh.StateLoginRequired)
		f.clean(t)
	})
}

func TestReauthenticateEndsWithTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { return true }
			cfg.Reauthenticate = func(ctx context.Context) (*oauth.TokenPair, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		start := time.Now()
		f.Stop() // does not wait for it
		synctest.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("Stop took %v", took)
		}
		if n := f.events.count(refresh.EventReauthenticateFailed); n != 1 {
			t.Errorf("the login was not ended: %d events", n)
		}
		f.clean(t)
	})
}

func TestOnRefreshFailMayCallAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool {
				_ = f.GetRefreshStatus()
				_ = f.ForceRefresh(context.Background())
				f.Stop()
				return false
			}
		}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		time.Sleep(time.Second)
		if f.IsRunning() {
			t.Error("Stop in OnRefreshFail has no effect")
		}
		f.clean(t)
	})
}

func TestUpdateTokensRevivesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.RevokeAll("alice")
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
		f.untilExpired()
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTokens(login); err != nil {
			t.Fatal(err)
		}
		f.inState(t, refresh.StateValid)
		f.serve(t, login)
		if rec := f.record(t); rec.Dead != nil || rec.Tokens.RefreshToken != login.RefreshToken {
			t.Errorf("the store holds %v, dead %v", rec, rec.Dead)
		}
		time.Sleep(24 * time.Hour)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestSessionWithoutARefreshTokenEndsWithItsAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use, func(cfg *refresh.Config) {
			cfg.OAuthClient = refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				t.Error("asked to refresh a pair without a refresh token")
				return nil, errors.New("no")
			})
		})
		f.first.RefreshToken = ""
		f.start(t)
		time.Sleep(15*minute - time.Second)
		f.serve(t, f.first)
		time.Sleep(time.Hour)
		_, err := f.TokenContext(t.Context())
		is(t, err, oauth.ErrLoginRequired, oauth.ErrRefreshTokenRequired)
		if n := len(told.heard()); n != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once", n)
		}
		if n := f.requests(); n != 0 {
			t.Errorf("%d requests; want none", n)
		}
		f.clean(t)
	})
}

func TestDeadGrantIsQuarantinedWithItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, s.use).start(t)
		f.server.Script(oauthtest.Fault{Status: 401, Body: `{"error":"TOKEN_REUSED"}`})
		is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired, oauth.ErrTokenReused)
		rec := f.record(t)
		if !rec.Dead.On(f.first.RefreshToken) || rec.Dead.Code != "TOKEN_REUSED" || rec.Tokens.AccessToken != f.first.AccessToken {
			t.Errorf("the store holds %v, dead %v; want the pair, marked", rec, rec.Dead)
		}
		if rec.Pending != nil {
			t.Error("the spend is still announced")
		}
		if s.deletes != 0 {
			t.Error("the record was deleted")
		}
		next := f.sibling(t).resume(t)
		is(t, next.ForceRefresh(t.Context()), oauth.ErrLoginRequired, oauth.ErrTokenReused)
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
	})
}

func TestMarkOfADeadTokenDoesNotStickToItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		rec := &tokenstore.Record{Tokens: f.first, Dead: &tokenstore.Mark{Token: tokenstore.Fingerprint("another"), At: time.Now()}}
		if _, err := f.store.Set(t.Context(), "default", rec); err != nil {
			t.Fatal(err)
		}
		f.resume(t)
		f.inState(t, refresh.StateValid)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		f.clean(t)
	})
}

func TestLaw4_VerdictIsNotBelievedBeforeTheStoreCouldBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, told := newFaultyStore(), new(failures)
		f := newFixture(t, oauthtest.Config{}, s.use, told.use).start(t)
		f.server.RevokeAll("alice")
		f.server.Script(oauthtest.Fault{Delay: time.Second})
		go func() { // the Store fails while the token is on its way
			time.Sleep(500 * time.Millisecond)
			s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return errDiskFull } })
		}()
		err := f.ForceRefresh(t.Context())
		is(t, err, oauth.ErrTransient)
		f.inState(t, refresh.StateRetrying)
		time.Sleep(3 * minute)
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times for a verdict that could not be checked", n)
		}
		s.edit(func(s *faultyStore) { s.onGet = nil })
		time.Sleep(2 * minute)
		f.inState(t, refresh.StateLoginRequired)
		if n := len(told.heard()); n != 1 {
			t.Errorf("OnRefreshFail was called %d times; want once, after the check", n)
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%d requests; want 1: a refused token is not spent again", n)
		}
		f.clean(t)
	})
}
