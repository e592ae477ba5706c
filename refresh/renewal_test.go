package refresh_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func renewing(r refresh.Renewal) func(*refresh.PoolConfig) {
	return func(cfg *refresh.PoolConfig) { cfg.Renewal = r }
}

func TestASessionRenewedOnUseCostsNothingUntilItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{}, renewing(refresh.RenewOnUse))
		m := c.rested(t, "alice")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := c.server.Refreshes(); n != 0 || !m.AtRest() {
			t.Errorf("%d refreshes of a session that nobody used, at rest: %v", n, m.AtRest())
		}
		for range 60 {
			if _, err := m.TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(minute)
		}
		if n := c.server.Refreshes(); n < 6 || n > 9 {
			t.Errorf("%d refreshes in an hour of use; want 6 to 9, as of any session", n)
		}
		before := c.server.Refreshes()
		time.Sleep(3 * time.Hour)
		if n := c.server.Refreshes() - before; n > 1 {
			t.Errorf("%d refreshes after the last use", n)
		}
		c.clean(t)
	})
}

// In use, it is renewed before its token dies, so that nobody waits.
func TestASessionRenewedOnUseStallsNobodyWhoUsesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Renewal = refresh.RenewOnUse }).start(t)
		for range 2000 {
			begun, rest := f.server.Refreshes(), f.AtRest()
			s := f.GetRefreshStatus()
			if s.TimeUntilExpiry <= 0 {
				t.Fatalf("the token has died in use (at rest: %v, %d refreshes)", rest, begun)
			}
			f.mustCall(t)
			time.Sleep(10 * time.Second)
		}
		f.served(t)
		f.clean(t)
	})
}

// A session that was at rest while it was due is renewed behind its first user.
func TestTheFirstUserOfADueSessionHasItRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: time.Second, life: 90 * time.Second}
		_, managers := manySessions(t, e, 1, renewing(refresh.RenewOnUse))
		time.Sleep(75 * time.Second)
		for _, wait := range []time.Duration{0, 16 * time.Second} { // the token lives for 15 more
			time.Sleep(wait)
			begun := time.Now()
			if _, err := managers[0].TokenContext(t.Context()); err != nil || time.Since(begun) > 0 {
				t.Errorf("a user waited for %v and got %v", time.Since(begun), err)
			}
		}
	})
}

func TestAPausedSessionServesItsTokenAndRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{}, renewing(refresh.RenewNever))
		m := c.rested(t, "alice")
		time.Sleep(14 * minute)
		if _, err := m.TokenContext(t.Context()); err != nil {
			t.Errorf("a living token: %v", err)
		}
		time.Sleep(2 * minute)
		if _, err := m.TokenContext(t.Context()); !errors.Is(err, refresh.ErrPaused) {
			t.Errorf("a dead token: %v; want ErrPaused", err)
		}
		if err := m.ForceRefresh(t.Context()); !errors.Is(err, refresh.ErrPaused) {
			t.Errorf("ForceRefresh: %v; want ErrPaused", err)
		}
		fresh := c.login(t, "alice")
		if pair, err := m.TokenContext(t.Context()); err != nil || pair.AccessToken != fresh.AccessToken {
			t.Errorf("a pair that somebody else has saved was not adopted: %v", err)
		}
		if n := c.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes", n)
		}
		c.clean(t)
	})
}

func TestAnIdleSessionLeavesMemoryAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{}, renewing(refresh.RenewOnUse), func(cfg *refresh.PoolConfig) { cfg.IdleAfter = time.Hour })
		m := c.rested(t, "alice")
		time.Sleep(50 * minute)
		if _, err := m.TokenContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(55 * minute)
		synctest.Wait()
		if n := c.Stats().Sessions; n != 1 {
			t.Fatalf("%d sessions open less than an hour after the last use", n)
		}
		time.Sleep(10 * minute)
		synctest.Wait()
		if n := c.Stats().Sessions; n != 0 || m.IsRunning() {
			t.Errorf("%d sessions open more than an hour after the last use, running: %v", n, m.IsRunning())
		}
		again, err := c.Session(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.TokenContext(t.Context()); err != nil {
			t.Errorf("after it came back: %v", err)
		}
		c.clean(t)
	})
}

func TestStatsCountSessionsAndWhatServersAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		for _, name := range []string{"alice", "bob"} {
			c.rested(t, name)
		}
		time.Sleep(12 * minute)
		synctest.Wait()
		got := c.Stats()
		if got.Sessions != 2 || got.Dormant != 2 || got.States[refresh.StateValid] != 2 || len(got.Servers) != 1 {
			t.Fatalf("stats: %+v", got)
		}
		s := got.Servers[0]
		if s.Server == "" || s.Sessions != 2 || s.InFlight != 0 || s.Refreshed != uint64(c.server.Refreshes()) || s.Failed != 0 || s.Down {
			t.Errorf("stats of the server: %+v", s)
		}
		c.Stop()
		if got := c.Stats(); got.Servers[0].Sessions != 0 {
			t.Errorf("after Stop: %+v", got)
		}
	})
}
