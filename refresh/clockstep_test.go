package refresh_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

const year = 365 * 24 * time.Hour

// onEverySystem runs a test with each behaviour of monotonic clocks.
func onEverySystem(t *testing.T, test func(t *testing.T, clk *wallClock)) {
	t.Helper()
	for name, mono := range map[string]monotonic{
		"monotonic clock stands still": monoStays, "monotonic clock moves too": monoMoves, "no monotonic clock": monoNone,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newWallClock(t, mono)) })
		})
	}
}

func TestF50_SleepingEightHoursIsNoticedWithinACheckInterval(t *testing.T) {
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk)).start(t)
		time.Sleep(90 * time.Second)
		clk.move(8 * time.Hour)
		time.Sleep(refresh.DefaultCheckInterval)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes a check interval after waking up; want 1", n)
		}
		if !f.GetExpiresAt().After(clk.Now()) {
			t.Error("the token is still the one from before the sleep")
		}
		f.mustCall(t)
		f.served(t)
		f.clean(t)
	})
}

func TestF50_FirstRequestAfterWakingUpHasAFreshToken(t *testing.T) {
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk)).start(t)
		for range 3 {
			time.Sleep(97 * time.Second) // not together with a check
			clk.move(8 * time.Hour)
			if f.GetTokens() == nil || f.GetRefreshStatus().TimeUntilExpiry > 0 || !f.GetRefreshStatus().NeedsRefresh {
				t.Errorf("status after waking up: %+v", f.GetRefreshStatus())
			}
			var callers sync.WaitGroup
			for range 10 {
				callers.Go(func() { f.mustBe(t, http.StatusOK) })
			}
			callers.Wait()
		}
		if n := f.server.Refreshes(); n != 3 {
			t.Errorf("%d refreshes; want one for each time asleep", n)
		}
		f.served(t)
		f.clean(t)
	})
}

// What the server has asked for is over, whichever clock tells.
func TestF50_RetryAfterEndsDuringTheSleep(t *testing.T) {
	onEverySystem(t, func(t *testing.T, clk *wallClock) {
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk)).start(t)
		f.server.Script(oauthtest.Fault{RetryAfter: time.Hour})
		time.Sleep(10 * minute)
		if st := f.GetRefreshStatus(); st.State != refresh.StateRetrying {
			t.Fatalf("%+v", st)
		}
		clk.move(8 * time.Hour)
		f.mustCall(t)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes after waking up; want 1", n)
		}
		f.served(t)
		f.clean(t)
	})
}

// time.Now().Add(life) is how programs write when a token ends. Such a time has a
// monotonic reading, which must not take part in anything.
func TestF50_TimesWithMonotonicReadingCountByTheWall(t *testing.T) {
	lasting := func(clk *wallClock, t *oauth.TokenPair) *oauth.TokenPair {
		t = t.Clone()
		t.IssuedAt, t.ExpiresAt = clk.Now(), clk.Now().Add(oauthtest.DefaultAccessTokenLifetime)
		t.RefreshExpiresAt = clk.Now().Add(oauthtest.DefaultRefreshTokenLifetime)
		return t
	}
	for _, tt := range []struct {
		name  string
		start func(*testing.T, *fixture, *wallClock)
	}{
		{"Start", func(t *testing.T, f *fixture, clk *wallClock) {
			f.first = lasting(clk, f.first)
			f.start(t)
		}},
		{"Start with ExpiresIn", func(t *testing.T, f *fixture, clk *wallClock) {
			f.first = lasting(clk, f.first)
			f.first.ExpiresAt = time.Time{}
			f.start(t)
		}},
		{"UpdateTokens", func(t *testing.T, f *fixture, clk *wallClock) {
			f.start(t)
			if err := f.UpdateTokens(lasting(clk, f.first)); err != nil {
				t.Fatal(err)
			}
		}},
		{"Refresher", func(t *testing.T, f *fixture, _ *wallClock) {
			f.start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := newWallClock(t, monoStays)
				f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk), func(cfg *refresh.Config) {
					client := cfg.OAuthClient
					cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
						next, err := client.Refresh(ctx, t)
						if err != nil {
							return nil, err
						}
						return lasting(clk, next), nil
					})
				})
				tt.start(t, f, clk)
				before := f.server.Refreshes()
				time.Sleep(90 * time.Second)
				clk.move(8 * time.Hour)
				checks := f.events.count(refresh.EventChecked)
				time.Sleep(refresh.DefaultCheckInterval)
				if n := f.server.Refreshes() - before; n != 1 {
					t.Errorf("%d refreshes a check interval after waking up; want 1", n)
				}
				if n := f.events.count(refresh.EventChecked) - checks; n > 5 {
					t.Errorf("%d checks in one check interval: a busy loop", n)
				}
				f.mustCall(t)
				f.served(t)
				f.clean(t)
			})
		})
	}
}

