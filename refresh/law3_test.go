package refresh_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// Law 3: callers leave, flights land.

func TestLaw3_SpendRunsUnderItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.RefreshTimeout = 7 * time.Second }).start(t)
		f.server.Script(oauthtest.Fault{Hang: true})
		start := time.Now()
		go f.ForceRefresh(t.Context())
		time.Sleep(7 * time.Second)
		synctest.Wait()
		failed := f.events.of(refresh.EventRefreshFailed)
		if len(failed) != 1 {
			t.Fatalf("%d failures after %v; want 1", len(failed), time.Since(start))
		}
		is(t, failed[0].Err, oauth.ErrTransient, context.DeadlineExceeded)
		time.Sleep(minute)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

func TestLaw3_ForceRefreshThatIsCancelledLandsAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		is(t, f.ForceRefresh(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the caller was kept for %v; want 1 s", took)
		}
		time.Sleep(10 * time.Second)
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the refresh was given up with the wait")
		}
		f.clean(t)
	})
}

func TestLaw3_StopFollowsARefreshThrough(t *testing.T) {
	ends := map[string]func(f *fixture, cancel func()){
		"Stop":                 func(f *fixture, _ func()) { f.Stop() },
		"the context of Start": func(f *fixture, cancel func()) { cancel(); f.Stop() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if err := f.Start(ctx, f.first); err != nil {
					t.Fatal(err)
				}
				f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
				done := make(chan error)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				start := time.Now()
				go end(f, cancel)
				synctest.Wait()
				if f.IsRunning() {
					t.Error("it still says that it runs")
				}
				f.Stop()
				if took := time.Since(start); took != 4*time.Second {
					t.Errorf("the end took %v; want the 4 s that the refresh still needed", took)
				}
				if f.saved(t).RefreshToken == f.first.RefreshToken {
					t.Error("the refresh was cut off")
				}
				if err := <-done; err != nil {
					t.Errorf("who waited for the refresh got %v", err)
				}
				f.clean(t)
			})
		})
	}
}

func TestLaw3_StopBeginsNoRefreshThatWaitedForItsTurn(t *testing.T) {
	for name, edits := range map[string][]func(*refresh.Config){"with locks": nil, "without locks": {withoutLocks}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}, edits...).start(t)
				f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
				first, second := make(chan error), make(chan error)
				go func() {
					_, err := f.Resource("https://api.example").TokenContext(t.Context())
					first <- err
				}()
				time.Sleep(time.Second)
				go func() { second <- f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				go f.Stop()
				if err := <-first; err != nil {
					t.Errorf("the refresh under way: %v", err)
				}
				is(t, <-second, refresh.ErrStopped)
				if n := f.requests(); n != 1 {
					t.Errorf("%d requests; want 1", n)
				}
				f.clean(t)
			})
		})
	}
}

// Law 4: bad news is checked.

func TestLaw4_BadNewsIsCheckedAgainstTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, withoutLocks, told.use).start(t)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		// While our refresh is on its way to be refused, somebody logs in again.
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second, Status: 400, Body: `{"error":"invalid_grant"}`})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		if err := tokenstore.Func(f.store, "default")(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("error %v; want none", err)
		}
		f.serve(t, login)
		synctest.Wait()
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times for a session that is well", n)
		}
		if rec := f.record(t); rec.Dead != nil {
			t.Error("the new login was put in quarantine")
		}
		f.clean(t)
	})
}

func TestLaw4_BadNewsIsCheckedAlsoIfNothingCanBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{NoReuseDetection: true}, told.use, breakAtSpend(s), func(cfg *refresh.Config) { cfg.Store = unlocked{s} }).start(t)
		f.server.Script(oauthtest.Fault{Delay: 2 * time.Second})
		done := make(chan error)
		go func() { done <- f.ForceRefresh(t.Context()) }()
		time.Sleep(time.Second)
		other := *f
		other.store = s.Store // where the disk is not full
		winner := other.renewElsewhere(t)
		if err := <-done; err != nil {
			t.Errorf("error %v; want none", err)
		}
		f.serve(t, winner)
		synctest.Wait()
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times for a session that is well", n)
		}
	})
}

func TestLaw4_VerdictGivesWayToARenewalInTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		s := newFaultyStore()
		f := newFixture(t, oauthtest.Config{}, told.use, s.use).start(t)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		s.edit(func(s *faultyStore) {
			s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
				if rec.Dead == nil {
					return nil
				}
				s.edit(func(s *faultyStore) { s.onSet = nil })
				return tokenstore.Func(s.Store, "default")(context.Background(), login) // just before
			}
		})
		f.server.Script(oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Errorf("error %v; want none", err)
		}
		f.serve(t, login)
		f.inState(t, refresh.StateValid)
		synctest.Wait()
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times for a session that is well", n)
		}
		f.clean(t)
	})
}

// Law 5: unknown is not failed.

func TestLaw5_UnknownOutcomeIsAskedForAgainSoonAndAFewTimes(t *testing.T) {
	unknowns := map[string]oauthtest.Fault{
		"connection reset":    {Reset: true},
		"body cut":            {Status: 200, Body: `{"access_token":"abc","expires_in":900}`, CutBody: true},
		"200 with a web page": {Status: 200, HTML: true},
		"204 without a body":  {Status: 204},
	}
	for name, fault := range unknowns {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				fault.Times = 5
				f.server.Script(fault)
				err := f.ForceRefresh(t.Context())
				is(t, err, oauth.ErrTransient)
				if panicked := new(refresh.PanicError); errors.As(err, &panicked) {
					t.Errorf("error %v", err)
				}
				var at []time.Duration
				spends := f.server.Spends()
				for _, s := range spends {
					at = append(at, s.Arrived.Sub(spends[0].Arrived))
				}
				want := []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second}
				if !slices.Equal(at, want) {
					t.Errorf("sent at %v; want %v", at, want)
				}
				if n := f.events.count(refresh.EventRefreshing); n != 1 {
					t.Errorf("announced %d times; want once, it is one spend", n)
				}
				if rec := f.record(t); !rec.Pending.On(f.first.RefreshToken) {
					t.Error("the mark of a spend with unknown outcome is gone")
				}
				time.Sleep(minute)
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}

func TestLaw5_WhatDidNotArriveIsTriedWithOrdinaryBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(forEver(oauthtest.Fault{Down: true}))
		is(t, f.ForceRefresh(t.Context()), oauth.ErrTransient)
		if n := f.events.count(refresh.EventRefreshFailed); n != 1 {
			t.Errorf("%d attempts by one ForceRefresh; want 1", n)
		}
		if rec := f.record(t); rec.Pending != nil {
			t.Error("a spend that did not arrive is still announced")
		}
		time.Sleep(10 * minute)
		failed := f.events.of(refresh.EventRefreshFailed)
		if n := len(failed); n < 12 || n > 26 {
			t.Errorf("%d attempts in ten minutes; want ever fewer", n)
		}
		for _, e := range failed {
			if wait := e.NextAttempt.Sub(e.Time); wait < backoffLeast || wait > minute {
				t.Errorf("next attempt after %v; want between half a second and a check interval", wait)
			}
		}
		f.server.ClearScript()
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateValid)
		f.clean(t)
	})
}

// backoffLeast is half of the first backoff.
const backoffLeast = 500 * time.Millisecond

func TestLaw5_RetryAfterGoesBeforeTheReplay(t *testing.T) {
	for _, wait := range []time.Duration{20 * time.Second, 10 * minute} {
		t.Run(wait.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempts atomic.Int64
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					next := cfg.OAuthClient
					cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
						if attempts.Add(1) == 1 {
							return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, RetryAt: time.Now().Add(wait)}
						}
						return next.Refresh(ctx, p)
					})
				})
				time.Sleep(time.Hour)
				f.start(t)
				time.Sleep(wait - time.Second)
				synctest.Wait()
				if n := attempts.Load(); n != 1 {
					t.Fatalf("%d attempts before the time the server named; want 1", n)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if n := attempts.Load(); n != 2 {
					t.Errorf("%d attempts after it; want 2", n)
				}
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}
