package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestPoolStopEndsEverySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		var all []*refresh.Manager
		for i := range 20 {
			name := fmt.Sprint("user", i)
			c.login(t, name)
			all = append(all, c.session(t, name))
		}
		own := all[19] // runs on a context of its own
		own.Stop()
		if err := own.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
		go all[0].ForceRefresh(t.Context())
		time.Sleep(time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(c.Stop)
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Stop took %v; it waits for the refresh, 2 s", took)
		}
		for _, m := range all {
			if m.IsRunning() {
				t.Error("a session runs on")
			}
		}
		_, err := c.Session(t.Context(), "user1")
		is(t, err, refresh.ErrStopped)
		is(t, own.Start(t.Context(), nil), refresh.ErrStopped)
		c.clean(t)

		// And once more, with the same managers.
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(t, c.Start(t.Context()), refresh.ErrRunning)
		if m := c.session(t, "user1"); m != all[1] || !m.IsRunning() {
			t.Error("the session did not start again")
		}
		time.Sleep(time.Hour)
		if _, err := all[1].TokenContext(t.Context()); err != nil {
			t.Error(err)
		}
		c.clean(t)
	})
}

func TestPoolEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.Stop()
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		c.login(t, "alice")
		m := c.session(t, "alice")
		c.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
		go m.ForceRefresh(t.Context())
		synctest.Wait()
		cancel()
		if m.IsRunning() {
			t.Error("a session says that it runs although the pool's context has ended")
		}
		_, err := c.Session(t.Context(), "alice")
		is(t, err, refresh.ErrStopped)
		start := time.Now()
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the next Start waited %v for the end of the first run; want 3 s", waited)
		}
		if !c.session(t, "alice").IsRunning() {
			t.Error("it does not run")
		}
		c.clean(t)
	})
}

func TestPoolStartGivesUpWaitingWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.login(t, "alice")
		c.server.Script(oauthtest.Fault{Delay: 3 * time.Second})
		go c.session(t, "alice").ForceRefresh(t.Context())
		synctest.Wait()
		go c.Stop()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, c.Start(ctx), context.DeadlineExceeded)
	})
}

func TestPoolSessionThatWasStoppedStartsAgainWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.login(t, "alice")
		m := c.session(t, "alice")
		m.Stop()
		time.Sleep(time.Hour)
		if n := c.server.Refreshes(); n != 0 {
			t.Errorf("%d refreshes of a session out of the pool's care", n)
		}
		if c.session(t, "alice") != m || !m.IsRunning() {
			t.Error("it did not start again")
		}
	})
}

// What Session returns runs at that moment, however the session was begun and ended before.
func TestPoolSessionReturnsNoneThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.login(t, "alice")
		for range 3 {
			m := c.session(t, "alice")
			m.Stop()
			ctx, cancel := context.WithCancel(t.Context())
			if err := m.Start(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if c.session(t, "alice") != m {
				t.Error("another manager than the one that runs")
			}
			cancel()
			if m := c.session(t, "alice"); !m.IsRunning() {
				t.Error("a manager that ended with the context of its own Start")
			}
			if err := c.Drop(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			if again := c.session(t, "alice"); again == m || !again.IsRunning() {
				t.Error("a manager that was dropped")
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.Stop()
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		c.login(t, "alice")
		c.session(t, "alice")
		cancel()
		_, err := c.Session(t.Context(), "alice") // before any goroutine has stopped it
		is(t, err, refresh.ErrStopped)
	})
}

func TestPoolDropForgetsASessionHereOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPooled(t, oauthtest.Config{})
		c.login(t, "alice")
		m := c.session(t, "alice")
		if err := errors.Join(c.Drop(t.Context(), "alice"), c.Drop(t.Context(), "alice")); err != nil {
			t.Error(err)
		}
		if m.IsRunning() {
			t.Error("a dropped session runs on")
		}
		is(t, m.Start(t.Context(), nil), refresh.ErrStopped)
		for range c.Statuses() {
			t.Error("a dropped session is among the open ones")
		}
		if again := c.session(t, "alice"); again == m {
			t.Error("it was not forgotten")
		}
	})
}

func TestPoolCloseSaysWhatIsUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFaultyStore()
		c := newPooled(t, oauthtest.Config{}, func(cfg *refresh.PoolConfig) { cfg.Store = s })
		for i := range 8 {
			name := fmt.Sprint("user", i)
			pair, err := c.server.Login(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Add(t.Context(), name, pair); err != nil {
				t.Fatal(err)
			}
		}
		s.edit(func(s *faultyStore) {
			s.onSet = func(context.Context, *tokenstore.Record) error { return errors.New("no space left") }
		})
		for i := range 8 {
			pair, err := c.server.Login("again")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Add(t.Context(), fmt.Sprint("user", i), pair); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err := c.Close(ctx)
		is(t, err, refresh.ErrUnsaved)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it gave up saving after %v; want 10 s", took)
		}
		time.Sleep(time.Minute)
		c.clean(t)
	})
}
