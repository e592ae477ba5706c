package refresh_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func TestF46_ShortTokensAreRefreshedOncePerHalfLifeAtMost(t *testing.T) {
	for _, life := range []time.Duration{5 * time.Second, minute, 5 * minute} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: life}).start(t)
				const lives = 20
				for range lives * 7 {
					time.Sleep(life / 7)
					f.mustCall(t)
				}
				if n := f.server.Refreshes(); n < lives || n > 2*lives {
					t.Errorf("%d refreshes in %d lives; want between one and two for each", n, lives)
				}
				f.served(t)
				f.clean(t)
			})
		})
	}
}

// Most programs that keep tokens themselves did not keep when they were issued.
func TestF46_ShortTokenWithoutIssueTimeIsRefreshedOnceAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: minute})
		f.first.IssuedAt = time.Time{}
		f.start(t)
		time.Sleep(time.Second)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes at once; want 1, as the threshold alone decides", n)
		}
		time.Sleep(30 * time.Second)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want no more before two thirds of the life", n)
		}
		f.clean(t)
	})
}

func TestF47_OddLifetimesHaveDefinedMeaning(t *testing.T) {
	const hint = 15 * minute // exp − iat of the server's access tokens
	for _, tt := range []struct {
		expiresIn string
		life      time.Duration
	}{
		{oauthtest.Missing, hint},
		{`3600`, time.Hour},
		{`"3600"`, time.Hour},
		{`" 3600 "`, time.Hour},
		{`3600.9`, time.Hour},
		{`3.6e3`, time.Hour},
		{`0`, hint},
		{`null`, hint},
		{`"soon"`, hint},
		{`1e12`, time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))}, // since 1970
		{`1e14`, hint},
		{`5000000000000000000000`, hint},
		{`900000000000`, hint}, // nanoseconds
		{`-3`, hint},           // the token knows better
		{`-1e300`, hint},
	} {
		t.Run(tt.expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{}).start(t)
				f.server.Script(oauthtest.Fault{ExpiresIn: tt.expiresIn, Times: -1})
				err := f.ForceRefresh(t.Context())
				if got := time.Until(f.GetExpiresAt()); got != tt.life {
					t.Errorf("the token lives %v; want %v", got, tt.life)
				}
				if err != nil {
					t.Errorf("ForceRefresh: %v", err)
				}
				time.Sleep(time.Hour)
				if n := f.server.Refreshes(); n > 10 {
					t.Errorf("%d refreshes in an hour", n)
				}
				f.clean(t)
			})
		})
	}
}

// unending is a Refresher whose pairs do not say when they end.
func unending(cfg *refresh.Config) {
	client := cfg.OAuthClient
	cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
		next, err := client.Refresh(ctx, t)
		if err == nil {
			next.ExpiresIn, next.ExpiresAt = 0, time.Time{}
		}
		return next, err
	})
}

func TestF47_TokenOfUnknownLifeIsRefreshedWhenRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, unending)
		f.first.ExpiresIn, f.first.ExpiresAt = 0, time.Time{}
		f.start(t)
		time.Sleep(12 * time.Hour)
		if n := f.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes by the clock; want none", n)
		}
		for want := 1; want <= 3; want++ {
			f.mustCall(t) // rejected, refreshed, sent again
			if n := f.server.Refreshes(); n != want {
				t.Errorf("%d refreshes; want %d", n, want)
			}
			time.Sleep(time.Hour)
		}
		f.clean(t)
	})
}

// Some servers and programs write "never" as a year.
func TestF47_TokenThatEndsInTheYear9999Lives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		f.first.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		f.start(t)
		if pair, err := f.TokenContext(t.Context()); err != nil || pair.AccessToken != f.first.AccessToken {
			t.Errorf("the token that never ends was not served: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if n := f.tokenRequests(); n != 0 {
			t.Errorf("%d refreshes; want none", n)
		}
		f.clean(t)
	})
}