func TestF52_WrongClockDoesNotMatterAndIsShown(t *testing.T) {
	for _, skew := range []time.Duration{10 * minute, -10 * minute, year, -year} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := newWallClock(t, monoStays)
				clk.move(skew)
				f := newFixture(t, oauthtest.Config{}, drivenBy(clk), through(dated))
				f.first.IssuedAt, f.first.ExpiresAt = f.first.IssuedAt.Add(skew), f.first.ExpiresAt.Add(skew)
				f.start(t)
				for range 120 {
					time.Sleep(minute)
					f.mustCall(t)
				}
				// Tokens of 15 minutes, renewed 5 to 5½ minutes before their end.
				if n := f.server.Refreshes(); n < 10 || n > 13 {
					t.Errorf("%d refreshes in two hours; want about 12, as with a right clock", n)
				}
				// The Date header has whole seconds.
				if got := f.GetRefreshStatus().ClockSkew; (got - skew).Abs() > time.Second {
					t.Errorf("status shows a skew of %v; want about %v", got, skew)
				}
				f.served(t)
				f.clean(t)
			})
		})
	}
}

func TestF53_ClockSetBackOneYearFreezesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
		time.Sleep(5 * minute)
		clk.move(-year)
		if left := f.GetRefreshStatus().TimeUntilRefresh; left > 5*minute {
			t.Errorf("the next refresh is %v away; want what was left before the step", left)
		}
		for range 120 {
			time.Sleep(minute)
			f.mustCall(t)
		}
		if n := f.server.Refreshes(); n < 10 || n > 14 {
			t.Errorf("%d refreshes in two hours; want about 12, as with a right clock", n)
		}
		f.served(t)
		f.clean(t)
	})
}

// The program ends, the clock is set back, the program starts again.
func TestF53_ClockSetBackBetweenRunsFreezesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
		f.Stop()
		clk.move(-year)
		again := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(f.server.OAuthConfig()), Store: f.store, Clock: clk})
		if err := again.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer again.Stop()
		time.Sleep(11 * minute)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes in eleven minutes; want 1, as with a right clock", n)
		}
		f.clean(t)
	})
}

// The clock was a year ahead during the last login; now it is right, and the
// person has logged in again.
func TestF53_NewLoginAfterTheClockWasSetBackIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
		f.Stop()
		clk.move(-year)
		login, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		login.IssuedAt, login.ExpiresAt = login.IssuedAt.Add(-year), login.ExpiresAt.Add(-year)
		if err := f.Start(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		if f.GetTokens().AccessToken != login.AccessToken {
			t.Error("the new login was taken for an old one")
		}
		f.clean(t)
	})
}

// A token whose time is over is not good again because the clock says so.
func TestF53_ClockSetBackRevivesNoDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, net := newWallClock(t, monoStays), new(network)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk), through(net.wrap)).start(t)
		net.away.Store(true)
		time.Sleep(20 * minute)
		clk.move(-year)
		if _, err := f.TokenContext(t.Context()); err == nil {
			t.Error("a token that had died was served after the clock was set back")
		}
	})
}

// The wall clock goes a year back while the manager waits for something that it
// wrote down by the clock.
func TestF53_ClockSetBackDuringAnOutageFreezesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, net := newWallClock(t, monoStays), new(network)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk), through(net.wrap)).start(t)
		net.away.Store(true)
		time.Sleep(12 * minute)
		clk.move(-year)
		net.away.Store(false)
		time.Sleep(2 * refresh.DefaultCheckInterval)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes two check intervals after the outage; want 1 (%+v)", n, f.GetRefreshStatus())
		}
		f.mustCall(t)
		f.clean(t)
	})
}

