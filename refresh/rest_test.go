package refresh_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// rested opens the named session of a pool and lets it come to rest.
func (c *pooled) rested(t *testing.T, name string) *refresh.Manager {
	t.Helper()
	c.login(t, name)
	m, err := c.Session(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if !m.AtRest() {
		t.Fatal("a session that nobody works on is not at rest")
	}
	return m
}

func noStore(cfg *refresh.PoolConfig) { cfg.Store = nil }

func TestASessionAtRestTellsHowItFaresAndStaysAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		m := c.rested(t, "alice")
		saved, err := c.store.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		st := m.GetRefreshStatus()
		if !st.IsRunning || st.State != refresh.StateValid || !st.ExpiresAt.Equal(saved.Tokens.ExpiresAt) || st.RefreshAt.IsZero() {
			t.Errorf("status at rest: %+v", st)
		}
		if got := m.GetTokens(); got.AccessToken != saved.Tokens.AccessToken || !m.GetExpiresAt().Equal(saved.Tokens.ExpiresAt) {
			t.Error("a session at rest shows other tokens than are saved")
		}
		if !m.AtRest() {
			t.Error("being asked how it fares has woken the session")
		}
	})
}

// Handing out a token leaves no trace, so a session in use rests now and then.
func TestASessionInUseStaysAwakeForAWhileAndRestsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, noStore)
		first, err := c.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Add(t.Context(), "alice", first)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !m.AtRest() {
			t.Fatal("a session that nobody works on is not at rest")
		}
		want, err := m.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.AtRest() {
			t.Error("the session rests although its token was just asked for")
		}
		if got, err := m.TokenContext(t.Context()); err != nil || got != want {
			t.Errorf("the second of two calls got another pair, or %v", err)
		}
		time.Sleep(3 * minute)
		synctest.Wait()
		if !m.AtRest() {
			t.Error("three minutes after its last use the session is not at rest")
		}
		if got, err := m.TokenContext(t.Context()); err != nil || got.AccessToken != want.AccessToken {
			t.Errorf("after the rest: another token, or %v", err)
		}
		if n := c.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes of a token that lives for a day", n)
		}
	})
}

func TestASessionAtRestIsRenewedInTime(t *testing.T) {
	for name, edit := range map[string]func(*refresh.PoolConfig){
		"with a Store": func(*refresh.PoolConfig) {}, "without": noStore,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newPooled(t, oauthtest.Config{}, edit)
				first, err := c.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				m, err := c.Add(t.Context(), "alice", first)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for range 120 {
					time.Sleep(minute)
					synctest.Wait()
					if !m.AtRest() {
						t.Fatal("nobody uses the session, and it is not at rest")
					}
					if m.GetRefreshStatus().TimeUntilExpiry <= 0 {
						t.Fatal("the token of a session at rest has died")
					}
				}
				if n := c.server.Refreshes(); n < 10 || n > 17 {
					t.Errorf("%d refreshes in two hours of 15-minute tokens; want 12 to 16", n)
				}
				c.clean(t)
			})
		})
	}
}

// At rest only numbers are left of what a session knows about clocks.
func TestF53_ASessionAtRestIsRenewedInTimeWhereverTheClockGoes(t *testing.T) {
	for _, move := range []time.Duration{-year, -time.Hour, 8 * minute, 8 * time.Hour} {
		for _, mono := range []monotonic{monoStays, monoMoves} {
			if move < 0 && mono != monoStays {
				continue // no system counts time asleep backwards
			}
			for name, edit := range map[string]func(*refresh.PoolConfig){
				"with a Store": func(*refresh.PoolConfig) {}, "without": noStore,
			} {
				t.Run(move.String()+" "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						clk := newWallClock(t, mono)
						c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) { drivenBy(clk)(&cfg.Config) }, edit)
						first, err := c.server.Login("alice")
						if err != nil {
							t.Fatal(err)
						}
						m, err := c.Add(t.Context(), "alice", first)
						if err != nil {
							t.Fatal(err)
						}
						time.Sleep(5 * minute)
						synctest.Wait()
						if !m.AtRest() {
							t.Fatal("not at rest")
						}
						clk.move(move)
						// Tokens of 15 minutes: the first one is due within ten.
						time.Sleep(8 * minute)
						synctest.Wait()
						if c.server.Refreshes() == 0 {
							t.Error("the token was not renewed although it dies in two minutes")
						}
						before := c.server.Refreshes()
						time.Sleep(2 * time.Hour)
						if n := c.server.Refreshes() - before; n < 10 || n > 17 {
							t.Errorf("%d refreshes in two hours after the step; want 12 to 16", n)
						}
						if _, err := m.TokenContext(t.Context()); err != nil {
							t.Errorf("after the step: %v", err)
						}
						c.clean(t)
					})
				})
			}
		}
	}
}

// What another process saves, and that it logs out, reaches a session at rest
// within a check interval.
func TestASessionAtRestHearsTheNewsOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		m := c.rested(t, "alice")
		renewed, err := c.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(c.store, "alice")(t.Context(), renewed); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		synctest.Wait()
		if got := m.GetTokens(); got.AccessToken != renewed.AccessToken || c.events.count(refresh.EventAdopted) != 1 {
			t.Error("the new pair was not adopted")
		}
		rec, err := c.store.Get(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.store.Delete(t.Context(), "alice", rec.Version); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		synctest.Wait()
		if st := m.GetRefreshStatus(); st.State != refresh.StateLoggedOut {
			t.Errorf("after the logout the session is %q", st.State)
		}
	})
}

// A counting store counts how often it is read.
type countingStore struct {
	*tokenstore.Memory
	gets, stamps atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.gets.Add(1)
	return s.Memory.Get(ctx, name)
}

func (s *countingStore) Stamp(ctx context.Context, name string) (uint64, error) {
	s.stamps.Add(1)
	return s.Memory.Stamp(ctx, name)
}

func TestALookAtAnUnchangedSessionDoesNotReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{Memory: new(tokenstore.Memory)}
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 24 * time.Hour}, func(cfg *refresh.Config) { cfg.Store = store }).start(t)
		time.Sleep(2 * minute)
		gets, stamps := store.gets.Load(), store.stamps.Load()
		time.Sleep(10 * minute)
		gets, stamps = store.gets.Load()-gets, store.stamps.Load()-stamps
		if gets != 0 || stamps < 9 {
			t.Errorf("in ten minutes: %d reads and %d stamps; want none and ten", gets, stamps)
		}
		f.clean(t)
	})
}