func TestF51_NetworkComesBackLaterThanTheClock(t *testing.T) {
	for _, outage := range []time.Duration{30 * time.Second, 3 * time.Hour} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, net, failed := newWallClock(t, monoStays), new(network), 0
				f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk), through(net.wrap), func(cfg *refresh.Config) {
					cfg.OnRefreshFail = func(error) bool { failed++; return false }
				}).start(t)
				time.Sleep(minute - time.Second)
				net.away.Store(true)
				clk.move(8 * time.Hour) // the lid opens, and there is no network yet
				time.Sleep(outage)
				if status := f.GetRefreshStatus(); status.State != refresh.StateRetrying {
					t.Errorf("state %q without a network; want retrying", status.State)
				}
				net.away.Store(false)
				time.Sleep(refresh.DefaultCheckInterval)
				if f.server.Refreshes() != 1 {
					t.Errorf("%d refreshes a check interval after the network came back; want 1", f.server.Refreshes())
				}
				f.mustCall(t)
				synctest.Wait()
				if budget := int64(8 + 2*outage/minute); net.tried.Load() > budget {
					t.Errorf("%d attempts without a network; want %d at most", net.tried.Load(), budget)
				}
				if failed != 0 {
					t.Error("OnRefreshFail was called for an outage")
				}
				f.served(t)
				f.clean(t)
			})
		})
	}
}

func TestF51_CallerAtWakeUpGetsTheTokenOnceTheNetworkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, net := newWallClock(t, monoStays), new(network)
		f := newFixture(t, oauthtest.Config{Now: clk.wall}, drivenBy(clk), through(net.wrap), func(cfg *refresh.Config) {
			cfg.MaxWait = 2 * minute
		}).start(t)
		net.away.Store(true)
		clk.move(8 * time.Hour)
		time.AfterFunc(30*time.Second, func() { net.away.Store(false) })
		f.mustCall(t)
		f.served(t)
		f.clean(t)
	})
}

func TestF55_IdleDaemonHasATokenWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		time.Sleep(24 * time.Hour)
		f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1}) // nothing to be had now
		before := time.Now()
		f.mustCall(t)
		if waited := time.Since(before); waited != 0 {
			t.Errorf("the first call after a day waited %v; want not at all", waited)
		}
		f.served(t)
		f.clean(t)
	})
}

func TestF56_RefreshTokenIsKeptFromIdlingOut(t *testing.T) {
	const idle = 15 * time.Hour
	for _, announced := range []bool{true, false} {
		t.Run(fmt.Sprintf("announced=%v", announced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{
					AccessTokenLifetime: 48 * time.Hour, RefreshTokenLifetime: idle, AnnounceRefreshLifetime: announced,
				}, func(cfg *refresh.Config) {
					cfg.CheckInterval = 10 * minute
					if !announced {
						cfg.RefreshIdleLimit = idle
					}
				}).start(t)
				const days = 10
				time.Sleep(days * 24 * time.Hour)
				f.mustCall(t)
				if f.server.Sessions("alice") != 1 {
					t.Error("the session idled out")
				}
				if n := f.server.Refreshes(); n < days*24/15 || n > days*24/12 {
					t.Errorf("%d refreshes in %d days; want one in 12 to 15 hours", n, days)
				}
				f.clean(t)
			})
		})
	}
}

// A server whose sessions end at a fixed time answers each refresh with what is
// left of it.
func TestFixedEndOfTheRefreshTokenIsNoReasonToHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		end := time.Now().Add(10 * time.Hour)
		f.first.RefreshExpiresAt = end
		f.server.Script(oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) {
			fields["refresh_token_expires_in"] = max(int64(time.Until(end)/time.Second), 1)
		}})
		f.start(t)
		time.Sleep(9 * time.Hour)
		before := f.server.Refreshes()
		time.Sleep(time.Until(end))
		// Tokens of 15 minutes need one in about ten.
		if n := f.server.Refreshes() - before; n > 60/10+3 {
			t.Errorf("%d refreshes in the last hour; want one in ten minutes and hardly more", n)
		}
		f.clean(t)
	})
}

func TestEndOfTheRefreshTokenIsAnnouncedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, unending)
		f.first.ExpiresIn, f.first.ExpiresAt, f.first.RefreshExpiresAt = 0, time.Time{}, time.Now().Add(8*time.Hour)
		f.start(t)
		time.Sleep(6*time.Hour - minute)
		if n := f.events.count(refresh.EventRefreshTokenEnding); n != 0 {
			t.Errorf("announced %d times before three quarters of its life; want not yet", n)
		}
		time.Sleep(time.Hour)
		if n := f.events.count(refresh.EventRefreshTokenEnding); n != 1 {
			t.Errorf("announced %d times; want once", n)
		}
		f.clean(t)
	})
}