func TestF53_ClockSetBackDoesNotProlongRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
		f.server.Script(oauthtest.Fault{RetryAfter: 10 * minute})
		time.Sleep(10 * minute)
		clk.move(-year)
		time.Sleep(90 * minute) // no server is believed to want more than an hour
		if n := f.server.Refreshes(); n == 0 {
			t.Errorf("no refresh 90 minutes after Retry-After of ten (%+v)", f.GetRefreshStatus())
		}
		f.mustCall(t)
		f.clean(t)
	})
}

// A fullDisk is a store that cannot be written to for a while.
type fullDisk struct {
	tokenstore.Memory
	full atomic.Bool
}

func (s *fullDisk) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if s.full.Load() {
		return 0, errDisk
	}
	return s.Memory.Set(ctx, name, rec)
}

func TestF53_ClockSetBackDoesNotKeepAPairFromBeingSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, disk := newWallClock(t, monoStays), new(fullDisk)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk), func(cfg *refresh.Config) {
			cfg.Store = disk
			client := cfg.OAuthClient
			cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
				disk.full.Store(true) // after the announcement
				return client.Refresh(ctx, t)
			})
		}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		if !f.GetRefreshStatus().Unsaved {
			t.Fatal("the pair was saved on a full disk")
		}
		clk.move(-year)
		disk.full.Store(false)
		time.Sleep(2 * refresh.DefaultCheckInterval)
		if f.saved(t).AccessToken != f.GetTokens().AccessToken {
			t.Error("the pair is still unsaved two check intervals after there was space again")
		}
		f.clean(t)
	})
}

func TestF53_ClockSetBackDoesNotProlongDistrustOfRejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := newWallClock(t, monoStays)
		f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized, Times: 2})
		if status, err := f.call(t); status != http.StatusUnauthorized || err != nil {
			t.Fatalf("%d, %v", status, err)
		}
		clk.move(-year)
		time.Sleep(2 * refresh.DefaultCheckInterval)
		f.server.ExpireAccess("alice")
		f.mustCall(t)
		f.clean(t)
	})
}

func TestNextAttemptIsAWallClockTime(t *testing.T) {
	for name, fault := range map[string]oauthtest.Fault{
		"outage": {Status: http.StatusServiceUnavailable}, "answer lost": {Reset: true},
		"Retry-After": {RetryAfter: minute}, "misconfigured": {Status: http.StatusBadRequest, Body: `{"error":"invalid_scope"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := newWallClock(t, monoStays)
				f := newFixture(t, oauthtest.Config{}, drivenBy(clk)).start(t)
				f.server.Script(fault)
				go func() { _ = f.ForceRefresh(t.Context()) }()
				synctest.Wait()
				times := []time.Time{f.GetRefreshStatus().NextAttempt}
				for _, kind := range []refresh.EventKind{refresh.EventRefreshFailed, refresh.EventMisconfigured} {
					for _, e := range f.events.of(kind) {
						times = append(times, e.NextAttempt)
					}
				}
				for _, next := range times {
					if next.IsZero() || next != next.Round(0) || len(times) != 2 {
						t.Errorf("next attempts %v; want one, in status and event, without a monotonic reading", times)
					}
				}
				time.Sleep(minute)
			})
		})
	}
}

func TestLaw9_EverythingIsJudgedAnewOncePerCheckInterval(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"lively": func(*refresh.Config) {}, "nothing to wait for": unending,
	} {
		if *resting {
			break // a session at rest is judged without an event
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 5 * time.Hour}, edit)
				if name != "lively" {
					f.first.ExpiresIn, f.first.ExpiresAt = 0, time.Time{}
				}
				f.start(t)
				last := time.Now()
				time.Sleep(6 * time.Hour)
				checks := f.events.of(refresh.EventChecked)
				for _, e := range checks {
					if e.Time.Sub(last) > refresh.DefaultCheckInterval {
						t.Fatalf("no check between %v and %v", last, e.Time)
					}
					last = e.Time
				}
				if n := len(checks); time.Since(last) > refresh.DefaultCheckInterval || n > 6*60*2+10 {
					t.Errorf("%d checks in six hours, the last %v ago; want one a minute and hardly more", n, time.Since(last))
				}
				f.clean(t)
			})
		})
	}
}
